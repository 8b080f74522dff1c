"""What a user is told of a task that other hands have changed where it is stored."""

from __future__ import annotations

import base64
import json

import pytest
from cli_user import PATIENCE_SECONDS, Quick, User, Wait
from configmaps import Others

from controlplane import Cluster


@pytest.fixture
def others(control_plane: Cluster, namespace: str) -> Others:
    """Somebody with kubectl."""
    return Others(control_plane, namespace)


@pytest.mark.damages
def test_a_task_whose_counter_was_lowered_is_told_as_such(
    cluster_user: User, others: Others
) -> None:
    """Each view says that writes are refused, why, and what to put right."""
    for _ in range(3):
        cluster_user("increment", "t")
    state = cluster_user.state("t") | {"iteration": 1}
    others.merge("task-t-state", data={"state.json": json.dumps(state)})
    refused = cluster_user("increment", "t")
    shown, explained = cluster_user("show", "t"), cluster_user("explain", "t")
    shown_json = cluster_user("show", "t", "-o", "json")
    explained_json = cluster_user("explain", "t", "-o", "json").json()
    [row] = cluster_user("list", "-o", "json").json()["tasks"]

    assert 12 == refused.code
    for told in (refused.err, shown.out, shown_json.err, explained.out):
        assert "below 3, which was given out" in told
        assert "set it to 3" in told
    assert (0, 0) == (shown.code, explained.code)
    assert "mendloop run" not in shown.out + explained.out
    assert 1 == shown_json.json()["iteration"]
    assert row["writes_refused"] == explained_json["writes_refused"] in refused.err
    assert "takes no writes" in cluster_user("list").out


def test_a_task_that_is_being_deleted_is_shown_and_takes_nothing(
    cluster_user: User, others: Others
) -> None:
    """What a finalizer holds is refused before it is written, with the name of the finalizer."""
    cluster_user("increment", "t")
    others.merge("task-t-state", metadata={"finalizers": ["example.com/hold"]})
    others.kubectl("delete", "configmap", "task-t-state", "--wait=false")
    refused = cluster_user("increment", "t")
    shown = cluster_user("show", "t")
    others.merge("task-t-state", metadata={"finalizers": None})

    assert 11 == refused.code
    for told in (refused.err, shown.out):
        assert "was deleted at 20" in told
        assert "example.com/hold" in told
    assert 0 == shown.code
    assert 3 == cluster_user("show", "t").code


@pytest.mark.damages
@pytest.mark.parametrize("key", ["state.json", "task_id", "iteration", "last_update"])
def test_a_state_among_binary_data_is_damage(cluster_user: User, others: Others, key: str) -> None:
    """It is shown, a write has the exit code of damage and says what to move, and others go on."""
    for task_id in ("t", "u"):
        cluster_user("increment", task_id)
    text = others.read("task-t-state")["data"][key]
    binary = base64.b64encode(text.encode()).decode()
    others.merge("task-t-state", data={key: None}, binaryData={key: binary})
    refused = cluster_user("increment", "t")
    shown = cluster_user("show", "t")
    rows = cluster_user("list", "-o", "json").json()["tasks"]

    assert 12 == refused.code
    assert 0 == shown.code
    for told in (refused.err, shown.out, rows[0]["writes_refused"]):
        assert f"{key} in binaryData" in told
        assert "move it to data" in told
    assert ["t", "u"] == [row["task_id"] for row in rows]
    assert 0 == cluster_user("increment", "u").code


def test_a_task_that_is_deleted_during_its_run_is_told_so(
    cluster_user: User, others: Others, wait_until: Wait
) -> None:
    """The run ends what it runs, and has the exit code of a task that is not there."""
    mark = cluster_user.tree / "begun"
    review = ("--review", "touch begun; exec sleep 60", "--format", "text")
    process = cluster_user.start("run", "t", *review, "--fix", "true")
    wait_until(mark.exists)
    others.kubectl("delete", "configmap", "task-t-state")
    _, err = process.communicate(timeout=PATIENCE_SECONDS)

    assert 3 == process.returncode
    assert b"task t was deleted during this run" in err


@pytest.mark.damages
def test_what_only_has_the_label_of_a_task_is_listed_as_damage(
    cluster_user: User, others: Others
) -> None:
    """What no command can show is named as it is stored, with what to do about it."""
    cluster_user("increment", "t")
    text = others.read("task-t-state")["data"]["state.json"]
    labels = {"app": "remediation-state"}
    names = ("foreign", "task--state", "task-state", f"task-{'x' * 64}-state")
    for name in names:
        others.create(name, metadata={"labels": labels}, data={"state.json": text})
    others.create("task-bare-state", metadata={"labels": labels})
    rows = {row["task_id"]: row for row in cluster_user("list", "-o", "json").json()["tasks"]}

    assert {"t", "bare", *names} == set(rows)
    for name in names:
        assert f"no task has its state under the name '{name}'" in rows[name]["problem"]
    assert "its state.json is missing or empty" in rows["bare"]["problem"]
    assert rows["bare"]["problem"] in cluster_user("show", "bare").err
    assert "problem" not in rows["t"]


@pytest.mark.damages
def test_explain_tells_what_is_left_of_a_damaged_history(
    cluster_user: User, quick: Quick, others: Others
) -> None:
    """What can be read is told, each gap is named, and the exit code is that of damage."""
    add = ("feedback", "add", "t", "--severity", "Low", "--issue-type", "Bug", "--description")
    quick("increment", "t")
    for number in range(40):
        assert 0 == quick(*add, f"finding {number}").code
    chunks = others.kubectl("get", "configmaps", "-l", "part=commits", "-o", "name")
    [chunk] = chunks.split()
    others.kubectl("delete", chunk)
    told, as_json = cluster_user("explain", "t"), cluster_user("explain", "t", "-o", "json")

    assert (12, 12) == (told.code, as_json.code)
    assert "Missing below: what commits 1 to 32 did" in told.out
    assert chunk.removeprefix("configmap/") in told.err
    assert "feedback: 1 new" in told.out
    assert "In iterations whose beginning is missing" in told.out
    assert "Before the first iteration" not in told.out
    assert [{"first": 1, "last": 32}] == as_json.json()["missing_commits"]
