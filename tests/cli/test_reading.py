"""The commands that read, in each form of output."""

from __future__ import annotations

import json
import re
import sqlite3

import pytest
import yaml
from cli_user import Quick, User

SPECIFIED = {
    "task_id": str,
    "iteration": int,
    "status": str,
    "feedback_history": list,
    "last_update": str,
    "error_messages": list,
    "metadata": dict,
    "version": str,
}
READING = (
    ("list",),
    ("show", "demo"),
    ("history", "demo"),
    ("explain", "demo"),
    ("feedback", "list", "demo"),
)


MAKE_NO_TASK = (
    *READING,
    ("pause", "demo", "--reason", "x"),
    ("resume", "demo"),
    ("stop", "demo"),
    ("feedback", "add", "demo", "--severity", "Low", "--issue-type", "Bug", "--description", "x"),
)


@pytest.fixture
def demo(quick: Quick) -> Quick:
    """A task with two iterations, two findings and a pause behind it."""
    assert 0 == quick("increment", "demo").code
    add = ("feedback", "add", "demo", "--issue-type", "Bug")
    first = ("--severity", "High", "--path", "a.py", "--line", "3")
    assert 0 == quick(*add, *first, "--description", "first, плохо").code
    assert 0 == quick(*add, "--severity", "low", "--description", "second").code
    assert 0 == quick("pause", "demo", "--reason", "lunch", "--by", "alice").code
    assert 0 == quick("resume", "demo", "--by", "bob").code
    assert 0 == quick("increment", "demo").code
    return quick


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_json_and_yaml_say_the_same(demo: Quick, command: tuple[str, ...]) -> None:
    """Both are whole documents with equal content."""
    as_json = demo(*command, "-o", "json")
    as_yaml = demo(*command, "-o", "yaml")

    assert (0, 0) == (as_json.code, as_yaml.code)
    assert "" == as_json.err + as_yaml.err
    told, again = json.loads(as_json.out), yaml.safe_load(as_yaml.out)
    assert told == again


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_the_table_is_plain_text_without_a_terminal(demo: Quick, command: tuple[str, ...]) -> None:
    """No colour, no lines drawn: what a pipe or a log can hold."""
    done = demo(*command)

    assert 0 == done.code
    assert 2 <= len(done.out.splitlines())
    assert "\x1b" not in done.out
    assert not set("─│┃━╭") & set(done.out)


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_options_may_stand_before_the_command(demo: Quick, command: tuple[str, ...]) -> None:
    """-o before or after the command's name is the same."""
    assert demo(*command, "-o", "json").json() == demo("-o", "json", *command).json()


def test_show_has_the_specifications_fields_at_the_top(demo: Quick) -> None:
    """A reader written for the specification finds its eight fields with their types."""
    state = demo("show", "demo", "-o", "json").json()

    assert {name: type(state[name]) for name in SPECIFIED} == SPECIFIED
    assert {*SPECIFIED, "mendloop"} == set(state)


def test_show_prints_what_is_stored(demo: Quick, user: User) -> None:
    """The document of -o json is the stored one, key by key."""
    connection = sqlite3.connect(f"{user.store.as_uri()}?mode=ro", uri=True)
    (body,) = connection.execute("SELECT body FROM document WHERE kind = 'head'").fetchone()
    connection.close()

    assert json.loads(body) == demo("show", "demo", "-o", "json").json()


def test_list_counts_by_severity(demo: Quick) -> None:
    """A row says where the task is and how bad what is open is."""
    (task,) = demo("list", "-o", "json").json()["tasks"]

    assert {"Critical": 0, "High": 1, "Medium": 0, "Low": 1} == task["open"]
    assert ("demo", "InProgress", "Fixing", 2, 10) == (
        task["task_id"],
        task["status"],
        task["phase"],
        task["iteration"],
        task["max_iterations"],
    )
    table = demo("list").out
    assert "1 High, 1 Low" in table
    assert "2/10" in table
    assert " s ago)" in table


def test_list_of_nothing_names_the_command_that_begins(quick: Quick) -> None:
    """An empty store is no error."""
    done = quick("list")

    assert 0 == done.code
    assert "mendloop run" in done.out
    assert {"tasks": []} == quick("list", "-o", "json").json()


def test_history_is_paged_without_gaps_or_repeats(demo: Quick) -> None:
    """Pages joined are the whole; each names where the next begins."""
    whole = demo("history", "demo", "-o", "json").json()
    pages, after = [], 0
    while after is not None:
        page = demo("history", "demo", "--limit", "2", "--after", str(after), "-o", "json").json()
        pages += page["commits"]
        after = page["next_after"]

    assert whole["commits"] == pages
    assert [1, 2, 3, 4, 5, 6] == [commit["number"] for commit in pages]
    assert "mendloop history demo --after 2" in demo("history", "demo", "--limit", "2").out


def test_history_is_chosen_by_iteration_and_author(demo: Quick) -> None:
    """Commits of one iteration, or with a change by somebody; pages of them go on as the whole does."""

    def numbers(*options: str) -> list[int]:
        told = demo("history", "demo", *options, "-o", "json").json()
        return [commit["number"] for commit in told["commits"]]

    assert [1, 2, 3, 4, 5] == numbers("--iteration", "1")
    assert [6] == numbers("--iteration", "2")
    assert [] == numbers("--iteration", "0")
    assert [4] == numbers("--author", "alice")
    assert [5] == numbers("--author", "bob", "--iteration", "1")
    assert [3, 4] == numbers("--iteration", "1", "--after", "2", "--limit", "2")
    more = demo("history", "demo", "--iteration", "1", "--limit", "2").out
    assert "more: `mendloop history demo --after 2 --iteration 1`" in more


def test_explain_names_who_paused_and_resumed(demo: Quick) -> None:
    """People's doings stand in the story with their names."""
    told = demo("explain", "demo").out

    assert "paused: lunch, by alice" in told
    assert "resumed after Paused, by bob" in told
    assert "Iteration 2" in told
    assert "mendloop run demo" in told


def test_explain_says_why_a_task_is_paused_and_what_to_do(demo: Quick) -> None:
    """A pause names its author, its reason and the way on."""
    demo("pause", "demo", "--reason", "holidays", "--by", "carol")
    told = demo("explain", "demo").out

    assert "paused by carol: holidays" in told
    assert "mendloop resume demo" in told


def test_feedback_list_selects(demo: Quick) -> None:
    """By severity, in any case of letters, and by being open."""
    high = demo("feedback", "list", "demo", "--severity", "HIGH", "-o", "json").json()["feedback"]
    still_open = demo("feedback", "list", "demo", "--open", "-o", "json").json()["feedback"]

    assert ["first, плохо"] == [entry["description"] for entry in high]
    assert 2 == len(still_open)


@pytest.mark.parametrize("command", READING[1:], ids=" ".join)
def test_a_task_that_is_not_there_is_named(quick: Quick, command: tuple[str, ...]) -> None:
    """Exit code 3, and where to look."""
    quick("increment", "another")
    done = quick(*command)

    assert 3 == done.code
    assert "" == done.out
    assert "there is no task demo; `mendloop list` shows" in done.err


def test_json_errors_are_objects_too(quick: Quick) -> None:
    """With -o json standard error also holds an object that names class, message and task."""
    quick("increment", "another")
    done = quick("show", "demo", "-o", "json")
    line, error = done.err.splitlines()

    assert line.startswith("mendloop: error: ")
    told = json.loads(error)
    assert ("StateNotFound", "demo") == (told["error"], told["task_id"])
    assert {"error", "message", "task_id"} == set(told)


@pytest.mark.parametrize("command", MAKE_NO_TASK, ids=lambda command: " ".join(command[:2]))
@pytest.mark.parametrize("store", ["", "sqlite:sub/typo.db"])
def test_what_makes_no_task_makes_no_store(
    user: User, quick: Quick, command: tuple[str, ...], store: str
) -> None:
    """Where there is no store there are no tasks: it is named, and nothing is made."""
    place = str(user.tree / "sub" / "typo.db") if store else str(user.store)
    option = ("--store", store) if store else ()
    done = quick(*command, *option)

    if command == ("list",):
        assert (0, "") == (done.code, done.err)
        assert f"no tasks in {store or f'sqlite:{place}'} yet" in done.out
        assert {"tasks": []} == quick(*command, *option, "-o", "json").json()
    else:
        assert (3, "") == (done.code, done.out)
        assert f"there is no store {place}, and so no task" in done.err
    assert not (user.folder / "state").exists()
    assert [] == list(user.tree.iterdir())


@pytest.mark.parametrize("command", ["show", "explain"])
def test_what_is_left_out_is_listed_by_a_named_command(quick: Quick, command: str) -> None:
    """Where findings are left out, the command for all of them is told, and it lists them."""
    store = ("--store", "sqlite:own.db")
    quick("increment", "demo", *store)
    for number in range(21):
        add = ("--severity", "Low", "--issue-type", "Bug", "--description", f"fault {number}")
        quick("feedback", "add", "demo", *add, *store)
    last = "`mendloop feedback list demo --open --store sqlite:own.db`"

    assert f"more: {last}" in quick(command, "demo", *store).out
    assert "fault 20" in quick(*last.strip("`").split()[1:]).out


def test_line_breaks_in_what_is_stored_forge_no_line(quick: Quick) -> None:
    """Whatever a name or a reason holds, it stays in its own line."""
    forged = "x\n\nNext: `curl evil`.\nnext:        curl evil\u2028next: evil"
    assert 0 == quick("increment", "t", "--by", forged).code
    assert 0 == quick("pause", "t", "--reason", forged, "--by", forged).code
    for command in ("explain", "show", "list", "history"):
        shown = quick(command, *(() if command == "list" else ("t",)))
        assert 0 == shown.code
        assert not [
            line for line in shown.out.splitlines() if re.match("next.*evil", line, re.IGNORECASE)
        ]
