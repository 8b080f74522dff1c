"""
Who holds a task, as its records tell it.

Not all that changes a lease is told: an import leaves the holder out and may raise the generation,
and so does a repair. So only what no import and no repair does can be called wrong.
"""

from __future__ import annotations

from mendloop.core.model import Change
from mendloop.core.run import Lease

__all__ = ["ToldLease"]


class ToldLease:
    """What is known of the lease after the records that were heard, from the oldest on."""

    def __init__(self) -> None:
        """Begin with nothing known: an older mendloop told nothing of leases."""
        self._generation: int | None = None
        self._holder: str | None = None

    def hear(self, change: Change) -> None:
        """Take in what *change* says of the lease."""
        match change.do, change.facts:
            case "acquire_lease", {"generation": int(generation), "holder": str(holder)}:
                self._generation, self._holder = generation, holder
            case (("release_lease" | "stop"), {"generation": int(generation)}):
                self._generation, self._holder = generation, None
            case (("acquire_lease" | "release_lease" | "recover"), _):
                self.forget()

    def forget(self) -> None:
        """Know nothing any more: a record is missing, or its words do not count."""
        self._generation, self._holder = None, None

    def flaw_of(self, lease: Lease) -> str:
        """Say what is wrong with *lease* after the last record; "" where nothing is known to be."""
        told = self._generation
        if told is None:
            return ""
        if lease.generation < told:
            return f"has generation {lease.generation}, and the records tell of {told}"
        if lease.holder is None:
            return ""
        holder = lease.holder.name
        if (lease.generation, holder) == (told, self._holder):
            return ""
        known = "nobody" if self._holder is None else f"{self._holder} with {told}"
        return f"is held by {holder} with generation {lease.generation}, and the records tell of {known}"
