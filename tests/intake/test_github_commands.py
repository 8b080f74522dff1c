from __future__ import annotations

import pytest

from mendloop.intake.github.commands import Command, Verb, read_command
from mendloop.intake.github.tasks import task_of


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("/pause while we talk", Command(verb=Verb.PAUSE, reason="while we talk")),
        ("Well.\n\n/STOP", Command(verb=Verb.STOP)),
        ("   /remediate", Command(verb=Verb.REMEDIATE)),
        ("/resume 1", Command(verb=Verb.RESUME, max_iterations=1)),
        ("/resume 4294967295", Command(verb=Verb.RESUME, max_iterations=4294967295)),
    ],
)
def test_an_order_is_a_line_of_the_author_s_own(text: str, command: Command) -> None:
    """In any case, with a reason or a number behind it."""
    assert (command, "") == read_command(text)[:2]


@pytest.mark.parametrize(
    "text",
    [
        "> /stop",
        "- /stop",
        "1. well\n\n   /stop",
        "```\n/stop\n```",
        "    /stop",
        "# /stop",
        "/stop\n===",
        "`/stop`",
        "please /stop",
        "/stopped",
        "//stop",
    ],
)
def test_what_stands_elsewhere_is_no_order(text: str) -> None:
    """Neither in a quotation, a list, code or a title, nor within a line or another word."""
    assert (None, "", text) == read_command(text)


@pytest.mark.parametrize("number", ["0", "4294967296", "-1", "1.5", "07", "\u0663", "many"])
def test_a_limit_that_cannot_be_is_told(number: str) -> None:
    """A resume names from one iteration to as many as a task can have."""
    command, problem, _ = read_command(f"/resume {number}")

    assert command is None
    assert "from 1 to 4294967295" in problem


def test_of_two_orders_none_is_taken() -> None:
    """Which one was meant would be a guess."""
    command, problem, rest = read_command("/pause\n\nor\n\n/stop")

    assert (None, "or") == (command, rest)
    assert "this one has 2" in problem


@pytest.mark.parametrize(
    ("labels", "branch", "task_id"),
    [
        (["bug", "task-7", "task-8"], "task-9-x", "7"),
        ([" task-7 "], "", "7"),
        (["task-7x", "task-", "xtask-7", "task-\u0667"], "feature/task-9-x", "9"),
        ([], "task-9", "9"),
        ([], "task-9x", ""),
        ([], "task-9/x", ""),
        ([], "other/task-9", ""),
        (["task-" + "1" * 21], "", ""),
    ],
)
def test_the_first_label_names_the_task_else_the_branch(
    labels: list[str], branch: str, task_id: str
) -> None:
    """Whole and in digits: what only looks like it names none."""
    named = task_of(labels, branch)

    assert task_id == named.task_id
    assert bool(task_id) != bool(named.problem)
