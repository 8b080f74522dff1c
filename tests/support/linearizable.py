"""
Whether an object that does one thing after another could have told what callers saw.

The search is that of Wing and Gong ("Testing and verifying concurrent objects", 1993) with Lowe's
memory of where it has been ("Testing for linearizability", 2017). It shares no code with the checker in
``tests/controlplane/linearize``, which answers the same question about the same histories.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec
from controlplane.history import Operation

__all__ = ["goes_back", "why_not"]

_State = tuple[int, int]
"""The number of a task, and how many findings it has."""


def why_not(history: Iterable[Operation]) -> str:
    """
    Say what no object could have told; empty where there is an order that fits.

    Operations that overlap may have any order; one that was never answered took effect at any time
    after it was asked, or never.
    """
    by_key = defaultdict(list)
    for operation in history:
        by_key[operation.key].append(operation)
    for key, operations in sorted(by_key.items()):
        found = _Search(operations).run()
        if found:
            return f'key "{key}": {found}'
    return ""


def goes_back(history: Iterable[Operation]) -> list[str]:
    """
    Say where a process saw a task older than it had seen or made it before.

    Unlike `why_not` it lets a read be old: this is what a cache promises.
    """
    by_process = defaultdict(list)
    for operation in history:
        if operation.returned is not None:
            by_process[operation.process, operation.key].append(operation)
    return [found for told in by_process.values() for found in _steps_back(told)]


def _steps_back(told: list[Operation]) -> list[str]:
    found = []
    known: _State = (0, 0)
    ended: list[tuple[float, int, int]] = []
    for operation in sorted(told, key=lambda operation: operation.call):
        while ended and ended[0][0] < operation.call:
            _, number, findings = heapq.heappop(ended)
            known = max(known[0], number), max(known[1], findings)
        number, findings = _at_least(operation)
        is_read = operation.op in {"read", "look"}
        is_older = number < known[0] or (operation.op == "look" and findings < known[1])
        if is_read and is_older:
            found.append(f"{_words(operation)} after {known} was known")
        heapq.heappush(ended, (_end(operation), number, findings))
    return found


def _at_least(operation: Operation) -> _State:
    """What is known of the task once *operation* is answered."""
    match operation.op, operation.result:
        case "look", (number, findings):
            return number, findings
        case (("read" | "increment"), int(number)):
            return number, 0
        case "append", int(place):
            return 0, place
    return 0, 0


def _step(state: _State, operation: Operation) -> _State | None:
    """What the object holds after *operation*; None where it would have answered otherwise."""
    number, findings = state
    told: int | bool | tuple[int, int] | None = None
    match operation.op:
        case "read":
            told = number
        case "look":
            told = state
        case "increment":
            state = number + 1, findings
            told = number + 1
        case "append":
            state = number, findings + 1
            told = None if operation.result is None else findings + 1
        case "write":
            assert operation.value is not None
            state = operation.value, findings
        case "cas":
            assert operation.value is not None
            told = number == operation.expected
            state = (operation.value, findings) if told else state
    is_known = operation.returned is not None
    return None if is_known and told != operation.result else state


class _Place(NamedTuple):
    """
    How far an order has come.

    Attributes:
        first: The first answered operation, in the order of calls, that is not in it yet.
        beyond: Which answered operations after *first* are in it: a bit for each.
        unanswered: How many are in it of each kind of operation that was never answered.
        state: What the object holds.
    """

    first: int
    beyond: int
    unanswered: tuple[int, ...]
    state: _State


class _Search:
    """
    The search for an order of the operations on one task.

    What comes next in an order is an operation that was asked before any of those that are left was
    answered. Of equal ones that were never answered the one that was asked first will do: it can
    stand wherever another can.
    """

    def __init__(self, operations: list[Operation]) -> None:
        in_order = sorted(operations, key=lambda operation: operation.call)
        self._answered = [o for o in in_order if o.returned is not None]
        unanswered = defaultdict(list)
        for operation in in_order:
            if operation.returned is None:
                unanswered[operation.op, operation.value, operation.expected].append(operation)
        self._unanswered = list(unanswered.values())

    def run(self) -> str:
        """Search; returns what has no place, or nothing."""
        furthest = start = _Place(0, 0, (0,) * len(self._unanswered), (0, 0))
        ahead, seen = [start], {start}
        while ahead:
            place = ahead.pop()
            if place.first == len(self._answered):
                return ""
            if _length(place) > _length(furthest):
                furthest = place
            following = [after for after in self._following(place) if after not in seen]
            seen.update(following)
            ahead += reversed(following)
        return self._explain(furthest)

    def _following(self, place: _Place) -> Iterator[_Place]:
        candidates, limit = self._open(place)
        for number in candidates:
            operation = self._answered[number]
            state = _step(place.state, operation)
            if state is not None:
                first, beyond = place.first, place.beyond | 1 << (number - place.first)
                while beyond & 1:
                    first, beyond = first + 1, beyond >> 1
                yield place._replace(first=first, beyond=beyond, state=state)
        for kind, operations in enumerate(self._unanswered):
            used = place.unanswered[kind]
            if used < len(operations) and operations[used].call <= limit:
                state = _step(place.state, operations[used])
                counts = (*place.unanswered[:kind], used + 1, *place.unanswered[kind + 1 :])
                if state is not None and state != place.state:
                    yield place._replace(unanswered=counts, state=state)

    def _open(self, place: _Place) -> tuple[list[int], float]:
        """The answered operations that are left, as far as they matter, and when the first was answered."""
        left = []
        limit = math.inf
        for number in range(place.first, len(self._answered)):
            operation = self._answered[number]
            if operation.call > limit:
                break
            if not place.beyond >> (number - place.first) & 1:
                left.append(number)
                limit = min(limit, _end(operation))
        return left, limit

    def _explain(self, furthest: _Place) -> str:
        left = (self._answered[number] for number in self._open(furthest)[0])
        length = _length(furthest)
        total = len(self._answered) + sum(map(len, self._unanswered))
        return (
            f"no order fits; {length} of {total} operations lead to {furthest.state}, "
            f"and then there is no place for {_words(min(left, key=_end))}"
        )


def _length(place: _Place) -> int:
    return place.first + place.beyond.bit_count() + sum(place.unanswered)


def _end(operation: Operation) -> float:
    return math.inf if operation.returned is None else operation.returned


def _words(operation: Operation) -> str:
    return msgspec.json.encode(operation).decode()
