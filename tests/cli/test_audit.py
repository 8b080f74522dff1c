"""`mendloop audit`: who changed what, and whether the records are those that were written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_user import Quick, User, edit


@pytest.fixture
def worked(quick: Quick) -> Quick:
    """A task with six records."""
    for _ in range(4):
        assert 0 == quick("increment", "demo", "--by", "ann").code
    assert 0 == quick("pause", "demo", "--reason", "lunch", "--by", "alice").code
    assert 0 == quick("resume", "demo", "--by", "bob").code
    return quick


def test_each_record_says_who_from_where_and_what(worked: Quick) -> None:
    """Commit to commit, time, name, door, operation id, facts, digest and link: nothing is left out."""
    told = worked("audit", "demo", "-o", "json").json()
    pause = told["records"][4]

    assert 6 == len(told["records"])
    assert (4, 5, "pause", "alice", "cli") == tuple(
        pause[name] for name in ("from_commit", "to_commit", "do", "by", "door")
    )
    assert "lunch" == pause["facts"]["reason"]
    assert [32, 32, 16] == [len(pause[name]) for name in ("digest", "link", "op_id")]
    assert {"count": 6, "head": told["records"][-1]["link"]} == told["chain"]
    assert "alice" in worked("audit", "demo").out


def test_records_come_a_page_at_a_time(worked: Quick) -> None:
    """The page names where the next one begins, and the last one does not."""
    first = worked("audit", "demo", "--limit", "4", "-o", "json").json()
    second = worked("audit", "demo", "--after", "4", "-o", "json").json()
    numbers = [r["to_commit"] for page in (first, second) for r in page["records"]]

    assert [1, 2, 3, 4, 5, 6] == numbers
    assert (4, None) == (first["next_after"], second["next_after"])
    assert "--after 4" in worked("audit", "demo", "--limit", "4").out


def test_sound_records_are_told_with_the_end_of_their_chain(worked: Quick) -> None:
    """Code 0, and the link to keep elsewhere, for one task and for all."""
    head = worked("audit", "demo", "-o", "json").json()["chain"]["head"]
    one, every = worked("audit", "--verify", "demo"), worked("audit", "--verify")

    assert (0, 0) == (one.code, every.code)
    assert f"demo: sound, 6 records, the chain ends with {head}\n" == one.out == every.out


@pytest.mark.damages
def test_a_changed_record_is_named_with_code_17(worked: Quick, user: User) -> None:
    """The table and the JSON say which, where and how."""

    def change(body: bytes) -> bytes:
        state = json.loads(body)
        state["mendloop"]["commits"][4]["changes"][0]["by"] = "mallory"
        return json.dumps(state).encode()

    edit(user.store, "demo", change)
    table, told = worked("audit", "--verify"), worked("audit", "--verify", "-o", "json")
    [task] = told.json()["tasks"]

    assert (17, 17) == (table.code, told.code)
    assert "record 5 is not the one that was written after record 4" in table.out
    assert [("changed", "the state", 5, 5)] == [
        (flaw["kind"], flaw["place"], flaw["first"], flaw["last"]) for flaw in task["flaws"]
    ]


def test_what_is_asked_for_in_vain_is_refused(worked: Quick) -> None:
    """Records are of one task; of a task that is not there nothing can be verified."""
    assert 2 == worked("audit").code
    assert 3 == worked("audit", "--verify", "nowhere").code
    assert 3 == worked("audit", "nowhere").code


def test_the_log_says_who_removed_and_who_imported(worked: Quick, user: User) -> None:
    """A removal and an import each have an entry, in the order in which they were made, page by page."""
    assert 0 == worked("export", "demo", "file").code
    assert 0 == worked("stop", "demo").code
    assert 0 == worked("delete", "demo", "--reason", "a duplicate", "--by", "ann").code
    assert 0 == worked("cleanup", "--grace", "0.001", "--by", "bob").code
    assert 0 == worked("import", "file", "--by", "carol").code
    entries = worked("audit", "--log", "-o", "json").json()["entries"]
    first = worked("audit", "demo", "--log", "--limit", "1", "-o", "json").json()
    place = ("--after", first["next_after"])
    second = worked("audit", "demo", "--log", *place, "-o", "json").json()

    assert [("remove", "bob", "cleanup", 8, 0), ("import", "carol", "import", 0, 6)] == [
        tuple(entry[name] for name in ("do", "by", "door", "from_commit", "to_commit"))
        for entry in entries
    ]
    assert "deleted by ann: a duplicate" == entries[0]["why"]
    assert entries == first["entries"] + second["entries"]
    assert "imported" in worked("audit", "--log").out
    assert "no entries" in worked("audit", "other", "--log").out
    assert 0 == worked("audit", "--verify").code
    assert 2 == worked("audit", "--verify", "--log").code
    assert 2 == worked("audit", "demo", "--after", "x").code


def test_each_door_of_the_command_line_is_recorded_as_such(quick: Quick, user: User) -> None:
    """A command, a run, an import from another controller, a repair and a cleanup say what they are."""
    dump = Path(__file__).parents[1] / "golden" / "cto" / "completed.yaml"
    assert 0 == quick("import", "--from", "cto", str(dump)).code
    [task] = quick("list", "-o", "json").json()["tasks"]
    task_id = task["task_id"]
    assert 0 == quick("hold", task_id).code
    assert 0 == quick("hold", task_id, "--release").code
    edit(user.store, task_id, lambda body: body[:-1])
    assert 0 == quick("doctor", task_id, "--repair").code
    assert 0 == quick("cleanup", "--retention", "0.001").code
    assert 0 == quick("run", "job", "--review", "true", "--fix", "true").code
    told = quick("audit", task_id, "-o", "json").json()["records"]
    ran = quick("audit", "job", "-o", "json").json()["records"]

    assert [
        ("put_state", "import"),
        ("hold", "cli"),
        ("end_hold", "cli"),
        ("recover", "repair"),
        ("delete", "cleanup"),
    ] == [(record["do"], record["door"]) for record in told]
    assert {"run"} == {record["door"] for record in ran}
    assert 0 == quick("audit", "--verify").code
