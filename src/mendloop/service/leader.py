"""One replica of many does what only one needs to do; see `mendloop.core.election` for the rules."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec

from mendloop.clock import Clock
from mendloop.core.election import Leases, Observation, released, taken
from mendloop.core.errors import DocumentExists, RevisionConflict, StateError, StoreUnavailable
from mendloop.core.text import redact_secrets
from mendloop.core.transitions.naming import distinct

__all__ = ["ElectionTerms", "Elector"]

_log = logging.getLogger(__name__)

_NAME_LIMIT_BYTES = 253
_JITTER = 0.2
_TRIES = 3
"""So often it can be tried to renew before the lease counts as lost."""


class ElectionTerms(msgspec.Struct, frozen=True, kw_only=True):
    """
    How long a leader may be silent; the defaults are those of Kubernetes' own controllers.

    Attributes:
        lease_seconds: Others take over when nothing was renewed for so long.
        renew_seconds: A leader that could not renew for so long stops; less than the lease.
        retry_seconds: So often it is tried to take the lease, or renew it.
    """

    lease_seconds: int = 15
    renew_seconds: float = 10.0
    retry_seconds: float = 2.0


class Elector:
    """
    Takes part in the election of a leader.

    Attributes:
        is_leader: Whether this one leads, as far as it knows.
    """

    def __init__(
        self, leases: Leases, name: str, *, clock: Clock, terms: ElectionTerms | None = None
    ) -> None:
        """
        Take no part yet.

        Args:
            leases: Where the record is.
            name: Of this replica, and of no other.
            clock: Its steady time judges the others.
            terms: How long a leader may be silent.
        """
        self._leases = leases
        # It is stored for all to read, and no two may become one.
        self._name = distinct(name, limit_bytes=_NAME_LIMIT_BYTES, redact=redact_secrets)
        self._clock = clock
        self._terms = terms or ElectionTerms()
        self._seen: Observation | None = None
        self.is_leader = False

    @property
    def leader(self) -> str:
        """Who leads, as last seen; "" where nobody does, or nothing was seen."""
        return self._seen.record.holder if self._seen else ""

    @property
    def has_leader(self) -> bool:
        """Whether somebody leads, and was heard of lately."""
        if self._seen is None or not self.leader:
            return False
        silent_seconds = self._clock.monotonic_seconds() - self._seen.since_seconds
        return silent_seconds <= self._seen.patience_seconds

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """
        Do *work* whenever this replica leads, and stop it when it leads no more.

        Ends when it is cancelled; a lease that is held is given back then.
        """
        working: asyncio.Task[None] | None = None
        renewed_seconds = self._clock.monotonic_seconds()
        try:
            while True:
                tried_seconds = self._clock.monotonic_seconds()
                if await self._try():
                    renewed_seconds = tried_seconds
                    self.is_leader = True
                elif self._is_lost(renewed_seconds):
                    self.is_leader = False
                    await _stop(working)
                    working = None
                if self.is_leader and (working is None or working.done()):
                    _tell_end(working)
                    working = asyncio.create_task(_begin(work))
                await self._pause()
        finally:
            await _stop(working)
            await self._release()

    def _is_lost(self, renewed_seconds: float) -> bool:
        """Another one leads, or may by now."""
        if self.leader not in {"", self._name}:
            return True
        silent_seconds = self._clock.monotonic_seconds() - renewed_seconds
        return silent_seconds > self._terms.renew_seconds

    async def _try(self) -> bool:
        """Take the lease or renew it; False where that could not be done, for whatever reason."""
        try:
            async with self._in_time():
                return await self._take()
        except (RevisionConflict, DocumentExists):
            return False  # another was quicker
        except StateError as error:
            _log.warning("the lease of the leader cannot be reached: %s", error)
            return False

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        """Let what is inside last no longer than one try may; else the store counts as away."""
        patience_seconds = self._terms.renew_seconds / _TRIES
        try:
            async with asyncio.timeout(patience_seconds):
                yield
        except TimeoutError as error:
            raise StoreUnavailable(f"no answer came within {patience_seconds:.1f} s") from error

    async def _take(self) -> bool:
        held = await self._leases.read()
        now_seconds = self._clock.monotonic_seconds()
        record = None
        if held is not None:
            record = held.record
            self._seen = (
                self._seen.then(record, now_seconds=now_seconds)
                if self._seen
                else Observation(record, now_seconds)
            )
            if not self._seen.is_free_for(self._name, now_seconds=now_seconds):
                return False
        mine = taken(
            record,
            self._name,
            duration_seconds=self._terms.lease_seconds,
            now=self._clock.now(),
        )
        held = await self._leases.write(held, mine)
        self._seen = Observation(held.record, now_seconds)
        return True

    async def _pause(self) -> None:
        share = random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - spreads load
        await self._clock.sleep(share * self._terms.retry_seconds)

    async def _release(self) -> None:
        self.is_leader = False
        try:
            async with self._in_time():
                # Read anew: a write that was under way when this one was ended may have landed.
                held = await self._leases.read()
                if held is not None and held.record.holder == self._name:
                    now = self._clock.now()
                    await self._leases.write(held, released(held.record, now=now))
        except StateError as error:
            _log.warning("the lease could not be given back, and is waited for: %s", error)


async def _begin(work: Callable[[], Awaitable[None]]) -> None:
    await work()


def _tell_end(working: asyncio.Task[None] | None) -> None:
    if working is not None and not working.cancelled() and (error := working.exception()):
        _log.error("what the leader does has failed, and begins again", exc_info=error)


async def _stop(working: asyncio.Task[None] | None) -> None:
    if working is not None:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
