"""
What the kernel says about the processes of this machine.

On Linux it is read from ``/proc``. Elsewhere ``ps`` is asked, which tells less: no sessions and no
environments. Zombies count as gone: they do nothing any more, and who should reap them may not.
"""

from __future__ import annotations

import os
import signal as signals
import subprocess
from calendar import timegm
from contextlib import suppress
from pathlib import Path
from time import strptime

import msgspec

__all__ = [
    "HAS_PROC",
    "Process",
    "ask_ps",
    "carries",
    "is_hidden",
    "look",
    "send",
    "table",
]

HAS_PROC = Path("/proc/self/stat").exists()

_PS_COLUMNS = "pid=,ppid=,pgid=,stat=,lstart="
_PS_TIMEOUT_SECONDS = 10


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """
    One living process.

    Attributes:
        pid: Its number.
        parent: Its parent's number.
        group: Its process group.
        session: Its session, or 0 where that is not known.
        start_ticks: When it started: in clock ticks since boot from ``/proc``, in seconds since
            1970 from ``ps``.
    """

    pid: int
    parent: int
    group: int
    session: int
    start_ticks: int


def look(pid: int) -> Process | None:
    """Describe one process, or answer None where there is none or it cannot be seen."""
    if HAS_PROC:
        return _read_stat(pid)
    return next(iter(ask_ps("-p", str(pid))), None)


def table() -> dict[int, Process]:
    """Describe all processes that can be seen, by number."""
    if HAS_PROC:
        names = os.listdir("/proc")  # noqa: PTH208 - a Path for each costs more than the reading
        seen = [_read_stat(int(name)) for name in names if name.isdecimal()]
    else:
        seen = [*ask_ps("-A")]
    return {process.pid: process for process in seen if process}


def is_hidden(pid: int) -> bool:
    """Whether there is such a process and it belongs to somebody else."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return False


def carries(pid: int, entry: str) -> bool:
    """Whether the process was started with *entry* ("NAME=value") in its environment."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return os.fsencode(entry) in environment.split(b"\0")


def send(process: Process, number: int) -> None:
    """Send a signal to this very process, never to one that took over its number."""
    try:
        handle = os.pidfd_open(process.pid)
    except (AttributeError, OSError):
        if _is_same(process):
            with suppress(OSError):
                os.kill(process.pid, number)
        return
    try:
        if _is_same(process):
            with suppress(OSError):
                signals.pidfd_send_signal(handle, number)
    finally:
        os.close(handle)


def ask_ps(*selection: str) -> list[Process]:
    """Describe the processes that ``ps`` selects; none where there is no such program."""
    try:
        listing = subprocess.run(
            ["ps", *selection, "-o", _PS_COLUMNS],  # noqa: S607 - where it is differs by system
            env={**os.environ, "LC_ALL": "C", "TZ": "UTC"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_PS_TIMEOUT_SECONDS,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return []
    read = [_read_ps_line(line) for line in listing.decode(errors="replace").splitlines()]
    return [process for process in read if process]


def _is_same(process: Process) -> bool:
    now = look(process.pid)
    return now is not None and now.start_ticks == process.start_ticks


def _read_stat(pid: int) -> Process | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - half the time of a Path
            text = file.read()
    except OSError:
        return None
    # The name in parentheses may hold anything, also a closing parenthesis.
    fields = text.rpartition(b")")[2].split()
    if fields[0] in {b"Z", b"X"}:
        return None
    return Process(
        pid=pid,
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        start_ticks=int(fields[19]),
    )


def _read_ps_line(line: str) -> Process | None:
    try:
        pid, parent, group, state, started = line.split(maxsplit=4)
        seconds = timegm(strptime(started.strip(), "%a %b %d %H:%M:%S %Y"))
        numbers = int(pid), int(parent), int(group)
    except ValueError:
        return None
    if state.startswith("Z"):
        return None
    return Process(
        pid=numbers[0], parent=numbers[1], group=numbers[2], session=0, start_ticks=seconds
    )
