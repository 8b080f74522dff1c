"""
Who leads, as it is stored and judged: the rules of Kubernetes' leader election.

They are those of k8s.io/client-go/tools/leaderelection: whether a leader is gone is judged by a
record that did not change while the contender watched, on the contender's own steady clock; the
times in the record are for people. Leading is an optimisation, never a safety: two may believe in
it for a moment, and every write is decided on the version that it replaces.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

import msgspec

__all__ = ["Held", "LeaseRecord", "Leases", "Observation", "released", "taken"]

_RELEASED_SECONDS = 1
_LONGEST_SECONDS = 60
"""No leader asks for more: a record that does was written by other hands."""


class LeaseRecord(msgspec.Struct, frozen=True, kw_only=True):
    """
    Who leads; the fields of a LeaseSpec of coordination.k8s.io/v1.

    Attributes:
        holder: Who leads, or "" where the lease was given back.
        duration_seconds: It counts as abandoned when not renewed for so long.
        acquired_at: When the holder took it, on the holder's clock.
        renewed_at: When it was last renewed, on the holder's clock.
        transitions: How often it went from one holder to another.
    """

    holder: str
    duration_seconds: int
    acquired_at: datetime
    renewed_at: datetime
    transitions: int = 0


class Held(msgspec.Struct, frozen=True):
    """A record as it was read, and what to write over."""

    record: LeaseRecord
    handle: object


class Leases(Protocol):
    """The port to where one record is kept."""

    async def read(self) -> Held | None:
        """
        Read the record; None where there is none.

        Raises:
            StateError: The store does not answer, or refuses.
        """

    async def write(self, before: Held | None, record: LeaseRecord) -> Held:
        """
        Write *record* over what was read *before*; where that was None, make it.

        Raises:
            RevisionConflict: Somebody else was quicker.
            DocumentExists: Somebody else was quicker.
            StateError: The store does not answer, or refuses.
        """


class Observation(msgspec.Struct, frozen=True):
    """A record, and when it was first seen like this, on the steady clock of who saw it."""

    record: LeaseRecord
    since_seconds: float

    def then(self, record: LeaseRecord, *, now_seconds: float) -> Observation:
        """What is known once *record* was read."""
        return self if record == self.record else Observation(record, now_seconds)

    @property
    def patience_seconds(self) -> int:
        """For how long its holder may be silent."""
        return min(self.record.duration_seconds, _LONGEST_SECONDS)

    def is_free_for(self, name: str, *, now_seconds: float) -> bool:
        """Whether *name* may take the lease, or renew it."""
        if self.record.holder in {"", name}:
            return True
        return now_seconds - self.since_seconds > self.patience_seconds


def taken(
    before: LeaseRecord | None, name: str, *, duration_seconds: int, now: datetime
) -> LeaseRecord:
    """The record by which *name* takes the lease, or renews it."""
    if before is not None and before.holder == name:
        return msgspec.structs.replace(before, duration_seconds=duration_seconds, renewed_at=now)
    return LeaseRecord(
        holder=name,
        duration_seconds=duration_seconds,
        acquired_at=now,
        renewed_at=now,
        transitions=before.transitions + 1 if before else 0,
    )


def released(record: LeaseRecord, *, now: datetime) -> LeaseRecord:
    """The record by which its holder gives the lease back, so that the next need not wait."""
    return msgspec.structs.replace(
        record, holder="", duration_seconds=_RELEASED_SECONDS, acquired_at=now, renewed_at=now
    )
