"""The commands that change a task from outside of a run."""

from __future__ import annotations

import pytest
from cli_user import Quick, User

from mendloop.cli.commands.feedback import ISSUE_TYPES, LIVES
from mendloop.cli.options import SEVERITIES
from mendloop.core.vocabulary import IssueType, Life, Severity

ADD = ("feedback", "add", "demo", "--severity", "High", "--issue-type", "Bug")


def test_the_choices_are_the_models() -> None:
    """The command line spells severities, types and lives as they are stored."""
    assert list(map(str, Severity)) == list(SEVERITIES)
    assert list(map(str, IssueType)) == list(ISSUE_TYPES)
    assert list(map(str, Life)) == list(LIVES)


def test_increment_gives_the_next_number(quick: Quick) -> None:
    """Each call starts one iteration; with -o json it is an object with the number."""
    assert "demo: iteration 1 began\n" == quick("increment", "demo").out
    assert 2 == quick("increment", "demo", "-o", "json").json()["iteration"]


def test_increment_with_an_operation_id_counts_once(quick: Quick) -> None:
    """The same id again gets the same number."""
    first = quick("increment", "demo", "--op-id", "delivery-1", "-o", "json")
    again = quick("increment", "demo", "--op-id", "delivery-1", "-o", "json")

    assert first == again
    assert 1 == quick("show", "demo", "-o", "json").json()["iteration"]


def test_increment_stops_at_the_limit(quick: Quick) -> None:
    """Exit code 4 when the limit is spent; the message names the way on, which works."""
    for _ in range(2):
        assert 0 == quick("increment", "demo", "--max-iterations", "2").code
    refused = quick("increment", "demo")

    assert 4 == refused.code
    assert "mendloop resume demo --max-iterations N" in refused.err
    assert "MaxIterationsReached" == quick("show", "demo", "-o", "json").json()["status"]
    assert 11 == quick("resume", "demo").code
    assert 0 == quick("resume", "demo", "--max-iterations", "5").code
    assert 3 == quick("increment", "demo", "-o", "json").json()["iteration"]


def test_feedback_is_added_once(quick: Quick) -> None:
    """The same comment again is known; its place and author are kept."""
    quick("increment", "demo")
    place = ("--path", "a.py", "--line", "7", "--author", "eve", "--comment-id", "c-1")
    first = quick(*ADD, "--description", "broken", *place, "-o", "json").json()
    again = quick(*ADD, "--description", "broken", *place)

    assert (1, ["c-1"]) == (first["new"], first["ids"])
    assert "demo: known finding c-1\n" == again.out
    (entry,) = quick("feedback", "list", "demo", "-o", "json").json()["feedback"]
    assert ("eve", "c-1", "broken") == (
        entry["author"],
        entry["pr_comment_id"],
        entry["description"],
    )
    assert ("a.py", 7) == (entry["mendloop"]["path"], entry["mendloop"]["line"])


def test_feedback_reads_its_description_from_standard_input(user: User) -> None:
    """A description of - is what standard input holds, whatever bytes."""
    user("increment", "demo")
    done = user(*ADD, "--description", "-", stdin="first line\nsecond \xff".encode("latin-1"))

    assert 0 == done.code
    (entry,) = user.state("demo")["feedback_history"]
    assert "first line\nsecond \ufffd" == entry["description"]


@pytest.mark.parametrize(
    ("command", "life", "is_open"),
    [("resolve", "verified", False), ("dismiss", "dismissed", False), ("defer", "deferred", False)],
)
def test_a_person_closes_a_finding_and_opens_it_again(
    quick: Quick, command: str, life: str, is_open: bool
) -> None:
    """By the beginning of its id, with a reason that the history tells; again by its whole id."""
    quick("increment", "demo")
    quick(*ADD, "--description", "broken", "--comment-id", "c-1234")
    judged = quick("feedback", command, "demo", "c-1", "--reason", "it is generated")

    assert f"demo: {life} c-1234\n" == judged.out
    assert is_open is ("c-1234" in quick("feedback", "list", "demo", "--open").out)
    assert "c-1234" in quick("feedback", "list", "demo", "--life", life).out
    assert "no findings\n" == quick("feedback", "list", "demo", "--life", "open").out
    assert f"{life}: c-1234: it is generated" in quick("history", "demo").out
    again = quick("feedback", "reopen", "demo", "c-1234", "--reason", "it is real", "-o", "json")
    assert {"task_id": "demo", "ids": ["c-1234"], "life": "reopened", "changed": 1} == again.json()
    assert "c-1234" in quick("feedback", "list", "demo", "--open").out


def test_feedback_about_an_older_commit_is_listed_and_not_open(quick: Quick) -> None:
    """It is told when it is added, listed as outdated, and counts once it is opened."""
    quick("increment", "demo")
    old, new = "a" * 40, "b" * 40
    assert "demo is at " + old + "\n" == quick("tip", "demo", old).out
    assert new == quick("tip", "demo", new, "-o", "json").json()["tip"]
    added = (*ADD, "--description", "broken", "--comment-id", "c-1", "--commit", old)

    assert "demo: outdated finding c-1\n" == quick(*added).out
    assert "outdated" in quick("feedback", "list", "demo", "--life", "outdated").out
    assert "no findings\n" == quick("feedback", "list", "demo", "--open").out
    assert 0 == sum(quick("explain", "demo", "-o", "json").json()["open"].values())
    assert "1 outdated" in quick("history", "demo").out
    assert f"the change is at commit {new}" in quick("history", "demo").out
    assert 11 == quick(*ADD, "--description", "x", "--commit", "main").code
    quick("feedback", "reopen", "demo", "c-1", "--reason", "still there")
    assert "c-1" in quick("feedback", "list", "demo", "--open").out


def test_a_judgement_on_an_unknown_finding_is_refused(quick: Quick) -> None:
    """Exit code 11, and a word on where the ids are."""
    quick("increment", "demo")
    refused = quick("feedback", "dismiss", "demo", "c-9", "--reason", "none")

    assert 11 == refused.code
    assert "no finding 'c-9': `mendloop feedback list demo` shows the ids" in refused.err


def test_a_description_that_is_cut_is_told(quick: Quick) -> None:
    """Of too long a description its beginning is kept: a warning and the finding's note say so."""
    quick("increment", "demo")
    fits = quick(*ADD, "--description", "x" * 8192)
    cut = quick(*ADD, "--description", "y" * 8193)
    entries = quick("feedback", "list", "demo", "-o", "json").json()["feedback"]

    assert (0, "") == (fits.code, fits.err)
    assert 0 == cut.code
    assert "warning: of the description 8192 bytes are kept" in cut.err
    note = "the description was longer, and 8192 bytes of it are kept"
    assert [None, note] == [entry["mendloop"].get("note") for entry in entries]


def test_feedback_for_no_task_is_refused(quick: Quick) -> None:
    """Feedback makes no task."""
    assert 3 == quick(*ADD, "--description", "x").code
    assert {"tasks": []} == quick("list", "-o", "json").json()


def test_feedback_without_words_is_refused(quick: Quick) -> None:
    """An empty description is refused, and nothing is written."""
    quick("increment", "demo")
    refused = quick(*ADD, "--description", " ")

    assert 11 == refused.code
    assert [] == quick("show", "demo", "-o", "json").json()["feedback_history"]


def test_control_sequences_in_feedback_reach_neither_store_nor_screen(quick: Quick) -> None:
    """What would steer a terminal is gone before it is kept."""
    quick("increment", "demo")
    quick(*ADD, "--description", "red \x1b[31malarm\x1b]0;title\x07 \u202egnp.exe")

    for command in ("show", "explain"):
        assert not {"\x1b", "\x07", "\u202e"} & set(quick(command, "demo").out)


def test_pause_resume_and_stop(quick: Quick) -> None:
    """A paused task refuses an iteration, a resumed one takes it, a stopped one has ended."""
    quick("increment", "demo")

    assert 0 == quick("pause", "demo", "--reason", "lunch").code
    assert 9 == quick("increment", "demo").code
    assert "Paused" == quick("show", "demo", "-o", "json").json()["mendloop"]["phase"]
    assert 1 == quick("resume", "demo", "-o", "json").json()["iteration"]
    assert 0 == quick("stop", "demo", "--reason", "no longer needed").code
    assert 11 == quick("increment", "demo").code
    assert "no longer needed" in quick("explain", "demo").out


def test_a_second_pause_says_whose_is_the_first(quick: Quick) -> None:
    """The reason that stands is told, and the new one is not taken for it."""
    quick("increment", "demo")
    assert "already" not in quick("pause", "demo", "--reason", "lunch", "--by", "ann").out
    again = quick("pause", "demo", "--reason", "tea", "--by", "bea")

    assert 0 == again.code
    assert "demo is paused already, by ann: lunch; `mendloop resume demo` goes on" in again.out
    assert "paused by ann: lunch" in quick("explain", "demo").out


@pytest.mark.parametrize(
    "blank",
    [
        ("pause", "demo", "--reason", ""),
        ("pause", "demo", "--reason", " "),
        ("stop", "demo", "--reason", " "),
        ("hold", "demo", "--reason", " "),
        ("delete", "demo", "--reason", " "),
        ("feedback", "dismiss", "demo", "x", "--reason", " "),
        (*ADD, "--description", "a", "--comment-id", " "),
        (*ADD, "--description", "a", "--line", "0"),
    ],
)
def test_an_option_that_says_nothing_is_refused(quick: Quick, blank: tuple[str, ...]) -> None:
    """A blank reason or comment id, and a line before the first, are usage errors; nothing is written."""
    quick("increment", "demo")
    before = quick("show", "demo", "-o", "json").out

    assert 2 == quick(*blank).code
    assert before == quick("show", "demo", "-o", "json").out


def test_resume_of_a_task_that_goes_on_is_refused(quick: Quick) -> None:
    """There is nothing to resume, and the message says so."""
    quick("increment", "demo")
    refused = quick("resume", "demo")

    assert 11 == refused.code
    assert "nothing to resume" in refused.err


@pytest.mark.parametrize("command", [("pause", "demo"), ("increment",), ("feedback", "add")])
def test_what_is_missing_is_named(quick: Quick, command: tuple[str, ...]) -> None:
    """A usage error is one line that names what is missing and where the help is."""
    done = quick(*command)

    assert 2 == done.code
    assert 1 == len(done.err.splitlines())
    assert "Missing" in done.err
    assert "--help" in done.err


def test_who_did_it_is_in_the_history(quick: Quick) -> None:
    """--by names the author of a change; else it is user@host."""
    quick("increment", "demo", "--by", "robot 7")
    quick("increment", "demo")
    first, second = quick("history", "demo", "-o", "json").json()["commits"]

    assert "robot 7" == first["changes"][0]["by"]
    assert "@" in second["changes"][0]["by"]
    assert "cli" == second["changes"][0]["door"]


def test_advice_means_the_store_that_was_asked(quick: Quick) -> None:
    """A command that a refusal names is about the same store as the refused one."""
    option = ("--store", "sqlite:other place.db")
    quick("increment", "demo", *option)
    quick("pause", "demo", "--reason", "lunch", *option)
    here = quick("increment", "demo", *option)

    assert 9 == here.code
    assert "`mendloop resume demo --store 'sqlite:other place.db'`" in here.err
    assert "`mendloop list --store 'sqlite:other place.db'`" in quick("show", "x", *option).err
