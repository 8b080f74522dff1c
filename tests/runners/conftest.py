"""Commands run by a real local runner, and processes that tests start and end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mendloop.core.run import Child
from mendloop.runners.identity import start_ticks
from mendloop.runners.local import LocalRunner
from mendloop.runners.port import StepCommand, StepOutcome


class Bench:
    """Runs commands and remembers what the runner told."""

    def __init__(self, folder: Path, token: str) -> None:
        self.cwd = folder / "work"
        self.cwd.mkdir()
        self.runner = LocalRunner(folder / "run", token, grace_seconds=0.5)
        self.children: list[Child] = []
        self.lines: list[tuple[str, str]] = []

    async def on_start(self, child: Child) -> None:
        self.children.append(child)

    def on_output(self, stream: str, line: str) -> None:
        self.lines.append((stream, line))

    def shown(self, stream: str) -> list[str]:
        return [line for name, line in self.lines if name == stream]

    async def run(self, line: str, **options: Any) -> StepOutcome:
        step = StepCommand(**{"name": "step", "command": line, "cwd": self.cwd} | options)
        return await self.runner.run(step, on_start=self.on_start, on_output=self.on_output)

    def read_pid(self, name: str) -> int:
        """Wait for a file in the work folder that holds a process number."""
        return read_pid_from(self.cwd / name)

    async def read_pid_later(self, name: str) -> int:
        return await asyncio.to_thread(self.read_pid, name)


def read_pid_from(path: Path) -> int:
    wait_until(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())


def wait_until(is_so: Callable[[], Any], *, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    return start_ticks(pid) is None


@pytest.fixture
def token() -> str:
    """Name a run; tests at the same time must not find each other's processes."""
    return f"run-{uuid.uuid4()}"


@pytest.fixture
def bench(tmp_path: Path, token: str) -> Bench:
    """Run commands, in a folder of the test."""
    return Bench(tmp_path, token)


@pytest.fixture
def await_gone() -> Callable[[int], None]:
    """Wait until a process is no more than a zombie."""
    return lambda pid: wait_until(lambda: is_gone(pid))


@pytest.fixture
def read_pid() -> Callable[[Path], int]:
    """Wait for a file that holds a process number, and read it."""
    return read_pid_from


@pytest.fixture
def gone() -> Callable[[int], bool]:
    """Whether a process is no more than a zombie."""
    return is_gone


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a process that is killed after the test, if it still runs."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE} | options
        started.append(subprocess.Popen(arguments, **options))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


@pytest.fixture
def start_python(
    start: Callable[..., subprocess.Popen[bytes]],
) -> Callable[..., subprocess.Popen[bytes]]:
    """Start a Python script, warnings being errors."""
    return lambda script, *arguments, **options: start(
        sys.executable, "-W", "error", "-c", script, *arguments, **options
    )


@pytest.fixture
def kill_later() -> Iterator[list[int]]:
    """Kill the processes listed here after the test; for those that are nobody's children."""
    pids: list[int] = []
    yield pids
    for pid in pids:
        if not is_gone(pid):
            os.kill(pid, signal.SIGKILL)
