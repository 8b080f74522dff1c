"""
A command's process group: started behind a gate, and ended whole.

The gate: the command's shell first waits for a word on its standard input. The word is sent when
the child has been recorded, so a crash of mendloop between the two leaves nothing running: the
pipe closes, and the shell ends without having begun the command.
"""

from __future__ import annotations

import asyncio
import os
import signal as signals
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, cast

from mendloop.core.errors import RunError
from mendloop.runners import processes

__all__ = ["ProcessGroup"]

_GATE = 'IFS= read -r go || exit 125; exec /bin/sh -c -- "$1" </dev/null'
_POLL_SECONDS = 0.03
_KILL_SECONDS = 5.0


class ProcessGroup:
    """
    A shell line in its own session and process group, not yet begun.

    Its leader is not reaped before `end`: until then the kernel gives its number to nobody else.

    Attributes:
        pid: The leader, and the name of group and session.
        stdout: The pipe that it prints to.
        stderr: The pipe that it complains to.
        exited: Done when the leader has exited, whatever else still runs.
    """

    def __init__(self, line: str, *, cwd: Path, environment: Mapping[str, str]) -> None:
        """
        Start the shell, which waits for `open_gate`.

        Raises:
            RunError: It cannot be started; nothing runs.
        """
        try:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _GATE, "mendloop", line],
                cwd=cwd,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            raise RunError(f"cannot start a command in {cwd}: {error.strerror}") from error
        except ValueError as error:
            raise RunError(f"cannot start a command in {cwd}: {error}") from error
        self.pid = self._process.pid
        self._stdin, self.stdout, self.stderr = (
            cast("IO[bytes]", pipe)
            for pipe in (self._process.stdin, self._process.stdout, self._process.stderr)
        )
        self._loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[None] = self._loop.create_future()
        self._handle = self._watch_exit()

    @property
    def exit_status(self) -> int | None:
        """The leader's exit code, or minus the signal that ended it; None before `end`."""
        return self._process.returncode

    def open_gate(self) -> None:
        """Let the command begin."""
        with suppress(BrokenPipeError):  # killed from outside while it waited: `exited` tells
            self._stdin.write(b"go\n")
        self._stdin.close()

    async def end(self, *, grace_seconds: float) -> None:
        """
        End what lives of the group: SIGTERM, a grace, SIGKILL; at once SIGKILL when cancelled.

        Raises:
            RunError: The leader does not die.
        """
        deadline = time.monotonic() + grace_seconds
        try:
            if self._is_living():
                self._send(signals.SIGTERM)
                await asyncio.wait({self.exited}, timeout=grace_seconds)
            while self._is_living() and time.monotonic() < deadline:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(_POLL_SECONDS)
        finally:
            if self._is_living():
                self._send(signals.SIGKILL)
            self._reap()

    def close(self) -> None:
        """Let go of pipes and watches; a shell still behind its gate ends by that. Idempotent."""
        if self._handle >= 0:
            self._loop.remove_reader(self._handle)
            os.close(self._handle)
            self._handle = -1
        self.exited.cancel()
        for pipe in (self._stdin, self.stdout, self.stderr):
            pipe.close()

    def _watch_exit(self) -> int:
        try:
            handle = os.pidfd_open(self.pid)
        except (AttributeError, OSError):
            self._poll_exit()
            return -1
        self._loop.add_reader(handle, self._note_exit)
        return handle

    def _poll_exit(self) -> None:
        if self._process.poll() is not None:
            self._note_exit()
        elif not self.exited.done():
            self._loop.call_later(_POLL_SECONDS, self._poll_exit)

    def _note_exit(self) -> None:
        if self._handle >= 0:
            self._loop.remove_reader(self._handle)
        if not self.exited.done():
            self.exited.set_result(None)

    def _is_living(self) -> bool:
        if self._process.poll() is None:
            return True
        # Where mendloop is process 1 of a container, orphans of the group are its to reap.
        with suppress(ChildProcessError):
            while os.waitpid(-self.pid, os.WNOHANG)[0]:
                pass
        # Zombies are in the group until their parent reaps them, which may take it long.
        return self._send(0) and any(
            process.group == self.pid for process in processes.table().values()
        )

    def _send(self, number: int) -> bool:
        """Send a signal to all in the group; answer whether there is any."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return False
        except PermissionError:  # changed its user; on macOS also: only zombies are left
            return False
        return True

    def _reap(self) -> None:
        try:
            self._process.wait(_KILL_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise RunError(f"process {self.pid} does not die of SIGKILL") from error
