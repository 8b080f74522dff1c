"""`mendloop run`: a user's loop from the first review to its end, and on from there."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
from pathlib import Path

import msgspec
import pytest
from cli_user import PATIENCE_SECONDS, Quick, User, Wait

from mendloop import events
from mendloop.runners.identity import start_ticks

TWO_REVIEWERS = """
task = "demo"

[loop]
fix = "sh fix.sh"
max_iterations = 2

[[review]]
command = "sh review.sh"
format = "jsonl"

[[review]]
name = "words"
command = "echo notes.txt:1: a word is missing; exit 1"
format = "text"
"""


def test_a_loop_runs_until_nothing_is_open(todo: User, loop_arguments: tuple[str, ...]) -> None:
    """The walk through: run, see the iterations and the reason, ask again, list, explain."""
    ran = todo("run", "demo", *loop_arguments)

    assert (0, "") == (ran.code, ran.err)
    assert "sh fix.sh" not in ran.out
    assert "fix | one line is gone" in ran.out
    table = ran.out[ran.out.index("ITERATION") :].splitlines()
    assert "ITERATION OPEN NEW RESOLVED CAME BACK TIME" == " ".join(table[0].split())
    assert [["1", "2", "3", "1", "0"], ["2", "1", "0", "1", "0"], ["3", "0", "0", "1", "0"]] == [
        line.split()[:5] for line in table[1:4]
    ]
    assert "demo: completed: a complete review found nothing open" in table
    assert "Completed" in todo("list").out
    assert 4 == todo("explain", "demo").out.count("review: ")


def test_a_task_that_has_ended_is_not_run_again(
    todo: User, loop_arguments: tuple[str, ...]
) -> None:
    """The second run says so, names the way on, and exits with the code of the stop reason."""
    todo("run", "demo", *loop_arguments)
    before = todo.state("demo")
    again = todo("run", "demo", *loop_arguments)

    assert 0 == again.code
    assert "has ended already, and nothing was run: completed" in again.out
    assert "mendloop resume demo" in again.out
    assert before == todo.state("demo")


def test_it_goes_on_after_a_higher_limit(todo: User, loop_arguments: tuple[str, ...]) -> None:
    """A spent limit exits 4 and names resume; after it the same command goes on to the end."""
    command = ("run", "demo", *loop_arguments, "--max-iterations", "1")
    first = todo(*command)

    assert 4 == first.code
    assert "mendloop resume demo --max-iterations 11" in first.out
    assert 4 == todo(*command).code
    assert 0 == todo("resume", "demo", "--max-iterations", "11").code
    assert 0 == todo(*command).code
    assert 3 == todo.state("demo")["iteration"]


def test_no_progress_stops_the_loop(todo: User) -> None:
    """A fixer that changes nothing is found out: exit code 5."""
    ran = todo(
        *("run", "demo", "--review", "sh review.sh", "--format", "jsonl"),
        *("--fix", "true", "--no-progress", "2"),
    )

    assert 5 == ran.code
    assert "the same 3 findings were open after 2 reviews in a row" in ran.out
    assert "fix changed nothing" in ran.out
    assert "mendloop resume demo" in ran.out
    explained = todo("explain", "demo").out
    assert "and the work tree was the same at 2 reviews in a row" in explained
    assert 2 == explained.count("Iteration 1: 3 open (set ")


def test_the_budget_stops_the_loop(todo: User) -> None:
    """A step ends with the time that is left, and the loop then says so: exit code 6."""
    ran = todo(
        *("run", "demo", "--review", "sh review.sh", "--format", "jsonl"),
        *("--fix", "sleep 30", "--budget", "1s"),
    )

    assert 6 == ran.code
    assert "the budget of 1.0 s is spent" in ran.out


def test_the_budget_is_that_of_all_reviewers_together(todo: User) -> None:
    """Each reviewer has the time that is left when it begins; without any it is not begun."""
    reviews = ("sleep 2", "sleep 30", "touch third; sh review.sh")
    ran = todo(
        *("run", "demo", *(word for command in reviews for word in ("--review", command))),
        *("--fix", "touch fixed", "--budget", "4s"),
    )

    assert 6 == ran.code
    (left,) = re.findall(r"sleep 30: timed out after ([0-9.]+) s", ran.out)
    assert float(left) < 2
    assert "not run: the time budget is spent" in ran.out
    assert not (todo.tree / "third").exists()
    assert not (todo.tree / "fixed").exists()


def test_two_reviewers_from_the_file(todo: User) -> None:
    """The file names task, reviewers and fixer; each finding knows which reviewer it is from."""
    todo.write("mendloop.toml", TWO_REVIEWERS)
    ran = todo("run")

    assert 4 == ran.code
    state = todo.state("demo")
    sources = {entry["mendloop"]["source"].split(":")[0] for entry in state["feedback_history"]}
    assert {"sh review.sh", "words"} == sources
    still_open = [entry for entry in state["feedback_history"] if not entry["resolved"]]
    assert {"sh review.sh", "words"} == {e["mendloop"]["source"].split(":")[0] for e in still_open}
    assert {"sh review.sh", "words"} == set(state["mendloop"]["sources"])


def test_the_command_line_counts_more_than_the_file(todo: User) -> None:
    """An option replaces the file's key; the others stay."""
    todo.write("mendloop.toml", TWO_REVIEWERS)
    ran = todo("run", "other", "--review", "sh review.sh", "--format", "jsonl")

    assert 4 == ran.code
    assert "other: max_iterations" in ran.out
    assert ["sh review.sh"] == list(todo.state("other")["mendloop"]["sources"])


def test_a_file_never_lowers_a_limit_that_was_raised(todo: User) -> None:
    """After resume with a higher limit the file's lower one does not count any more."""
    todo.write("mendloop.toml", TWO_REVIEWERS.split("[[review]]\nname", maxsplit=1)[0])
    assert 4 == todo("run").code
    assert 0 == todo("resume", "demo", "--max-iterations", "5").code

    assert 0 == todo("run").code
    assert 5 == todo.state("demo")["mendloop"]["settings"]["max_iterations"]


def test_reviewers_of_one_program_are_two_sources(todo: User) -> None:
    """One command of a program never resolves what another one found, whatever their order."""
    other = "LANG=C sh -c 'exit 0'"
    limit = ("--format", "jsonl", "--fix", "true", "--max-iterations", "1")
    assert 4 == todo("run", "demo", "--review", "sh review.sh", *limit).code
    todo("resume", "demo", "--max-iterations", "2")
    ran = todo("run", "demo", "--review", other, *limit[:-1], "2")
    todo("resume", "demo", "--max-iterations", "9")
    both = ("--review", other, "--review", "sh review.sh")
    assert 0 == todo("run", "demo", *both, *limit[:2], "--fix", "sh fix.sh").code

    assert 4 == ran.code
    assert "0 resolved" in ran.out
    first, second = sorted(todo.state("demo")["mendloop"]["sources"])
    assert ("sh -c 'exit 0'~", "sh review.sh") == (f"{first.split('~')[0]}~", second)


def test_one_reviewer_twice_is_a_usage_error(quick: Quick) -> None:
    """The same command again would be the same source: exit code 2, and no task."""
    done = quick("run", "demo", "--review", "true", "--review", "true", "--fix", "true")

    assert 2 == done.code
    assert "two reviewers have one name: true" in done.err
    assert {"tasks": []} == quick("list", "-o", "json").json()


def test_json_lines_follow_the_schema(todo: User, loop_arguments: tuple[str, ...]) -> None:
    """Each line is an event that its schema knows, with a time; the last one is the end."""
    ran = todo("run", "demo", *loop_arguments, "-o", "json")
    kinds = {
        kind.__struct_config__.tag: kind
        for kind in (getattr(events, name) for name in events.__all__)
        if isinstance(kind, type) and issubclass(kind, events.Event)
    }

    assert 0 == ran.code
    for line in ran.events():
        assert line.pop("at").endswith("Z")
        msgspec.convert(line, kinds[line["event"]])
    names = [line["event"] for line in ran.events()]
    assert "run_started" == names[0]
    assert "finished" == names[-1]
    assert "completed" == ran.events()[-1]["reason"]
    assert 3 == names.count("output")


def test_the_brief_reaches_the_fixer_in_a_file(todo: User) -> None:
    """The fixer finds its brief through the environment, and no finding on its command line."""
    fix = 'cp "$MENDLOOP_BRIEF_JSON" brief.json; cp "$MENDLOOP_BRIEF" brief.md; sh fix.sh'
    todo(
        *("run", "demo", "--review", "sh review.sh", "--format", "jsonl", "--fix", fix),
        *("--max-iterations", "1"),
    )
    brief = json.loads((todo.tree / "brief.json").read_text())

    assert 3 == brief["open_total"]
    assert "three" in (todo.tree / "brief.md").read_text()


def test_another_folder_is_worked_in(
    todo: User, loop_arguments: tuple[str, ...], tmp_path: Path
) -> None:
    """-C names the work tree; the commands run in it."""
    elsewhere = tmp_path / "elsewhere"
    todo.tree.rename(elsewhere)
    todo.tree.mkdir()

    assert 0 == todo("run", "demo", *loop_arguments, "-C", str(elsewhere)).code
    assert "" == (elsewhere / "todo.txt").read_text()


def test_an_earlier_runs_files_are_gone(todo: User, loop_arguments: tuple[str, ...]) -> None:
    """The folder for briefs and output holds the last iteration's files alone."""
    todo("run", "demo", *loop_arguments)
    (folder,) = (todo.state_folder / "work").iterdir()
    (folder / "old").write_text("left")
    todo("resume", "demo")
    todo("run", "demo", *loop_arguments)

    assert not (folder / "old").exists()


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        ((), "name a TASK"),
        (("demo",), "--review CMD is missing"),
        (("demo", "--review", "true"), "--fix CMD is missing"),
    ],
)
def test_what_a_run_lacks_is_named(quick: Quick, arguments: tuple[str, ...], missing: str) -> None:
    """A run without its parts is a usage error, and makes no task."""
    done = quick("run", *arguments)

    assert 2 == done.code
    assert missing in done.err
    assert {"tasks": []} == quick("list", "-o", "json").json()


def test_a_completed_task_says_nothing_of_other_content(
    todo: User, loop_arguments: tuple[str, ...]
) -> None:
    """Run again on what was completed: exit code 0. On other content: refused, never a green lie."""
    assert 0 == todo("run", "demo", *loop_arguments).code
    assert 0 == todo("run", "demo", *loop_arguments).code
    todo.write("todo.txt", "a new fault\n")
    refused = todo("run", "demo", *loop_arguments)

    assert 11 == refused.code
    assert "mendloop resume demo" in refused.err
    assert 0 == todo("resume", "demo").code
    assert 0 == todo("run", "demo", *loop_arguments).code
    assert 4 == len(todo.state("demo")["feedback_history"])


def test_one_name_in_two_folders_is_no_one_task(
    todo: User, loop_arguments: tuple[str, ...], tmp_path: Path
) -> None:
    """A task that works in a folder that is still there is not mixed with another's findings."""
    assert 4 == todo("run", "demo", *loop_arguments[:-1], "true", "--max-iterations", "1").code
    before = todo.state("demo")
    other = tmp_path / "other"
    other.mkdir()
    refused = todo("run", "demo", *loop_arguments, "-C", str(other))

    assert 11 == refused.code
    assert "choose another task id" in refused.err
    assert before == todo.state("demo")


def test_stop_ends_what_a_killed_run_has_left(todo: User, wait_until: Wait) -> None:
    """The run is dead and its fixer lives: the stop ends the fixer before it says so."""
    fixer = "echo $$ > ../fixer.pid; exec sleep 60"
    review = ("--review", "sh review.sh", "--format", "jsonl")
    process = todo.start("run", "demo", *review, "--fix", fixer)
    mark = todo.folder / "fixer.pid"
    wait_until(lambda: mark.exists() and mark.read_text().endswith("\n"))
    fixer_pid = int(mark.read_text())
    process.kill()
    process.wait()
    assert start_ticks(fixer_pid) is not None

    assert 0 == todo("stop", "demo").code
    assert start_ticks(fixer_pid) is None


def test_explain_tells_who_took_the_task_over(
    todo: User, loop_arguments: tuple[str, ...], wait_until: Wait
) -> None:
    """A line for each run that took the task and gave it back; one that was killed is named."""
    review = ("--review", "sh review.sh", "--format", "jsonl")
    process = todo.start("run", "demo", *review, "--fix", "touch ../begun; exec sleep 60")
    wait_until((todo.folder / "begun").exists)
    process.kill()
    process.wait()
    assert 0 == todo("run", "demo", *loop_arguments, "--by", "bea").code
    told = todo("explain", "demo").out
    history = todo("history", "demo").out
    created = todo("history", "demo", "-o", "json").json()["commits"][0]
    name = created["changes"][0]["by"]

    for words in (
        f"taken by {name} (generation 1)",
        f"taken over from {name} by bea (generation 2)",
        "given back after 0 heartbeats",
    ):
        assert (1, 1) == (told.count(words), history.count(words))
    assert 2 == told.count("taken ")
    assert 0 == todo("audit", "--verify", "demo").code


@pytest.mark.parametrize("iterations", [1, 4])
def test_what_was_never_reviewed_is_not_completed(
    todo: User, loop_arguments: tuple[str, ...], iterations: int
) -> None:
    """Killed after the clean review, edited, run again: the edit is reviewed before the end."""
    if iterations == 1:
        todo.write("todo.txt", "")
    crash_at = f"review-recorded:{iterations}"
    todo.environment["MENDLOOP_CRASH_AT"] = crash_at
    killed = todo.start("run", "demo", *loop_arguments, start_new_session=True)
    assert -signal.SIGKILL == killed.wait(PATIENCE_SECONDS)
    del todo.environment["MENDLOOP_CRASH_AT"]
    todo.write("todo.txt", "a new fault\n")

    assert 0 == todo("run", "demo", *loop_arguments).code
    assert "" == (todo.tree / "todo.txt").read_text()
    assert "a new fault" in todo("feedback", "list", "demo").out


def test_a_completed_task_with_a_new_finding_is_no_success(
    todo: User, loop_arguments: tuple[str, ...]
) -> None:
    """A finding that came in after the end is not passed over with exit code 0."""
    assert 0 == todo("run", "demo", *loop_arguments).code
    found = ("--severity", "Critical", "--issue-type", "Bug", "--description", "it leaks")
    assert 0 == todo("feedback", "add", "demo", *found).code
    refused = todo("run", "demo", *loop_arguments)

    assert 11 == refused.code
    assert "1 findings came in since" in refused.err
    assert "mendloop resume demo" in refused.err


@pytest.mark.damages
def test_a_lost_piece_of_history_fails_no_run(todo: User, loop_arguments: tuple[str, ...]) -> None:
    """What cannot be told any more is a warning: the run's own end decides its exit code."""
    for _ in range(40):
        assert 0 == todo("increment", "demo", "--max-iterations", "100").code
    connection = sqlite3.connect(todo.store)
    connection.execute("DELETE FROM document WHERE kind = 'chunk'")
    names = connection.execute("SELECT sum(name_digest) FROM document").fetchone()[0]
    connection.execute("UPDATE counter SET names = ?", (names,))
    connection.commit()
    connection.close()
    ran = todo("run", "demo", *loop_arguments)

    assert 0 == ran.code
    assert "lacks commits 1 to" in ran.err
    assert "demo: completed" in ran.out
