"""`mendloop stats`, as a person and as a program read it."""

from __future__ import annotations

import sqlite3

import pytest
from cli_user import Quick, User, edit


@pytest.fixture
def worked(quick: Quick, todo: User, loop_arguments: tuple[str, ...]) -> Quick:
    """A task that was completed, one that was stopped, one in progress, and a deleted one."""
    assert 0 == quick("run", "done", *loop_arguments).code
    for task in ("open", "stopped", "gone"):
        assert 0 == quick("increment", task).code
    add = ("--severity", "Critical", "--issue-type", "Bug", "--description", "x")
    for task in ("open", "gone"):
        assert 0 == quick("feedback", "add", task, *add).code
    for task in ("stopped", "gone"):
        assert 0 == quick("stop", task, "--reason", "r").code
    assert 0 == quick("delete", "gone", "--reason", "r").code
    return quick


def test_a_program_reads_the_figures(worked: Quick, user: User) -> None:
    """-o json has counts, rates, times, findings and bytes; what is deleted is counted apart."""
    told = worked("stats", "-o", "json").json()
    assert (3, 1, []) == (told["tasks"], told["deleted"], told["unread"])
    assert {
        "Initialized": 0,
        "InProgress": 1,
        "Completed": 1,
        "Failed": 1,
        "MaxIterationsReached": 0,
    } == told["statuses"]
    ended = {reason: count for reason, count in told["stop_reasons"].items() if count}
    assert {"completed": 1, "terminated": 1} == ended
    assert 0.5 == told["success_rate"]
    assert {"count": 1, "mean": 3.0, "median": 3, "p90": 3, "largest": 3} == told[
        "iterations_to_completion"
    ]
    took = told["iteration_seconds"]
    explained = worked("explain", "done", "-o", "json").json()["iterations"]
    seconds = sorted(iteration["seconds"] for iteration in explained)
    assert 3 == took["count"] == len(seconds)
    assert [seconds[1], seconds[2], seconds[2]] == [took["median"], took["p90"], took["largest"]]
    assert (1, 0) == (told["findings"]["Critical"]["open"], told["findings"]["High"]["open"])
    assert 3 == told["findings"]["High"]["verified"]
    connection = sqlite3.connect(f"{user.store.as_uri()}?mode=ro", uri=True)
    (bodies,) = connection.execute("SELECT sum(length(body)) FROM document").fetchone()
    connection.close()
    assert bodies < told["stored_bytes"]["total"] < bodies + 1000


def test_a_person_reads_the_figures(worked: Quick) -> None:
    """The tables say the same; what cannot be read is named with why, and is no failure."""
    shown = worked("stats")
    assert (0, "") == (shown.code, shown.err)
    lines = [" ".join(line.split()) for line in shown.out.splitlines()]
    for line in (
        "3 tasks; 1 more is deleted, and not counted",
        "InProgress 1",
        "terminated 1",
        "50.0% of those that have ended are Completed",
        "iterations to completion 1 3.0 3.0 3.0 3.0",
        "Critical 1 0 0 0 0 0 0 1",
        "High 0 0 3 0 0 0 0 3",
    ):
        assert line in lines


@pytest.mark.damages
def test_a_task_that_cannot_be_read_is_named(worked: Quick, user: User) -> None:
    """It stops nothing, and is counted nowhere else."""
    edit(user.store, "open", lambda body: body[:-1])
    shown = worked("stats")
    assert (0, "") == (shown.code, shown.err)
    assert "2 tasks; 1 more is deleted, and not counted" in shown.out
    assert "open is unreadable, and not counted: " in shown.out
    (unread,) = worked("stats", "-o", "json").json()["unread"]
    assert "open" == unread["task_id"]


def test_a_store_that_is_not_there_has_no_tasks(quick: Quick, user: User) -> None:
    """It is no error, makes no store, and the command that begins is named."""
    shown = quick("stats")
    assert (0, "") == (shown.code, shown.err)
    assert "mendloop run" in shown.out
    assert 0 == quick("stats", "-o", "json").json()["tasks"]
    assert not user.store.exists()
