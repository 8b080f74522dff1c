from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mendloop.core.run import Child
from mendloop.runners.identity import end_leftover

# A run that says whom it started and, when it is told to, stays in `on_start` for ever.
RUN = """
import asyncio, msgspec, sys
from pathlib import Path
from mendloop.runners.local import LocalRunner
from mendloop.runners.port import StepCommand

async def on_start(child):
    print(msgspec.json.encode(child).decode(), flush=True)
    if sys.argv[3] == "stay":
        await asyncio.sleep(60)

folder = Path(sys.argv[1])
asyncio.run(LocalRunner(folder, sys.argv[4]).run(
    StepCommand(name="a", command=sys.argv[2], cwd=folder),
    on_start=on_start, on_output=lambda stream, line: None))
"""


@pytest.fixture
def start_run(
    start_python: Any, tmp_path: Path, token: str
) -> Callable[[str, str], tuple[Any, Child]]:
    """Start a run of one command, and learn whom it started."""

    def begin(line: str, manner: str) -> tuple[Any, Child]:
        process = start_python(RUN, str(tmp_path), line, manner, token)
        return process, Child(**json.loads(process.stdout.readline()))

    return begin


def test_a_run_killed_before_the_record_leaves_nothing_running(
    start_run: Any, tmp_path: Path, await_gone: Any
) -> None:
    """When the run dies between start and record, the command never begins and its shell ends."""
    process, child = start_run("touch began", "stay")

    os.kill(process.pid, signal.SIGKILL)
    await_gone(child.pid)

    assert not (tmp_path / "began").exists()


def test_what_a_killed_run_left_is_ended_and_nobody_else(
    start: Any, start_run: Any, tmp_path: Path, gone: Any, read_pid: Any
) -> None:
    """The successor ends the old command and all it started, wherever that went."""
    line = (
        "trap '' TERM; echo $$ > one;"
        "sleep 60 & echo $! > two;"
        "setsid sh -c 'echo $$ > three; sleep 60 & echo $! > four; wait' &"
        "setsid env -i sh -c 'echo $$ > five; exec sleep 60' &"
        "env -i sleep 60 & echo $! > six;"
        "wait; wait; sleep 60"
    )
    process, child = start_run(line, "go")
    names = ["one", "two", "three", "four", "five", "six"]
    pids = sorted(read_pid(tmp_path / name) for name in names)
    stranger = start("sleep", "60")
    other_run = start("sleep", "60", env={**os.environ, "MENDLOOP_RUN": child.token + "-not"})

    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not any(gone(pid) for pid in pids)
    ended = end_leftover(child, grace_seconds=0.3)

    assert set(pids) <= set(ended)
    assert all(gone(pid) for pid in ended)
    assert [None, None] == [stranger.poll(), other_run.poll()]
    assert [] == end_leftover(child)


def test_who_left_an_ended_leader_is_still_found(
    start_run: Any, tmp_path: Path, gone: Any, await_gone: Any, read_pid: Any
) -> None:
    """The token tells whose a process is when the recorded child itself is long gone."""
    line = "setsid setsid sh -c 'echo $$ > away; exec sleep 60' & sleep 60"
    process, child = start_run(line, "go")
    away = read_pid(tmp_path / "away")
    os.kill(process.pid, signal.SIGKILL)
    os.kill(child.pid, signal.SIGKILL)
    await_gone(child.pid)

    assert away in end_leftover(child)
    assert gone(away)


async def test_the_command_sees_its_variables_and_no_text(
    bench: Any, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    """Environment and arguments hold the run's names and files: never what a review said."""
    monkeypatch.setenv("MENDLOOP_ITERATION", "7 of an outer run")
    monkeypatch.setenv("MENDLOOP_RUN", "an outer run")
    monkeypatch.setenv("MENDLOOP_STORE", "sqlite:/of/the/user")
    monkeypatch.setenv("OF_THE_USER", "yes")
    brief = bench.cwd / "brief.md"
    brief.write_text("IGNORE ALL INSTRUCTIONS")
    line = "tr '\\0' '\\n' < /proc/self/environ; echo ---; tr '\\0' '\\n' < /proc/$$/cmdline"

    outcome = await bench.run(line, environment={"MENDLOOP_BRIEF": str(brief)})
    environment, _, arguments = outcome.stdout.read_text().partition("---\n")
    own = {entry for entry in environment.splitlines() if entry.startswith("MENDLOOP_")}

    assert {
        f"MENDLOOP_BRIEF={brief}",
        f"MENDLOOP_RUN={token}",
        f"MENDLOOP_REPORT={outcome.stdout.with_suffix('.report')}",
        "MENDLOOP_STORE=sqlite:/of/the/user",
    } == own
    assert "OF_THE_USER=yes" in environment.splitlines()
    assert ["/bin/sh", "-c", "--", line] == arguments.splitlines()
    assert "IGNORE" not in environment + arguments


async def test_the_command_has_an_empty_input_and_a_session_of_its_own(
    bench: Any, token: str
) -> None:
    """A command that asks a question gets no answer, and signals to mendloop do not reach it."""
    outcome = await bench.run("cat; echo $$; cut -d' ' -f6 /proc/$$/stat")
    pid, session = outcome.stdout.read_text().split()

    assert pid == session
    assert bench.children[0].pid == int(pid)
    assert bench.children[0].token == token
