"""
Who is who among processes, so that a dead holder is recognised and what it left is ended.

A process number alone proves nothing: it is given out again. A process is named by the boot, the
namespace, the number and the start time together. What a run has started also carries the run's
token in its environment, which its descendants inherit wherever they move.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from signal import SIGKILL, SIGTERM

from mendloop.core.run import Child, Holder
from mendloop.core.text import AUTHOR_LIMIT_BYTES, clean
from mendloop.runners import processes
from mendloop.runners.processes import Process

__all__ = [
    "boot_id",
    "end_leftover",
    "identify_child",
    "is_alive",
    "pid_namespace",
    "start_ticks",
    "this_process",
]

_POLL_SECONDS = 0.03
_KILL_SECONDS = 5.0
_SYSCTL_TIMEOUT_SECONDS = 10


def boot_id() -> str:
    """Name this boot of this kernel; "" where the system does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return _ask_sysctl("kern.bootsessionuuid")


def pid_namespace() -> str:
    """Name the namespace that this process's number is from; "" where there is only one."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def start_ticks(pid: int) -> int | None:
    """Tell when the process started, comparable on one boot; None where it is gone or a zombie."""
    process = processes.look(pid)
    return process.start_ticks if process else None


def this_process(name: str, token: str) -> Holder:
    """Name this process as the holder of a lease or a work tree; *name* may be any bytes."""
    pid = os.getpid()
    return Holder(
        name=clean(name, limit_bytes=AUTHOR_LIMIT_BYTES),
        token=token,
        boot_id=boot_id(),
        pid_namespace=pid_namespace(),
        pid=pid,
        start_ticks=start_ticks(pid) or 0,
    )


def identify_child(pid: int, token: str) -> Child:
    """Name a process that was just started with the token in its environment."""
    return Child(
        boot_id=boot_id(),
        pid_namespace=pid_namespace(),
        pid=pid,
        start_ticks=start_ticks(pid) or 0,
        token=token,
    )


def is_alive(who: Holder | Child) -> bool | None:
    """
    Tell whether this very process still runs; None where that cannot be told from here.

    Another boot id is another host or this one before a restart; another namespace's numbers mean
    nothing here; a process of another user may be hidden.
    """
    if not _is_from_here(who):
        return None
    process = processes.look(who.pid)
    if process is None:
        return None if processes.is_hidden(who.pid) else False
    return process.start_ticks == who.start_ticks


def end_leftover(child: Child, *, grace_seconds: float = 2.0) -> list[int]:
    """
    End what is left of an old run: SIGTERM, a grace, SIGKILL; returns once it is gone.

    A process is ended only on proof: it is the recorded child, or it carries the run's token, or
    it is in the group, session or line of descent of one that does. This process and its ancestors
    are never ended. Where environments cannot be read (not Linux) only the recorded child and what
    hangs on it are found.

    Args:
        child: As it was recorded; one of another boot or namespace has nothing left here.
        grace_seconds: Between SIGTERM and SIGKILL.

    Returns:
        The numbers of the processes that were ended, ascending.
    """
    if not _is_from_here(child):
        return []
    proven: dict[int, Process] = {}
    living: dict[int, Process] = {}
    for number, patience_seconds in ((SIGTERM, grace_seconds), (SIGKILL, _KILL_SECONDS)):
        deadline = time.monotonic() + patience_seconds
        signalled: set[int] = set()
        # Looking again each time finds those that were forked in the meantime.
        while living := _find_left(child, proven):
            proven |= living
            for pid in living.keys() - signalled:
                processes.send(living[pid], number)
            signalled |= living.keys()
            if time.monotonic() > deadline:
                break
            time.sleep(_POLL_SECONDS)
    return sorted(proven.keys() - living.keys())


def _is_from_here(who: Holder | Child) -> bool:
    here = boot_id()
    return bool(here) and who.boot_id == here and who.pid_namespace == pid_namespace()


def _find_left(child: Child, proven: dict[int, Process]) -> dict[int, Process]:
    table = processes.table()
    for pid in _list_ancestors(table):
        table.pop(pid, None)
    found = {
        pid
        for pid, process in table.items()
        if (pid == child.pid and process.start_ticks == child.start_ticks)
        or (pid in proven and process.start_ticks == proven[pid].start_ticks)
        or (child.token and processes.carries(pid, f"MENDLOOP_RUN={child.token}"))
    }
    # A group or session keeps its number while it has members: with one proven member it is ours.
    # Number 0 is shown for those of another namespace.
    mates = {
        pid
        for pid, process in table.items()
        if child.pid > 0 and child.pid in {process.group, process.session}
    }
    if found & mates:
        found |= mates
    return {pid: table[pid] for pid in _add_descendants(found, table)}


def _list_ancestors(table: dict[int, Process]) -> set[int]:
    """List this process and all above it."""
    spared = {0, 1}
    pid = os.getpid()
    while pid not in spared:
        spared.add(pid)
        pid = table[pid].parent if pid in table else 0
    return spared


def _add_descendants(found: set[int], table: dict[int, Process]) -> set[int]:
    children: dict[int, list[int]] = {}
    for process in table.values():
        children.setdefault(process.parent, []).append(process.pid)
    every: set[int] = set()
    waiting: Iterable[int] = found
    while waiting := [pid for pid in waiting if pid not in every]:
        every.update(waiting)
        waiting = [below for pid in waiting for below in children.get(pid, ())]
    return every


def _ask_sysctl(name: str) -> str:
    try:
        answer = subprocess.run(
            ["sysctl", "-n", name],  # noqa: S607 - where it is differs by system
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_SYSCTL_TIMEOUT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.decode(errors="replace").strip() if answer.returncode == 0 else ""
