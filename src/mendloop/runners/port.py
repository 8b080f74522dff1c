"""
The port that the loop runs its reviewers and fixers through.

A runner starts a command, tells who it is before it may begin, hands its output on, ends it when
its time is up or when the caller is cancelled, and says how it went. What the output means is the
caller's business.
"""

from __future__ import annotations

import signal as signals
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

import msgspec

from mendloop.core.run import Child
from mendloop.core.text import redact_secrets, tidy
from mendloop.core.vocabulary import StepKind

__all__ = ["CAPTURE_LIMIT_BYTES", "STDERR_TAIL_BYTES", "Runner", "StepCommand", "StepOutcome"]

CAPTURE_LIMIT_BYTES = 16 * 1024 * 1024
STDERR_TAIL_BYTES = 16 * 1024

_NOT_EXECUTABLE = 126
_NOT_FOUND = 127
_KILLED_BASE = 128
_SHOWN_CHARACTERS = 100


class StepCommand(msgspec.Struct, frozen=True, kw_only=True):
    """
    One command to run.

    Attributes:
        name: What people call it: the reviewer's name, or "fix".
        command: A shell line, written by the user of the loop and by nobody else.
        cwd: Where it runs.
        environment: MENDLOOP_* variables beyond those of the runner. Never review text: that goes
            into files, and the variables name the files.
        timeout_seconds: It is ended after this long; None for no limit.
        capture_limit_bytes: Of standard output, so much is kept.
        kind: Of a review, standard output that is a machine's report is not shown.
    """

    name: str
    command: str
    cwd: Path
    environment: dict[str, str] = {}
    timeout_seconds: float | None = None
    capture_limit_bytes: int = CAPTURE_LIMIT_BYTES
    kind: StepKind = StepKind.REVIEW


class StepOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """
    How a command went.

    Attributes:
        command: What was run.
        exit_code: As the command ended, or None where a signal ended it.
        signal: The signal that ended it, or None.
        is_timeout: Whether its time was up.
        is_cancelled: Whether somebody else ended it where the runner works. A caller that is
            itself cancelled gets no outcome.
        stdout: The file with its standard output, up to the limit.
        stdout_bytes: All that it printed there, kept or not.
        is_stdout_cut: Whether the file lacks some of it.
        stderr_tail: The end of its standard error, cleaned and without secrets.
        report: The file that it wrote to MENDLOOP_REPORT, where there is one that is not empty.
        duration_seconds: From its beginning until all of it was gone.
    """

    command: StepCommand
    exit_code: int | None
    signal: int | None
    stdout: Path
    is_timeout: bool = False
    is_cancelled: bool = False
    stdout_bytes: int = 0
    is_stdout_cut: bool = False
    stderr_tail: bytes = b""
    report: Path | None = None
    duration_seconds: float = 0.0

    @property
    def is_unrunnable(self) -> bool:
        """Whether the shell found no such command, or none that may be executed."""
        return self.exit_code in {_NOT_EXECUTABLE, _NOT_FOUND}

    @property
    def problem(self) -> str:
        """What went wrong, in words; "" where the command ended with exit code 0."""
        if self.is_timeout:
            return f"timed out after {self.command.timeout_seconds or 0:.3g} s"
        if self.is_cancelled:
            return "ended from outside"
        if self.signal is not None:
            return f"killed by {_signal_words(self.signal)}"
        return _exit_words(self.exit_code or 0, self.command.command)


class Runner(Protocol):
    """Runs commands, one or several at a time."""

    async def run(
        self,
        command: StepCommand,
        *,
        on_start: Callable[[Child], Awaitable[None]],
        on_output: Callable[[str, str], None],
    ) -> StepOutcome:
        """
        Run *command* to its end: it does not begin before *on_start* has returned.

        A cancelled caller gets its `asyncio.CancelledError` once the command has been ended.

        Args:
            on_start: Records who is about to run, durably. When it raises, nothing runs and the
                exception reaches the caller.
            on_output: Shows a line; called with "stdout" or "stderr" and the line as it came, with
                whatever control characters it has. While it works, the command waits.

        Raises:
            RunError: The command could not be started, or its output could not be kept.
        """


def _signal_words(number: int) -> str:
    name = _signal_name(number)
    return f"signal {number} ({name})" if name else f"signal {number}"


def _signal_name(number: int) -> str:
    try:
        return signals.Signals(number).name
    except ValueError:
        return ""


def _exit_words(code: int, command: str) -> str:
    shown = " ".join(tidy(command, limit_bytes=sys.maxsize, redact=redact_secrets).split())
    if len(shown) > _SHOWN_CHARACTERS:
        shown = shown[:_SHOWN_CHARACTERS] + "..."
    if code == 0:
        return ""
    if code == _NOT_FOUND:
        return f"command not found: {shown}"
    if code == _NOT_EXECUTABLE:
        return f"command not executable: {shown}"
    if code > _KILLED_BASE and _signal_name(code - _KILLED_BASE):
        return f"exit code {code}, as when killed by {_signal_words(code - _KILLED_BASE)}"
    return f"exit code {code}"
