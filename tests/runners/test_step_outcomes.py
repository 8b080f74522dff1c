from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from mendloop.core.errors import RunError
from mendloop.core.run import Child
from mendloop.runners.local import LocalRunner
from mendloop.runners.port import StepCommand, StepOutcome


async def test_a_good_command_has_no_problem(bench: Any) -> None:
    """Exit code 0 is no problem, and what was printed is kept."""
    outcome = await bench.run("printf 'one\\ntwo'; printf warned >&2")

    assert ("", 0, None) == (outcome.problem, outcome.exit_code, outcome.signal)
    assert b"one\ntwo" == outcome.stdout.read_bytes()
    assert (7, False) == (outcome.stdout_bytes, outcome.is_stdout_cut)
    assert b"warned" == outcome.stderr_tail
    assert [("stdout", "one"), ("stdout", "two")] == [
        line for line in bench.lines if line[0] == "stdout"
    ]


@pytest.mark.parametrize(
    ("line", "exit_code", "signal", "problem"),
    [
        ("exit 3", 3, None, "exit code 3"),
        ("no-such-tool --flag", 127, None, "command not found: no-such-tool --flag"),
        ("./script", 126, None, "command not executable: ./script"),
        ("kill -SEGV $$", None, 11, "killed by signal 11 (SIGSEGV)"),
        ("kill -9 $$", None, 9, "killed by signal 9 (SIGKILL)"),
        (
            "sh -c 'kill -9 $$'; exit $?",
            137,
            None,
            "exit code 137, as when killed by signal 9 (SIGKILL)",
        ),
        ("exit 125", 125, None, "exit code 125"),
        ("exit 255", 255, None, "exit code 255"),
    ],
)
async def test_a_failure_is_told_in_words(
    bench: Any, line: str, exit_code: int | None, signal: int | None, problem: str
) -> None:
    """Each way to fail has its own words, which name the command or the signal."""
    (bench.cwd / "script").write_text("#!/bin/sh\n")

    outcome = await bench.run(line)

    assert problem == outcome.problem
    assert (exit_code, signal) == (outcome.exit_code, outcome.signal)


async def test_a_command_that_looks_like_an_option_is_still_a_command(bench: Any) -> None:
    """A line that begins with a dash is run, not read as the shell's option."""
    outcome = await bench.run("-x")

    assert "command not found: -x" == outcome.problem


def test_a_long_command_is_cut_in_the_words(tmp_path: Path) -> None:
    """The words for a failure stay short, whatever the command is."""
    command = StepCommand(name="a", command="x\n y" + "z" * 10_000, cwd=tmp_path)
    outcome = StepOutcome(command=command, exit_code=127, signal=None, stdout=tmp_path)

    assert f"command not found: x y{'z' * 97}..." == outcome.problem


@pytest.mark.parametrize("line", ["echo \0", "x" * 4_000_000])
async def test_what_cannot_be_started_is_a_run_error(bench: Any, line: str) -> None:
    """A line that the system refuses is an error of its own, and nothing runs."""
    with pytest.raises(RunError, match="cannot start a command"):
        await bench.run(line)

    assert [] == bench.children


async def test_a_missing_folder_is_a_run_error(bench: Any, tmp_path: Path) -> None:
    """A work folder that is not there is named."""
    with pytest.raises(RunError, match="nowhere"):
        await bench.run("true", cwd=tmp_path / "nowhere")


async def test_a_run_folder_that_cannot_be_made_is_a_run_error(tmp_path: Path) -> None:
    """Where outputs cannot be kept, nothing runs."""
    (tmp_path / "file").write_text("")
    runner = LocalRunner(tmp_path / "file" / "run", "token")

    async def on_start(child: Child) -> None:
        raise AssertionError

    with pytest.raises(RunError, match="cannot use the folder"):
        await runner.run(
            StepCommand(name="a", command="true", cwd=tmp_path),
            on_start=on_start,
            on_output=lambda _stream, _line: None,
        )


async def test_a_report_file_is_handed_on(bench: Any) -> None:
    """A tool that cannot print its report may write it to the file that it is told."""
    outcome = await bench.run('echo "<x/>" > "$MENDLOOP_REPORT"')

    assert outcome.report is not None
    assert "<x/>\n" == outcome.report.read_text()


@pytest.mark.parametrize(
    "line",
    [
        "true",
        ': > "$MENDLOOP_REPORT"',
        'mkdir "$MENDLOOP_REPORT"',
        'mkfifo "$MENDLOOP_REPORT"',
        'ln -s /etc/passwd "$MENDLOOP_REPORT"',
    ],
)
async def test_only_a_file_with_something_in_it_is_a_report(bench: Any, line: str) -> None:
    """Nothing, an empty file and what is no file are no report."""
    outcome = await bench.run(line)

    assert ("", None) == (outcome.problem, outcome.report)


async def test_steps_leave_nothing_open(bench: Any) -> None:
    """After many steps, good and bad, no descriptor and no process is left."""
    await bench.run("true")
    before = list_entries("/proc/self/fd")

    for line in ["true", "exit 3", "kill -9 $$", "no-such-tool", "sleep 30 & exit 0"]:
        await bench.run(line, timeout_seconds=10)
    with pytest.raises(RunError):
        await bench.run("true", cwd=bench.cwd / "nowhere")

    assert len(before) == len(list_entries("/proc/self/fd"))
    assert set() == {str(child.pid) for child in bench.children} & list_entries("/proc")


async def test_steps_may_run_side_by_side(bench: Any) -> None:
    """Outputs of steps that run at the same time are kept apart."""
    outcomes = await asyncio.gather(
        *(bench.run(f"sleep 0.2; echo {number}", name="same/name") for number in range(8))
    )

    assert [f"{number}\n" for number in range(8)] == [one.stdout.read_text() for one in outcomes]
    assert 8 == len({one.stdout for one in outcomes})


def list_entries(folder: str) -> set[str]:
    return {path.name for path in Path(folder).iterdir()}


def test_no_half_of_a_secret_is_in_the_words(tmp_path: Path) -> None:
    """A command that is told in part is told without secrets, and without broken text."""
    for length in range(40, 100):
        line = f"{'x' * length} caf\udce9 ghp_{'Aa1' * 12}"
        command = StepCommand(name="a", command=line, cwd=tmp_path)
        outcome = StepOutcome(command=command, exit_code=127, signal=None, stdout=tmp_path)

        assert b"ghp_" not in outcome.problem.encode()
