"""The record of a repair: what was wrong, what was lost, and where the copies are."""

from __future__ import annotations

from mendloop.core.codec import rfc3339
from mendloop.core.commands import Context, Recover
from mendloop.core.model import RemediationState
from mendloop.core.text import ERROR_MESSAGE_LIMIT_BYTES, tidy
from mendloop.core.transitions.outcome import Transition, ledger_of, require, revise

__all__ = ["recover"]

_LINES_KEPT = 50


def recover(state: RemediationState | None, command: Recover, context: Context) -> Transition:
    """
    Record that the state was made sound again; the state that is handed in is the sound one.

    The two keys of the metadata are the specification's.
    """
    state = require(state, context)
    ledger = ledger_of(state, context)
    now = rfc3339(context.now)
    lost = _told(command.lost, context)
    facts = {
        "iteration": state.iteration,
        "repaired": _told(command.repaired, context),
        "lost": lost,
        "quarantined": list(command.quarantined[:_LINES_KEPT]),
    } | ({"source": command.source} if command.source else {})
    if command.missing:
        facts["missing"] = _few(command.missing)
    return Transition(
        state=revise(
            state,
            ledger,
            metadata=state.metadata | {"last_recovery": now, "state_repaired_at": now},
            last_update=context.now,
        ),
        result={"iteration": state.iteration, "lost": lost},
        facts=facts,
    )


def _few(spans: tuple[tuple[int, int], ...]) -> list[list[int]]:
    """Return *spans*, those beyond the limit as one: what is in between may be there."""
    kept = [list(span) for span in spans[:_LINES_KEPT]]
    kept[-1][1] = spans[-1][1]
    return kept


def _told(lines: tuple[str, ...], context: Context) -> list[str]:
    limit = ERROR_MESSAGE_LIMIT_BYTES // 8
    kept = [tidy(line, limit_bytes=limit, redact=context.redact) for line in lines[:_LINES_KEPT]]
    more = len(lines) - len(kept)
    return [*kept, f"and {more} more"] if more else kept
