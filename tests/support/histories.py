"""
What callers saw, and whether one counter that answers one after another could have told them so.

Times are of one machine's monotonic clock, comparable between its processes.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable

import msgspec

__all__ = ["Event", "violations"]


class Event(msgspec.Struct, frozen=True):
    """
    One operation that was answered.

    Attributes:
        began: When it was asked.
        ended: When it was answered.
        number: What was told.
        is_read: Whether the number was only read.
        who: The process that asked.
    """

    began: int
    ended: int
    number: int
    is_read: bool = False
    who: int = 0


def violations(events: Iterable[Event]) -> list[str]:
    """
    Say in words what no counter could have told; empty where the history is linearizable.

    A counter that gives each number once is linearizable exactly if the numbers rise in the order
    of operations that did not overlap, since numbers name the only possible order.
    """
    history = sorted(events, key=lambda event: event.began)
    given = Counter(event.number for event in history if not event.is_read)
    found = [f"{number} was given {times} times" for number, times in given.items() if times > 1]
    found += [f"{n} was given to nobody" for n in range(1, max(given, default=0)) if n not in given]
    ended: list[tuple[int, int]] = []
    highest = 0
    for event in history:
        while ended and ended[0][0] < event.began:
            highest = max(highest, heapq.heappop(ended)[1])
        is_behind = event.number < highest if event.is_read else event.number <= highest
        if is_behind:
            found.append(f"{event} began after {highest} was known")
        heapq.heappush(ended, (event.ended, event.number))
    found += _too_early(history)
    return found


def _too_early(history: list[Event]) -> list[str]:
    """Numbers that were read before anybody had begun to ask for them."""
    began = {event.number: event.began for event in history if not event.is_read}
    return [
        f"{event} read a number that was not asked for yet"
        for event in history
        if event.is_read and event.number and began.get(event.number, event.ended) >= event.ended
    ]
