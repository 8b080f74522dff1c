"""Runs commands as subprocesses of this machine, with a time limit and bounded memory."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import stat
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

from mendloop.core.errors import RunError
from mendloop.core.run import Child
from mendloop.core.vocabulary import StepKind
from mendloop.runners.group import ProcessGroup
from mendloop.runners.identity import end_leftover, identify_child
from mendloop.runners.output import Capture, Drain, LineFeed, Tail
from mendloop.runners.port import STDERR_TAIL_BYTES, StepCommand, StepOutcome

__all__ = ["GRACE_SECONDS", "LocalRunner"]

GRACE_SECONDS = 5.0

_LINGER_SECONDS = 2.0
_LAST_BYTES_SECONDS = 0.5
_NAME_CHARACTERS = 40


class LocalRunner:
    """
    A `mendloop.runners.port.Runner` over subprocesses.

    A command gets the environment of this process without the MENDLOOP_* variables that an outer
    run set, those of its step, MENDLOOP_RUN (the token, by which leftovers are found) and
    MENDLOOP_REPORT (a file that it may write its report to). Its standard input is empty.
    """

    def __init__(self, run_dir: Path, token: str, *, grace_seconds: float = GRACE_SECONDS) -> None:
        """
        Run commands for one run.

        Args:
            run_dir: Where outputs and reports are kept; made when it is needed.
            token: Random; names the run.
            grace_seconds: Between SIGTERM and SIGKILL.
        """
        self._run_dir = run_dir.absolute()
        self._token = token
        self._grace_seconds = grace_seconds
        self._numbers = itertools.count(1)
        self._running = 0

    async def run(
        self,
        command: StepCommand,
        *,
        on_start: Callable[[Child], Awaitable[None]],
        on_output: Callable[[str, str], None],
    ) -> StepOutcome:
        """
        Run *command* to its end, as the port promises.

        What it leaves in the background is ended with it: its process group always; when it is cut
        off (time limit, cancellation), and nothing else of this run is running, also what has left
        the group.
        """
        stdout, report = self._prepare_files(command)
        with ExitStack() as resources:
            capture = Capture(stdout, command.capture_limit_bytes)
            resources.callback(capture.close)
            group = self._start(command, report)
            resources.callback(group.close)
            output = _Output(command, group, capture, on_output, resources)
            started = time.monotonic()
            is_timeout = await self._see_through(command, group, output, on_start)
            duration_seconds = time.monotonic() - started
            await output.finish()
        status = group.exit_status
        is_signal = status is not None and status < 0
        return StepOutcome(
            command=command,
            exit_code=None if is_signal else status,
            signal=-status if status is not None and is_signal else None,
            is_timeout=is_timeout,
            stdout=stdout,
            stdout_bytes=capture.total_bytes,
            is_stdout_cut=capture.is_cut,
            stderr_tail=output.tail.read(),
            report=report if _is_filled(report) else None,
            duration_seconds=duration_seconds,
        )

    async def _see_through(
        self,
        command: StepCommand,
        group: ProcessGroup,
        output: _Output,
        on_start: Callable[[Child], Awaitable[None]],
    ) -> bool:
        """Take the command from its gate to its end; answer whether its time was up."""
        child = identify_child(group.pid, self._token)
        self._running += 1
        is_whole = is_timeout = False
        try:
            await on_start(child)
            group.open_gate()
            await asyncio.wait(
                {group.exited, output.trouble},
                timeout=command.timeout_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
            is_whole = group.exited.done()
            is_timeout = not is_whole and not output.trouble.done()
            if is_whole:
                await output.wait_for_end(_LINGER_SECONDS)
        finally:
            try:
                await group.end(grace_seconds=self._grace_seconds)
                if not is_whole and self._running == 1:
                    await asyncio.to_thread(end_leftover, child, grace_seconds=self._grace_seconds)
            finally:
                self._running -= 1
        return is_timeout

    def _prepare_files(self, command: StepCommand) -> tuple[Path, Path]:
        name = re.sub(r"[^A-Za-z0-9_-]+", "-", command.name)[:_NAME_CHARACTERS]
        stem = f"{next(self._numbers):04}-{name}"
        stdout, report = self._run_dir / f"{stem}.stdout", self._run_dir / f"{stem}.report"
        try:
            self._run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            report.unlink(missing_ok=True)
        except OSError as error:
            raise RunError(f"cannot use the folder {self._run_dir}: {error}") from error
        return stdout, report

    def _start(self, command: StepCommand, report: Path) -> ProcessGroup:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("MENDLOOP_") or name == "MENDLOOP_STORE"
        }
        own = {"MENDLOOP_RUN": self._token, "MENDLOOP_REPORT": str(report)}
        return ProcessGroup(
            command.command, cwd=command.cwd, environment=inherited | command.environment | own
        )


class _Output:
    """Both outputs of a running command: kept, remembered and shown."""

    def __init__(
        self,
        command: StepCommand,
        group: ProcessGroup,
        capture: Capture,
        on_output: Callable[[str, str], None],
        resources: ExitStack,
    ) -> None:
        self.tail = Tail(STDERR_TAIL_BYTES)
        self.trouble: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        resources.callback(self._forget_trouble)
        lines = LineFeed(
            lambda line: on_output("stdout", line),
            is_report_hidden=command.kind is StepKind.REVIEW,
        )
        complaints = LineFeed(lambda line: on_output("stderr", line), is_report_hidden=False)
        self._feeds = (lines, complaints)
        self._drains = [
            Drain(group.stdout.fileno(), (capture.feed, lines.feed), trouble=self.trouble),
            Drain(group.stderr.fileno(), (self.tail.feed, complaints.feed), trouble=self.trouble),
        ]
        for drain in self._drains:
            resources.callback(drain.close)

    async def wait_for_end(self, timeout_seconds: float) -> None:
        """Wait until nobody holds the pipes any more, but not for longer."""
        await asyncio.wait({drain.ended for drain in self._drains}, timeout=timeout_seconds)

    async def finish(self) -> None:
        """
        Take in what is still in the pipes, and raise what went wrong on the way.

        Who has left the process group may hold the pipes for ever: it is not waited for.
        """
        await self.wait_for_end(_LAST_BYTES_SECONDS)
        if self.trouble.done():
            self.trouble.result()
        for feed in self._feeds:
            feed.close()

    def _forget_trouble(self) -> None:
        """Mark it as seen where the caller gets another exception."""
        if self.trouble.done():
            self.trouble.exception()


def _is_filled(report: Path) -> bool:
    try:
        status = report.lstat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size > 0
