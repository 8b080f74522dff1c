"""Who may be deleted, restored and removed, and what a cleanup has to do with a task."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from states import NOW, holder, state

from mendloop.core.commands import BeginRemoval, Bury, Command, Context, Delete, Hold, Restore
from mendloop.core.deletion import HOLD_LABEL, Deletion, Standing, standing
from mendloop.core.deletion import Hold as HoldRecord
from mendloop.core.errors import (
    LeaseHeld,
    StateDeleted,
    StateError,
    TransitionRefused,
    ValidationError,
)
from mendloop.core.model import LEDGER_SCHEMA, Ledger, RemediationState
from mendloop.core.run import Lease
from mendloop.core.sealed import Sealed
from mendloop.core.shelf import Shelf
from mendloop.core.text import no_redaction
from mendloop.core.transitions.dispatch import transition
from mendloop.core.vocabulary import Status

SECOND = timedelta(seconds=1)
DELETED = Deletion(by="ann", reason="r", at=NOW)
FINAL = msgspec.structs.replace(DELETED, is_final=True)
HELD = HoldRecord(by="bea", reason="evidence", at=NOW)


def task(status: Status = Status.COMPLETED, **changes: Any) -> RemediationState:
    """A task that mendloop keeps something of."""
    members: dict[str, Any] = {
        "schema": LEDGER_SCHEMA,
        "min_writer": LEDGER_SCHEMA,
        "incarnation": "abc",
    }
    return state(status=status, mendloop=Ledger(**(members | changes)))


def done(
    given: RemediationState | None, command: Command, *, labels: dict[str, str] | None = None
) -> RemediationState | None:
    """The state after a command."""
    context = Context(
        task_id="t",
        now=NOW + 2 * SECOND,
        op_id="o",
        by="cy",
        door="test",
        token="fresh",  # noqa: S106 - names a commit
        redact=no_redaction,
        sealed=Shelf(Sealed(), {}),
        labels=labels or {},
    )
    return transition(given, command, context).state


_LEASED = Lease(generation=1, holder=holder())
_LABEL = {HOLD_LABEL: ""}
_DELETE = Delete(reason="r")
_BEGIN = BeginRemoval(deleted_until=NOW)

REFUSED: dict[str, tuple[RemediationState | None, Command, dict[str, str], type[StateError]]] = {
    "delete what is in progress": (task(Status.IN_PROGRESS), _DELETE, {}, TransitionRefused),
    "delete what is new and run": (
        task(Status.INITIALIZED, lease=_LEASED),
        _DELETE,
        {},
        LeaseHeld,
    ),
    "delete what is held": (task(hold=HELD), _DELETE, {}, TransitionRefused),
    "delete what a label holds": (task(), _DELETE, _LABEL, TransitionRefused),
    "delete what was touched since": (
        task(),
        Delete(reason="r", untouched_since=NOW - SECOND),
        {},
        TransitionRefused,
    ),
    "delete what was restored since": (
        task(restored_at=NOW + SECOND),
        Delete(reason="r", untouched_since=NOW),
        {},
        TransitionRefused,
    ),
    "remove what is not deleted": (task(), _BEGIN, {}, TransitionRefused),
    "remove what was deleted since": (
        task(deleted=DELETED),
        BeginRemoval(deleted_until=NOW - SECOND),
        {},
        TransitionRefused,
    ),
    "remove what is held": (task(deleted=DELETED, hold=HELD), _BEGIN, {}, TransitionRefused),
    "remove what a label holds": (task(deleted=DELETED), _BEGIN, _LABEL, TransitionRefused),
    "restore what is not deleted": (task(), Restore(), {}, ValidationError),
    "restore what is being removed": (task(deleted=FINAL), Restore(), {}, StateDeleted),
    "bury what has a state": (task(), Bury(reason="r"), {}, TransitionRefused),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_may_not_go_is_refused(name: str) -> None:
    """Each by its own error, so that a cleanup can tell what was revived from what failed."""
    given, command, labels, error = REFUSED[name]
    with pytest.raises(error) as refused:
        done(given, command, labels=labels)
    assert error is type(refused.value)


DONE: dict[str, tuple[RemediationState | None, Command, Deletion | None]] = {
    "delete": (task(), _DELETE, Deletion(by="cy", reason="r", at=NOW + 2 * SECOND)),
    "delete what is new": (
        task(Status.INITIALIZED),
        _DELETE,
        Deletion(by="cy", reason="r", at=NOW + 2 * SECOND),
    ),
    "delete what was touched then": (
        task(),
        Delete(reason="r", untouched_since=NOW),
        Deletion(by="cy", reason="r", at=NOW + 2 * SECOND),
    ),
    "delete again": (task(deleted=DELETED), _DELETE, DELETED),
    "restore": (task(deleted=DELETED), Restore(), None),
    "remove": (task(deleted=DELETED), _BEGIN, FINAL),
    "remove again": (task(deleted=FINAL, hold=HELD), _BEGIN, FINAL),
    "bury": (
        None,
        Bury(reason="r"),
        Deletion(by="cy", reason="r", at=NOW + 2 * SECOND, is_final=True),
    ),
}


@pytest.mark.parametrize("name", DONE)
def test_what_may_go_goes_as_it_was_asked(name: str) -> None:
    """Who, why and when are kept, and stay where the same is asked again."""
    given, command, expected = DONE[name]
    after = done(given, command)

    assert after is not None
    assert expected == after.ledger.deleted
    if given is not None:
        assert (given.status, given.last_update) == (after.status, after.last_update)


def test_a_hold_of_somebody_stays_theirs() -> None:
    """Who holds a task that is held already changes nothing."""
    after = done(task(hold=HELD), Hold(reason="mine"))

    assert after is not None
    assert HELD == after.ledger.hold


STANDINGS: dict[str, tuple[RemediationState, dict[str, str], int, int, Standing]] = {
    # a task that was last touched at NOW; retained from and graced from, in seconds after that
    "over, and old": (task(), {}, 0, 0, Standing.TO_DELETE),
    "over, and young": (task(), {}, -1, 0, Standing.KEPT),
    "over, and restored lately": (task(restored_at=NOW + SECOND), {}, 0, 0, Standing.KEPT),
    "over, and held": (task(hold=HELD), {}, 0, 0, Standing.HELD),
    "over, and held by a label": (task(), _LABEL, 0, 0, Standing.HELD),
    "new, and old": (task(Status.INITIALIZED), {}, 0, 0, Standing.TO_DELETE),
    "new, and run": (task(Status.INITIALIZED, lease=_LEASED), {}, 0, 0, Standing.KEPT),
    "in progress, and old": (task(Status.IN_PROGRESS), {}, 0, 0, Standing.STALE),
    "in progress, and young": (task(Status.IN_PROGRESS), {}, -1, 0, Standing.KEPT),
    "in progress, and held": (task(Status.IN_PROGRESS, hold=HELD), {}, 0, 0, Standing.STALE),
    "deleted lately": (task(deleted=DELETED), {}, 0, -1, Standing.KEPT),
    "deleted long ago": (task(deleted=DELETED), {}, -1, 0, Standing.TO_REMOVE),
    "deleted long ago, and held": (task(deleted=DELETED, hold=HELD), {}, 0, 0, Standing.HELD),
    "deleted long ago, and held by a label": (task(deleted=DELETED), _LABEL, 0, 0, Standing.HELD),
    "deleted, in progress": (
        task(Status.IN_PROGRESS, deleted=DELETED),
        {},
        0,
        0,
        Standing.TO_REMOVE,
    ),
    "being removed": (task(deleted=FINAL), {}, -1, -1, Standing.HALF_REMOVED),
    "being removed, and held": (task(deleted=FINAL, hold=HELD), {}, 0, 0, Standing.HALF_REMOVED),
    "of the specification, and over": (state(status=Status.FAILED), {}, 0, 0, Standing.TO_DELETE),
}


@pytest.mark.parametrize("name", STANDINGS)
def test_what_a_cleanup_has_to_do_with_a_task(name: str) -> None:
    """To the second, and nothing at all with what somebody holds."""
    given, labels, retained, graced, expected = STANDINGS[name]

    assert expected is standing(
        given,
        labels,
        retained_from=NOW + retained * SECOND,
        graced_from=NOW + graced * SECOND,
    )
