"""Bad tools: what a reviewer or a fixer does wrong is recorded, and resolves nothing."""

from __future__ import annotations

import json

import pytest
from cli_user import User

HALF_SARIF = (
    '{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "tool"}}, "results": '
    '[{"ruleId": "A", "message": {"text": "first"}}, {"ruleId": "B", "mess'
)

BAD_REVIEWERS = {
    "killed": ("kill -9 $$", (), "SIGKILL"),
    "hangs": ("sleep 60", ("--review-timeout", "1s"), "timed out after 1 s"),
    "half a SARIF": ("cat half.sarif", (), "does not parse"),
    "half a SARIF, expected": ("cat half.sarif", ("--format", "sarif"), "does not parse"),
    "garbage": ("head -c 5000 /dev/urandom", ("--format", "sarif"), "does not parse"),
    "nothing": ("true", ("--format", "sarif"), "no output"),
    "wrong exit code": ("exit 77", ("--format", "jsonl"), "77"),
}


@pytest.mark.parametrize("kind", BAD_REVIEWERS)
def test_a_bad_review_resolves_nothing_and_is_recorded(
    todo: User, loop_arguments: tuple[str, ...], kind: str
) -> None:
    """Exit code 7 after the attempts; the findings of the good review before are still open."""
    command, options, words = BAD_REVIEWERS[kind]
    todo.write("half.sarif", HALF_SARIF)
    # The names agree, so that the bad reviewer speaks for what the good one found.
    config = '[loop]\nfix = "true"\nstep_attempts = 2\n[[review]]\nname = "it"\ncommand = '
    todo.write(
        "mendloop.toml", f"{config}'sh review.sh'\nformat = 'jsonl'\nmax = 1".split("\nmax")[0]
    )
    assert 4 == todo("run", "demo", "--max-iterations", "1").code
    before = todo.state("demo")
    todo.write("mendloop.toml", f"{config}'{command}'\n")
    todo("resume", "demo", "--max-iterations", "5")
    ran = todo("run", "demo", *options)
    after = todo.state("demo")

    assert 7 == ran.code
    assert words in ran.out
    assert "step_failed" in ran.out
    assert (1, 0) == (before["iteration"], len(before["error_messages"]))
    assert [words in message for message in after["error_messages"]] == [True, True]
    kept = {e["pr_comment_id"] for e in after["feedback_history"] if not e["resolved"]}
    assert {e["pr_comment_id"] for e in before["feedback_history"]} <= kept
    assert words in todo("explain", "demo").out


UNRUNNABLE = {
    "no-such-command": "command not found: no-such-command",
    "./todo.txt": "command not executable: ./todo.txt",
}


@pytest.mark.parametrize("step", ["review", "fix"])
@pytest.mark.parametrize("command", UNRUNNABLE)
def test_a_command_that_cannot_run_is_tried_once(
    todo: User, loop_arguments: tuple[str, ...], step: str, command: str
) -> None:
    """Exit code 7 at once, which command and why; corrected, the same run goes on."""
    good = "sh review.sh" if step == "review" else "sh fix.sh"
    bad = (command if word == good else word for word in loop_arguments)
    ran = todo("run", "demo", *bad, "--review", "touch second", "-o", "json")

    assert 7 == ran.code
    assert f"cannot be run: {UNRUNNABLE[command]}" in ran.err.splitlines()[0]
    started = [event for event in ran.events() if event["event"] == "step_started"]
    assert (1 if step == "review" else 3) == len(started)
    state = todo.state("demo")
    assert [True] == [UNRUNNABLE[command] in message for message in state["error_messages"]]
    assert "InProgress" == state["status"]
    assert UNRUNNABLE[command] in todo("explain", "demo").out
    assert 0 == todo("run", "demo", *loop_arguments).code


def test_what_a_failed_review_found_goes_to_the_fixer(todo: User) -> None:
    """A reviewer that breaks off after some findings: they are fixed, and nothing is resolved."""
    todo.write("broken.sh", "cat todo.txt | head -1 | grep -q . && sh review.sh; exit 3")
    ran = todo("run", "demo", "--review", "sh broken.sh", "--format", "jsonl", "--fix", "true")

    assert 5 == ran.code
    assert "exit code 3" in ran.out
    assert 0 == sum(entry["resolved"] for entry in todo.state("demo")["feedback_history"])


def test_a_brief_that_cannot_be_written_loses_nothing(
    todo: User, loop_arguments: tuple[str, ...]
) -> None:
    """Exit code 7 and the folder; the fixer was not run, and the same command goes on later."""
    good = (todo.tree / "review.sh").read_text()
    todo.write("review.sh", f'{good}mkdir "${{MENDLOOP_REPORT%/*}}/brief.md"')
    ran = todo("run", "demo", *loop_arguments)

    assert 7 == ran.code
    assert "mendloop: error: cannot write the brief into " in ran.err
    assert "one\ntwo\nthree\n" == (todo.tree / "todo.txt").read_text()
    todo.write("review.sh", good)
    assert 0 == todo("run", "demo", *loop_arguments).code
    assert 3 == todo.state("demo")["iteration"]


def test_output_that_was_taken_away_is_named(todo: User, loop_arguments: tuple[str, ...]) -> None:
    """A reviewer that removes its own captured output: exit code 7, and it goes on later."""
    good = (todo.tree / "review.sh").read_text()
    todo.write("review.sh", f'{good}rm "${{MENDLOOP_REPORT%/*}}"/*')
    ran = todo("run", "demo", *loop_arguments)

    assert 7 == ran.code
    assert "mendloop: error: what sh review.sh printed cannot be read back" in ran.err
    todo.write("review.sh", good)
    assert 0 == todo("run", "demo", *loop_arguments).code


def test_a_bad_fixer_is_recorded(todo: User) -> None:
    """Exit code 7; what the fixer said is in the state, and every finding is still open."""
    ran = todo(
        *("run", "demo", "--review", "sh review.sh", "--format", "jsonl"),
        *("--fix", "echo no key >&2; exit 9", "--step-attempts", "2"),
    )
    state = todo.state("demo")

    assert 7 == ran.code
    assert 2 == ran.out.count("fix failed after")
    assert ["exit code 9" in message for message in state["error_messages"]] == [True, True]
    assert "no key" in state["error_messages"][0]
    assert [False] * 3 == [entry["resolved"] for entry in state["feedback_history"]]


@pytest.mark.parametrize("output", ["table", "json"])
def test_what_a_tool_prints_cannot_steer_the_terminal(todo: User, output: str) -> None:
    """Escape sequences, bidi controls and broken UTF-8 reach no output and no store as they are."""
    evil = r"printf 'a.py:1: caf\351 \033[31mred\033]0;owned\007 \342\200\256evil\rforged\n'"
    todo.write("evil.sh", f"{evil}\n{evil} >&2\nexit 1\n")
    ran = todo(
        *("run", "demo", "--review", "sh evil.sh", "--fix", evil, "--max-iterations", "1"),
        *("-o", output),
    )

    assert 4 == ran.code
    assert not {"\x1b", "\x07", "\u202e", "\r"} & set(ran.out + ran.err)
    assert not any(line.startswith("forged") for line in ran.out.splitlines())
    assert "caf\ufffd" in ran.out
    for command in ("show", "explain", "history"):
        assert not {"\x1b", "\x07", "\u202e"} & set(todo(command, "demo").out)


@pytest.mark.parametrize("step", ["review", "fix"])
def test_a_work_tree_that_goes_ends_the_run(todo: User, step: str) -> None:
    """A command that removes the folder it runs in: exit code 7, and the task is still there."""
    remove = 'sh review.sh; rm -rf "$PWD"; exit 1'
    review = remove if step == "review" else "sh review.sh"
    ran = todo(
        *("run", "demo", "--review", review, "--review", "true", "--format", "jsonl"),
        *("--fix", remove),
    )
    todo.tree.mkdir()

    assert 7 == ran.code
    assert f"mendloop: error: cannot start a command in {todo.tree}: No such file" in ran.err
    assert 1 == len(ran.err.splitlines())
    assert "InProgress" == todo.state("demo")["status"]


def test_no_half_of_a_secret_is_kept(todo: User, loop_arguments: tuple[str, ...]) -> None:
    """A token that stands where standard error is cut is taken out whole."""
    made_up = "ghp_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789"
    todo.write("leak.sh", f"printf 'token {made_up} ' >&2; printf '%0470d' 0 >&2; kill -9 $$")
    assert 7 == todo("run", "demo", "--review", "sh leak.sh", *loop_arguments[2:]).code

    assert "0123456789" not in json.dumps(todo.state("demo")["error_messages"])


TWO_TOOLS = """run() {
  printf '{"tool": {"driver": {"name": "%s"}}, "results": [%s]}' "$1" "$2"
}
fault='{"message": {"text": "a fault"}}'
if [ -e fixed ]; then
  printf '{"version": "2.1.0", "runs": [%s]}' "$(run first "$LEFT")"
  exit "$CODE"
fi
printf '{"version": "2.1.0", "runs": [%s, %s]}' "$(run first "$fault")" "$(run second "$fault")"
exit 1
"""


@pytest.mark.parametrize(("code", "left_open"), [(0, []), (1, ["first", "second"])])
def test_a_tool_that_is_no_longer_named_is_spoken_for_by_a_clean_exit(
    todo: User, code: int, left_open: list[str]
) -> None:
    """With exit code 0 all that the command ran is well; with 1 the silent tool may have failed."""
    todo.write("two.sh", TWO_TOOLS)
    todo.environment |= {"CODE": str(code), "LEFT": '{"message": {"text": "a fault"}}' * code}
    ran = todo(
        *("run", "demo", "--review", "sh two.sh", "--fix", "touch fixed"),
        *("--max-iterations", "1"),
    )
    history = todo.state("demo")["feedback_history"]

    assert (4 if left_open else 0) == ran.code
    assert left_open == [entry["author"] for entry in history if not entry["resolved"]]
