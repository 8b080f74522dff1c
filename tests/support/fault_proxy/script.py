"""Which request meets which fault: an object of these is asked for each request."""

from __future__ import annotations

import random
import re
from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import TypeAlias

from fault_proxy.faults import Fault
from fault_proxy.messages import Request

__all__ = ["WRITES", "Choose", "always", "at_random", "first_of", "in_turn", "never"]

Choose: TypeAlias = Callable[[Request], Fault | None]

WRITES = frozenset({"create", "update", "patch", "delete"})


def never(_request: Request) -> None:
    """No fault."""


def always(fault: Fault, *, verbs: Collection[str] = WRITES, path: str = "") -> Choose:
    """Every request with one of *verbs* whose target matches *path*, a regular expression."""
    return lambda request: fault if _is_meant(request, verbs, path) else None


def in_turn(
    faults: Iterable[Fault | None], *, verbs: Collection[str] = WRITES, path: str = ""
) -> Choose:
    """The first such request meets the first fault, the next the next, and then there are none."""
    left = deque(faults)

    def choose(request: Request) -> Fault | None:
        return left.popleft() if left and _is_meant(request, verbs, path) else None

    return choose


def at_random(
    faults: tuple[Fault, ...],
    *,
    rate: float,
    seed: int,
    verbs: Collection[str] = WRITES,
    path: str = "",
) -> Choose:
    """Such requests meet one of *faults* at *rate*."""
    dice = random.Random(seed)

    def choose(request: Request) -> Fault | None:
        is_met = _is_meant(request, verbs, path) and dice.random() < rate
        return dice.choice(faults) if is_met else None

    return choose


def first_of(*chooses: Choose) -> Choose:
    """The first fault that one of them names."""

    def choose(request: Request) -> Fault | None:
        named = (choose(request) for choose in chooses)
        return next((fault for fault in named if fault is not None), None)

    return choose


def _is_meant(request: Request, verbs: Collection[str], path: str) -> bool:
    return request.verb in verbs and re.search(path, request.target) is not None
