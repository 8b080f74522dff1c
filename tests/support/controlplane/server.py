"""One server process that never outlives the process that started it."""

from __future__ import annotations

import contextlib
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

__all__ = ["Server", "ServerFailed", "free_port"]

START_SECONDS = 60
STOP_SECONDS = 30

# The server takes the shell's place, so its process id is ours to signal. The shell's child stays
# behind as a watchdog on a pipe whose other end only this process holds: an end of file, which the
# kernel sends however this process ends, kills the server; a line sends the watchdog home.
_WITH_WATCHDOG = """
exec 3<&0 </dev/null
(read -r line <&3 || kill -9 $$) >/dev/null 2>&1 &
exec 3<&-
exec "$@"
"""

# Below every system's range for outgoing connections: while a server is down, nobody is given its port.
_PORTS = range(20000, 30000)


class ServerFailed(Exception):
    """A server ended by itself or did not get ready in time; the message ends with its log."""


def free_port() -> int:
    """Return a port on loopback on which nobody listens."""
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as attempt, contextlib.suppress(OSError):
            attempt.bind(("127.0.0.1", port))
            return port


class Server:
    """
    A server: it can be started again after any end, with the same ports and data.

    One that ended by itself fails the test that stops or kills it.

    Args:
        command: The program and its arguments.
        log: A file for all that it prints; later starts append.
        is_ready: Asked until it says yes.
    """

    def __init__(self, command: Sequence[str], log: Path, is_ready: Callable[[], bool]) -> None:
        self._command = command
        self._log = log
        self._is_ready = is_ready
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The id of the running process."""
        return self._running().pid

    def start(self) -> None:
        """
        Start the server and wait until it is ready.

        Raises:
            ServerFailed: It ended, or was not ready after a minute; nothing is left running.
        """
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start the server and do not wait."""
        if self._process is not None:
            raise RuntimeError(f"{self._command[0]} was already started")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _WITH_WATCHDOG, "sh", *self._command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # an interrupt at the terminal leaves it to us to stop it
            )

    def wait_until_ready(self) -> None:
        """
        Wait for a server that was launched.

        Raises:
            ServerFailed: It ended, or was not ready after a minute; nothing is left running.
        """
        deadline = time.monotonic() + START_SECONDS
        while not (self._running().poll() is None and self._is_ready()):
            if self._running().poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise self._failed("is not ready in time")
            time.sleep(0.05)

    def stop(self) -> None:
        """
        End the server in an orderly way, by force after half a minute, and wait until it is gone.

        Raises:
            ServerFailed: It had ended by itself.
        """
        with self._ending() as process:
            process.terminate()
            process.send_signal(signal.SIGCONT)  # a paused one takes its end as soon as it goes on
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()

    def kill(self) -> None:
        """
        End the server as a crash does, and wait until it is gone.

        Raises:
            ServerFailed: It had ended by itself.
        """
        with self._ending() as process:
            process.kill()

    def pause(self) -> None:
        """Let the server stand still: connections are accepted by the kernel and nothing answers."""
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on."""
        self._running().send_signal(signal.SIGCONT)

    @property
    def is_started(self) -> bool:
        """Whether it was started, and neither stopped nor killed by us since."""
        return self._process is not None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError(f"{self._command[0]} is not started")
        return self._process

    @contextlib.contextmanager
    def _ending(self) -> Iterator[subprocess.Popen[bytes]]:
        """End the server inside the block; afterwards its watchdog is gone as well."""
        process = self._running()
        ended_by_itself = process.poll()
        yield process
        process.wait()
        process.communicate(b"go home\n")
        self._process = None
        if ended_by_itself is not None:
            raise self._failed(f"ended with {ended_by_itself}")

    def _failed(self, what: str) -> ServerFailed:
        tail = self._log.read_text(errors="replace")[-3000:]
        return ServerFailed(f"{self._command[0]} {what}; {self._log} ends:\n{tail}")
