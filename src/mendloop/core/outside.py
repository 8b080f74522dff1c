"""
A change that was made to a stored state by other hands than ours: `kubectl edit`, another program.

It is taken over and recorded, unless it would give a number out twice.
"""

from __future__ import annotations

from collections.abc import Mapping

from mendloop.core.codec import digest
from mendloop.core.counters import refusal
from mendloop.core.errors import DeserializationError
from mendloop.core.model import Change, RemediationState

__all__ = ["OUTSIDE", "outside_change"]

OUTSIDE = "outside"
"""The door of a change that came past all of ours."""


def outside_change(state: RemediationState, fields: Mapping[str, str]) -> Change | None:
    """
    Tell what was changed since our last commit of *state*; None where nothing was.

    Of a state without any commit all is: another program wrote it.

    Args:
        state: As it is stored.
        fields: What stands beside it.

    Raises:
        DeserializationError: A counter stands below a number that was given out.
    """
    ledger = state.ledger
    found = digest(state)
    if ledger.commits and found == ledger.commits[-1].digest:
        return None
    wrong = refusal(state, fields)
    if wrong:
        raise DeserializationError(wrong, task_id=state.task_id)
    return Change(
        do="change_outside",
        op_id=f"{OUTSIDE}-{ledger.commit}-{found}",
        by="unknown",
        door=OUTSIDE,
        facts={
            "iteration": state.iteration,
            "status": state.status,
            "findings": state.findings_total,
            "open": state.open_total,
            "digest": found,
        },
    )
