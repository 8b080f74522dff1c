"""
A store whose faults a test chooses, wrapped around a real one.

Before each call that is none of a listing the test's *choose* is asked with the operation ("get",
"create", "replace" or "delete") and the kind of document; it names a fault or None.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar, cast

import msgspec
from passing_store import PassingStore

from mendloop.core.errors import RevisionConflict, StoreFull, StoreUnavailable
from mendloop.stores.port import Store

__all__ = [
    "CONFLICT",
    "DOWN",
    "FULL",
    "HANG",
    "LOST_ANSWER",
    "SILENT",
    "Choose",
    "Fault",
    "FaultyStore",
    "at_random",
    "in_turn",
]


_T = TypeVar("_T")


class Fault(msgspec.Struct, frozen=True):
    """
    What goes wrong in one call.

    Attributes:
        is_done: Whether the inner store does the call all the same.
        error: What the caller gets, or None where it gets the answer after all.
        delay_seconds: How late the answer comes; a call that is done is done first.
        until: The answer comes once this is set. A call that is not done before, and gets no error,
            is done then.
    """

    is_done: bool
    error: Callable[[], Exception] | None
    delay_seconds: float = 0.0
    until: asyncio.Event | None = None


LOST_ANSWER = Fault(is_done=True, error=lambda: StoreUnavailable("lost", maybe_stored=True))
SILENT = Fault(is_done=False, error=lambda: StoreUnavailable("silent", maybe_stored=True))
DOWN = Fault(is_done=False, error=lambda: StoreUnavailable("down"))
CONFLICT = Fault(is_done=False, error=lambda: RevisionConflict("moved"))
FULL = Fault(is_done=False, error=lambda: StoreFull("full"))
HANG = Fault(is_done=True, error=None, delay_seconds=1e6)

Choose = Callable[[str, str], Fault | None]


class FaultyStore(PassingStore):
    """Wraps a store, and keeps a count of the calls that it was asked for."""

    def __init__(self, store: Store, choose: Choose = lambda _operation, _kind: None) -> None:
        self.choose = choose
        self.calls: Counter[str] = Counter()
        super().__init__(store)

    async def ask(self, operation: str, kind: str, call: Callable[[], Awaitable[_T]]) -> _T:
        if operation == "list":
            return await call()
        self.calls[f"{operation} {kind}"] += 1
        fault = self.choose(operation, kind)
        if fault is None:
            return await call()
        answer = await call() if fault.is_done else None
        await asyncio.sleep(fault.delay_seconds)
        if fault.until is not None:
            await fault.until.wait()
        if fault.error is not None:
            raise fault.error()
        return cast("_T", answer) if fault.is_done else await call()


def in_turn(faults: Iterable[Fault | None], *, kind: str = "head") -> Choose:
    """Give the writes of *kind* these faults one after another, then none."""
    left = deque(faults)

    def choose(operation: str, asked: str) -> Fault | None:
        is_write = operation in {"create", "replace"} and asked == kind
        return left.popleft() if is_write and left else None

    return choose


def at_random(faults: tuple[Fault, ...], *, rate: float, seed: int) -> Choose:
    """Give writes, and reads where the fault is one of theirs too, one of *faults* at *rate*."""
    dice = random.Random(seed)

    def choose(operation: str, _kind: str) -> Fault | None:
        if dice.random() >= rate:
            return None
        return dice.choice(faults) if operation in {"create", "replace"} else DOWN

    return choose
