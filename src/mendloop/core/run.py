"""
Who runs a task, as it is stored: the lease, its holder, and what the holder has started.

The rules are in `mendloop.core.transitions.lease`; `mendloop.lease` holds and renews it.
"""

from __future__ import annotations

from datetime import datetime

from mendloop.core.carrying import Carrying, Instant

__all__ = ["Child", "Holder", "Lease", "generation_beyond"]


class Holder(Carrying, frozen=True, kw_only=True):
    """
    Who runs a task, named so that a dead one on the same host is recognised.

    Attributes:
        name: For a person: user@host.
        token: Random; one for each run.
        boot_id: Names one boot of one kernel.
        pid_namespace: Process ids mean something only within it.
        pid: The process.
        start_ticks: When the process started, in clock ticks since boot; tells a reused pid apart.
    """

    name: str
    token: str
    boot_id: str = ""
    pid_namespace: str = ""
    pid: int = 0
    start_ticks: int = 0


class Child(Carrying, frozen=True, kw_only=True):
    """
    The reviewer or fixer that a run has started, so that a successor can end what is left of it.

    Attributes:
        boot_id: As in `Holder`.
        pid_namespace: As in `Holder`.
        pid: Leader of its own process group.
        start_ticks: As in `Holder`.
        token: The value of MENDLOOP_RUN in its environment.
    """

    boot_id: str
    pid_namespace: str
    pid: int
    start_ticks: int
    token: str


class Lease(Carrying, frozen=True, kw_only=True):
    """
    The right to write a run's results.

    Attributes:
        generation: Rises with every acquisition and never falls.
        holder: Who holds it, or None.
        acquired_at: When, on the holder's clock; for people, never for a decision.
        ttl_seconds: It counts as abandoned when not renewed for this long.
        renewals: Rises with each heartbeat: a contender on another host watches it move.
        renewed_boottime_seconds: Boot clock of the holder's host at the last renewal; comparable
            only where boot_id is equal.
        child: What the holder has started, or None.
        tree: The work tree of the last run, on its host; kept when the lease is given back.
    """

    generation: int = 0
    holder: Holder | None = None
    acquired_at: Instant | None = None
    ttl_seconds: float = 0.0
    renewals: int = 0
    renewed_boottime_seconds: float = 0.0
    child: Child | None = None
    tree: str = ""


def generation_beyond(now: datetime) -> int:
    """
    A generation above any that was given out before, where nothing tells of that one any more.

    A lease is taken less often than once in a millisecond, and so none that began at 0 or here has
    come so far.
    """
    return int(now.timestamp() * 1000)
