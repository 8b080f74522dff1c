"""Where output goes: pipes that close, poor encodings, terminals, and floods."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import memory
import pytest
from cli_user import User

LIMIT_MEBIBYTES = 150
MEBIBYTE = 1024 * 1024


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_enough_is_no_error(user: User, unbuffered: str) -> None:
    """`mendloop list | head` exits 0 and complains of nothing, however Python buffers."""
    user.environment["PYTHONUNBUFFERED"] = unbuffered
    for number in range(3):
        user("increment", f"task-{number}")
    reader, writer = os.pipe()
    os.close(reader)
    for command in (
        ("list",),
        ("show", "task-1", "-o", "json"),
        ("--help",),
        ("list", "-o", "yaml"),
    ):
        process = user.start(*command, stdout=writer)
        _, err = process.communicate(timeout=60)
        assert (0, b"") == (process.returncode, err), command
    os.close(writer)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_output_device_is_an_error_without_a_traceback(user: User, unbuffered: str) -> None:
    """What cannot be printed is said, and not taken for success."""
    user.environment["PYTHONUNBUFFERED"] = unbuffered
    with Path("/dev/full").open("wb") as full:
        process = user.start("--help", stdout=full)
        _, err = process.communicate(timeout=60)

    assert 16 == process.returncode
    assert b"No space left on device" in err
    assert 1 == len(err.splitlines())


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("output", ["table", "json"])
def test_a_run_that_cannot_tell_ends_and_can_go_on(
    todo: User, loop_arguments: tuple[str, ...], unbuffered: str, output: str
) -> None:
    """`mendloop run > /dev/full` says what is wrong and lets the task go, for another run."""
    todo.environment["PYTHONUNBUFFERED"] = unbuffered
    with Path("/dev/full").open("wb") as full:
        process = todo.start("run", "demo", *loop_arguments, "-o", output, stdout=full)
        _, err = process.communicate(timeout=60)

    assert 16 == process.returncode
    said = err.decode().splitlines()
    assert "standard output cannot be written: No space left on device" in said[0]
    assert len(said) == (1 if output == "table" else 2)
    assert "holder" not in todo.state("demo")["mendloop"].get("lease", {})
    assert 0 == todo("run", "demo", *loop_arguments).code


def test_no_output_at_all_is_no_error(user: User) -> None:
    """With standard output and error closed it works all the same."""
    script = '"$0" -m mendloop increment demo >&- 2>&-'
    done = subprocess.run(
        ["sh", "-c", script, sys.executable], cwd=user.tree, env=user.environment, check=False
    )

    assert 0 == done.returncode
    assert 1 == user.state("demo")["iteration"]


@pytest.mark.parametrize(
    "environment",
    [{"LC_ALL": "C"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}, {"PYTHONIOENCODING": "ascii"}],
    ids=str,
)
def test_a_poor_encoding_never_fails(user: User, environment: dict[str, str]) -> None:
    """What the encoding lacks is printed as an escape; JSON stays UTF-8."""
    user("increment", "demo")
    what = ("--severity", "Low", "--issue-type", "Bug", "--description", "плохо \U0001f600")
    assert 0 == user("feedback", "add", "demo", *what).code

    for command in (("show", "demo"), ("explain", "demo"), ("feedback", "list", "demo")):
        for output in ("table", "json", "yaml"):
            done = user(*command, "-o", output, **environment)
            assert (0, "") == (done.code, done.err)
    assert "плохо" in str(user("show", "demo", "-o", "json", **environment).json())
    ran = user("run", "r", "--review", "echo плохо; exit 1", "--fix", "true", **environment)
    assert 5 == ran.code


def test_a_state_folder_that_cannot_be_made_is_one_line(user: User) -> None:
    """What the system refuses is said in one line, whatever it is."""
    (user.folder / "state").write_text("in the way")
    done = user("list")

    assert 0 != done.code
    assert 1 == len(done.err.splitlines())
    assert "Traceback" not in done.err


def test_a_traceback_is_shown_on_demand_alone(user: User) -> None:
    """MENDLOOP_DEBUG=1 shows where an error came from, before the line that says what it is."""
    quiet, loud = user("show", "demo"), user("show", "demo", MENDLOOP_DEBUG="1")

    assert (3, 3) == (quiet.code, loud.code)
    assert "Traceback" in loud.err
    assert quiet.err == loud.err.splitlines(keepends=True)[-1]


class Terminal:
    """A pseudo terminal that a command runs on."""

    def __init__(self, user: User, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        self.process = user.start(*arguments, stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        self.shown = b""

    def read(self, until: Callable[[bytes], bool] | None = None) -> str:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not (until and until(self.shown)):
            if not select.select([self._master], [], [], 0.2)[0]:
                continue
            try:
                self.shown += os.read(self._master, 65536)
            except OSError:  # nobody holds the other end any more
                break
        return self.shown.decode()

    def end(self) -> int:
        self.read()
        os.close(self._master)
        return self.process.wait(60)


@pytest.fixture
def on_terminal(todo: User) -> Callable[..., Terminal]:
    """Run a command on a terminal of its own."""
    todo.environment |= {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
    return lambda *arguments: Terminal(todo, *arguments)


def test_a_terminal_shows_where_the_loop_is(
    todo: User, on_terminal: Callable[..., Terminal]
) -> None:
    """Below the streamed lines one status line tells iteration, phase, time and findings."""
    terminal = on_terminal(
        *("run", "demo", "--review", "sh review.sh", "--format", "jsonl"),
        *(
            "--fix",
            "printf '\\033[5mblink\\033[0m\\n'; until test -e ../go; do sleep 0.1; done; sh fix.sh",
        ),
    )
    terminal.read(lambda shown: b"3 open, 0 resolved, 3 new" in shown and b"fixing 0:" in shown)
    (todo.folder / "go").touch()
    terminal.read()

    assert 0 == terminal.end()
    shown = terminal.shown.decode()
    assert re.search(r"iteration 1/10  fixing \d+:\d\d  3 open, 0 resolved, 3 new", shown)
    assert re.search(r"\x1b\[2mfix \|", shown)
    assert "one line is gone" in shown
    assert "\x1b[5m" not in shown
    assert "blink" in shown
    assert "came back" in shown
    assert "completed: a complete review found nothing open" in shown


@pytest.mark.parametrize("columns", [100, 80, 60])
def test_no_terminal_breaks_a_word_of_a_table(
    todo: User, on_terminal: Callable[..., Terminal], columns: int
) -> None:
    """An id can be copied, and a name be read, however narrow the terminal is."""
    todo.environment["COLUMNS"] = str(columns)
    what = ("--severity", "Critical", "--issue-type", "Documentation", "--description", "one line")
    todo("increment", "demo")
    todo("feedback", "add", "demo", *what)
    finding = todo.state("demo")["feedback_history"][0]["pr_comment_id"]

    for command, words in (
        (("feedback", "list", "demo"), {finding, "Documentation", "severity"}),
        (("history", "demo"), {"iteration", "commit"}),
        (("list",), {"InProgress", "iteration"}),
        (("stats",), {"MaxIterationsReached", "addressed", "Critical"}),
    ):
        terminal = on_terminal(*command)
        assert 0 == terminal.end()
        shown = re.sub(r"\x1b\[[0-9;]*m", "", terminal.shown.decode())
        assert words <= set(shown.split()), command
        assert columns >= max(len(line.rstrip()) for line in shown.splitlines()), command


def test_a_terminal_is_left_as_it_was_after_an_interrupt(
    on_terminal: Callable[..., Terminal],
) -> None:
    """The cursor is shown again, and it is said where the loop stopped."""
    terminal = on_terminal(
        *("run", "demo", "--review", "sh review.sh", "--format", "jsonl", "--fix", "sleep 60"),
    )
    terminal.read(lambda shown: b"fixing" in shown)
    terminal.process.send_signal(2)

    assert 130 == terminal.end()
    shown = terminal.shown.decode()
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
    assert "stopped at iteration 1, fixing" in shown


def test_a_flood_does_not_hold_the_tool_up(on_terminal: Callable[..., Terminal]) -> None:
    """A terminal shows so many lines as can be read, and says how many it left out."""
    terminal = on_terminal(
        "run", "demo", "--review", "seq 20000; exit 1", "--fix", "true", "--max-iterations", "1"
    )
    terminal.read()

    assert 4 == terminal.end()
    assert re.search(r"\d+ lines are not shown", terminal.shown.decode())


_MEASURED = """
import sys
from memory import peak_mebibytes
from mendloop.cli.main import run
code = run(sys.argv[1:])
print(peak_mebibytes(), file=sys.stderr)
sys.exit(code)
"""


def _peak_mebibytes(user: User, *arguments: str) -> tuple[int, float]:
    """Run the command line; its exit code, and its own peak of resident memory."""
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, *arguments],
        cwd=user.tree,
        env=user.environment | {"PYTHONPATH": str(Path(memory.__file__).parent)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    return done.returncode, float(done.stderr.splitlines()[-1])


FLOODS = {
    "lines": "yes 'src/module.py:17: error: a line of some length that a tool prints'",
    "one line": "tr '\\0' x < /dev/zero",
    "broken text": "cat /dev/urandom",
    "a report": "echo '[' ; yes '{\"severity\": \"Low\"},'",
}


@pytest.mark.parametrize("kind", FLOODS)
@pytest.mark.parametrize("step", ["review", "fix"])
def test_memory_stays_bounded_whatever_is_printed(
    todo: User, scaled: Callable[[int, int], int], kind: str, step: str
) -> None:
    """A tool that prints 200 MB costs mendloop less than 150 MB, and the loop ends by its rules."""
    size = scaled(200, 20) * MEBIBYTE
    flood = f"{FLOODS[kind]} | head -c {size}; exit 1"
    good = "sh review.sh"
    code, peak_mebibytes = _peak_mebibytes(
        todo,
        *("run", "demo", "--step-attempts", "1", "--max-iterations", "1"),
        *("--review", flood if step == "review" else good),
        *("--fix", "true" if step == "review" else flood),
    )

    assert code in {4, 7}
    assert peak_mebibytes < LIMIT_MEBIBYTES
    assert 1 == todo.state("demo")["iteration"]
