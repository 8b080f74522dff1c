"""`mendloop doctor`: what someone on call is told, and what a repair does."""

from __future__ import annotations

import pytest
from cli_user import Quick, User, edit

from mendloop.core.names import QUARANTINE


@pytest.fixture
def tasks(user: User, quick: Quick) -> User:
    """Three tasks, each at iteration 2."""
    for task_id in ("a", "b", "c"):
        for _ in range(2):
            quick("increment", task_id)
    return user


def test_a_sound_store_is_told_as_such(tasks: User, quick: Quick) -> None:
    """Nothing is wrong, in words and as data."""
    told = quick("doctor")
    assert (0, "nothing is wrong\n") == (told.code, told.out)
    assert {"tasks": []} == quick("doctor", "-o", "json").json()
    assert 0 == quick("doctor", "a", "b").code


def test_what_is_wrong_is_named_and_repaired(tasks: User, quick: Quick) -> None:
    """It is told with exit code 17, repaired when asked, and then there is nothing left."""
    edit(tasks.store, "b", lambda body: body[:-1])
    told = quick("doctor")
    assert 17 == told.code
    assert "mendloop doctor --repair" in told.out
    [row] = quick("doctor", "-o", "json").json()["tasks"]
    assert ("b", "unreadable", "lost") == (
        row["task_id"],
        row["symptoms"][0]["kind"],
        row["symptoms"][0]["gravity"],
    )
    assert 0 == quick("doctor", "a", "c").code
    assert 17 == quick("doctor", "--repair", "--dry-run").code
    assert 12 == quick("increment", "b").code

    repaired = quick("doctor", "--repair")

    assert "b is repaired, at iteration 2; lost: nothing" in repaired.out
    assert f"kept as {QUARANTINE}.task-b-quarantine-" in repaired.out
    assert 0 == repaired.code
    assert 0 == quick("doctor").code
    assert 3 == quick("increment", "b", "-o", "json").json()["iteration"]
    assert "repaired at iteration 2; lost: nothing" in quick("history", "b").out


@pytest.mark.damages
def test_a_repair_that_may_lose_something_is_proposed_dry(tasks: User, quick: Quick) -> None:
    """What is proposed is of the tasks that were asked about, and shows the loss before it happens."""
    edit(tasks.store, "b", lambda _: b"")
    edit(tasks.store, "c", lambda _: b"")

    of_one, of_all = (quick("doctor", *names).out.splitlines()[-1] for names in (["b"], []))

    assert of_one.startswith(
        "`mendloop doctor b --repair --dry-run` tells what a repair would lose"
    )
    assert of_all.startswith("`mendloop doctor --repair --dry-run` tells what a repair would lose")
    assert "would be lost: " in quick("doctor", "b", "--repair", "--dry-run").out


def test_what_was_lost_is_told_once(tasks: User, quick: Quick) -> None:
    """A repair that could not bring all back ends with 17; the next call finds nothing wrong."""
    edit(tasks.store, "b", lambda _: b"")
    repaired = quick("doctor", "b", "--repair", "-o", "json")
    [row] = repaired.json()["tasks"]
    assert (17, 2) == (repaired.code, row["iteration"])
    assert row["lost"]
    assert 0 == quick("doctor", "b", "--repair").code


def test_a_dry_run_tells_what_would_be_lost(tasks: User, quick: Quick) -> None:
    """It says what the repair says then, writes nothing, not even a copy, and is no repair."""
    edit(tasks.store, "b", lambda _: b"")
    edit(tasks.store, "c", lambda body: body[:-1])
    quick("export", "--all", "before.jsonl")

    told = quick("doctor", "--repair", "--dry-run")
    as_data = quick("doctor", "--repair", "--dry-run", "-o", "json")

    quick("export", "--all", "after.jsonl")
    before, after = ((tasks.tree / f"{when}.jsonl").read_text() for when in ("before", "after"))
    assert before.splitlines()[1:-1] == after.splitlines()[1:-1]
    rows = as_data.json()["tasks"]
    [b, c] = quick("doctor", "--repair", "-o", "json").json()["tasks"]
    assert (17, 17) == (told.code, as_data.code)
    assert f"b would be repaired, at iteration 2; would be lost: {b['lost'][0]}" in told.out
    assert "c would be repaired, at iteration 2; would be lost: nothing" in told.out
    assert [b["lost"], c["lost"]] == [row["would_lose"] for row in rows]
    assert [False, False] == [row["is_repaired"] for row in rows]
    assert "cannot be read" in rows[0]["would_repair"][0]


@pytest.mark.damages
def test_a_newer_state_is_left_to_newer_hands(tasks: User, quick: Quick) -> None:
    """It is told, and a repair leaves it as it is."""
    edit(tasks.store, "b", lambda body: body.replace(b'"version":"v1"', b'"version":"v2"'))
    for arguments in (("doctor",), ("doctor", "--repair")):
        told = quick(*arguments, "-o", "json")
        [row] = told.json()["tasks"]
        assert (17, "newer") == (told.code, row["symptoms"][0]["kind"])
    assert 12 == quick("increment", "b").code


def test_a_dry_run_is_of_a_repair(tasks: User, quick: Quick) -> None:
    """Without --repair there is nothing that it would not do."""
    assert 2 == quick("doctor", "--dry-run").code
    assert 3 == quick("doctor", "nowhere").code
