"""Finding the head of a task that stands under the name of another one: other hands swapped the two."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

import msgspec

from mendloop.core.counters import iteration_beside
from mendloop.core.diagnosis import Case, state_of
from mendloop.core.errors import DeserializationError, ValidationError
from mendloop.core.model import RemediationState
from mendloop.core.names import check_task_id
from mendloop.core.salvage import fields_of_own, is_own, other_task_in
from mendloop.heads import head_of
from mendloop.quarantine import Quarantine
from mendloop.stores.port import Document, Store

__all__ = ["Stray", "find_stray"]

_UNKNOWN_SINCE = "what came since the copy {name} was made, if anything"


class Stray(NamedTuple):
    """
    A task whose own head was found elsewhere.

    Attributes:
        case: The task with that head.
        lost: What may have come after it, in words.
    """

    case: Case
    lost: tuple[str, ...]


async def find_stray(
    store: Store, quarantine: Quarantine, case: Case, *, now: datetime
) -> Stray | None:
    """
    Find the head of a task in whose place that of another one stands; None where there is none.

    It is under the other's name, or, where that one was repaired already, among the copies that were
    set aside of it.
    """
    other = other_task_in(case, now=now)
    if not other:
        return None
    try:
        head = await head_of(store, check_task_id(other))
    except ValidationError:
        return None  # no task can be called so
    if head is not None and not head.damage:
        found = _with(case, head.body, head.fields)
        if found is not None:
            return Stray(found, ())
    for listed in await quarantine.copies(other):
        try:
            copy = await quarantine.find(other, listed.name)
        except DeserializationError:
            continue  # what is left of a damaged copy is nobody's state
        found = _with(case, copy.body, copy.fields)
        if found is not None:
            is_last = _is_set_aside_since(case, other, head, copy.name)
            return Stray(found, () if is_last else (_UNKNOWN_SINCE.format(name=copy.name),))
    return None


def _with(case: Case, body: bytes, fields: Mapping[str, str]) -> Case | None:
    """The task with this head, where it is the task's own."""
    found = msgspec.structs.replace(case, body=body, fields=fields, damage="")
    state = state_of(found)
    if not isinstance(state, RemediationState) or not is_own(case, state.ledger.incarnation):
        return None
    beside = max(fields_of_own(case), fields_of_own(found), key=iteration_beside)
    return msgspec.structs.replace(found, fields=beside)


def _is_set_aside_since(case: Case, other: str, head: Document | None, name: str) -> bool:
    """
    Whether the repair of the *other* task that set this copy aside went out from what stands here.

    Then the two were swapped before it, and nothing was written since to what the copy is of.
    """
    here = state_of(msgspec.structs.replace(case, task_id=other))
    there = state_of(Case(task_id=other, body=head.body, damage=head.damage)) if head else None
    if not isinstance(here, RemediationState) or not isinstance(there, RemediationState):
        return False
    repairs = [c for c in there.ledger.commits if c.number == here.ledger.commit + 1]
    return any(name in change.facts.get("quarantined", ()) for c in repairs for change in c.changes)
