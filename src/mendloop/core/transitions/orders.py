"""
What people order from outside, where the same order may be sent again at any time.

An order is remembered for ever with its operation id, also where it came to nothing: it is decided
once, on the task as it was then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from mendloop.core.commands import Context, Order, Pause, Resume, Stop
from mendloop.core.errors import TransitionRefused, ValidationError
from mendloop.core.model import RemediationState
from mendloop.core.transitions import lifecycle
from mendloop.core.transitions.outcome import Transition, ledger_of, require, revise

__all__ = ["order"]

_ORDERS: dict[type[Any], tuple[str, Callable[..., Transition]]] = {
    Pause: ("pause", lifecycle.pause),
    Resume: ("resume", lifecycle.resume),
    Stop: ("stop", lifecycle.stop),
}


def order(state: RemediationState | None, command: Order, context: Context) -> Transition:
    """
    Do what is ordered; where it is refused, or is so already, record that it was ordered.

    Raises:
        StateNotFound: There is no such task.
    """
    state = require(state, context)
    ledger = ledger_of(state, context)
    # Only people give orders: whatever bots have been saying to each other, one of them has spoken.
    state = revise(state, msgspec.structs.replace(ledger, turns=()))
    name, transition = _ORDERS[type(command.order)]
    facts: dict[str, Any] = {"order": name}
    try:
        done = transition(state, command.order, context)
    except (TransitionRefused, ValidationError) as error:
        facts["refused"] = str(error)
    else:
        if done.is_changed:
            return msgspec.structs.replace(
                done, result={"order": name, "done": True}, facts=facts | done.facts
            )
    return Transition(
        state=revise(state, ledger_of(state, context), last_update=context.now),
        result={"order": name, "done": False},
        facts=facts,
    )
