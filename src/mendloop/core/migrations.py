"""
From each schema of our part of a state to the next: one pure function for each step.

A state is migrated when it is written, never when it is read. There is no way back: what a newer
mendloop wrote is shown and left as it is.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from mendloop.core.model import LEDGER_SCHEMA, Ledger, RemediationState

__all__ = ["in_schema_of", "migrated"]


def migrated(ledger: Ledger) -> Ledger:
    """Return *ledger* in the newest schema; one that is in it, or in a newer one, as it is."""
    while ledger.schema < LEDGER_SCHEMA:
        ledger = _STEPS[ledger.schema](ledger)
    return ledger


def in_schema_of(before: RemediationState, state: RemediationState) -> RemediationState:
    """Leave a state that no commit is added to in its schema: the last one names what is in it."""
    old, ledger = before.mendloop, state.mendloop
    if state is before or not (isinstance(old, Ledger) and isinstance(ledger, Ledger)):
        return state
    ledger = msgspec.structs.replace(ledger, schema=old.schema, min_writer=old.min_writer)
    return msgspec.structs.replace(state, mendloop=ledger)


def _from_1_to_2(ledger: Ledger) -> Ledger:
    """
    What schema 1 sealed stays where it is, and is read from there.

    Findings and commits that leave the head from now on are sealed as schema 2 does it, which no
    writer of schema 1 may write over.
    """
    return msgspec.structs.replace(ledger, schema=2, min_writer=2)


def _from_2_to_3(ledger: Ledger) -> Ledger:
    """
    The chain begins with the next commit.

    A writer of schema 2 would add commits that do not hang on it.
    """
    return msgspec.structs.replace(ledger, schema=3, min_writer=3)


_STEPS: dict[int, Callable[[Ledger], Ledger]] = {1: _from_1_to_2, 2: _from_2_to_3}
