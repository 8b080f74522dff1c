"""Every command on every kind of state: what always holds."""

from __future__ import annotations

from typing import Any

from any_command import COMMANDS
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from states import NOW, any_state

from mendloop.core import commands
from mendloop.core.codec import decode_state, digest, encode_state
from mendloop.core.commits import COMMITS_KEPT, SEAL_BATCH, Fold, Request, fold
from mendloop.core.errors import (
    LeaseHeld,
    RevisionConflict,
    StateDeleted,
    StateError,
    StateExists,
    TransitionRefused,
    ValidationError,
)
from mendloop.core.model import Ledger, RemediationState
from mendloop.core.run import Lease, generation_beyond
from mendloop.core.text import redact_secrets
from mendloop.core.vocabulary import Status


def decided(state: RemediationState | None, *asked: commands.Command) -> Fold:
    """Fold commands onto *state*."""
    task_id = state.task_id if state else "t"
    requests = [
        Request(command=command, op_id=f"op {number}", by="ann", door="test")
        for number, command in enumerate(asked)
    ]
    return fold(
        state,
        requests,
        task_id=task_id,
        now=NOW,
        token="token",  # noqa: S106 - names a commit
        redact=redact_secrets,
        at_hand={},
        older={},
    )


def sane(drawn: RemediationState) -> RemediationState:
    """The drawn state with a lease whose generation a command can meet."""
    if not isinstance(drawn.mendloop, Ledger):
        return drawn
    ledger = drawn.mendloop
    lease = replace(ledger.lease, generation=abs(ledger.lease.generation) % 4)
    return replace(drawn, mendloop=replace(ledger, lease=lease, commit=abs(ledger.commit) % 100))


_STATES = st.none() | any_state().map(sane)


@given(_STATES, st.lists(COMMANDS, min_size=1, max_size=4))
def test_no_command_ever_loses_anything(
    before: RemediationState | None, asked: list[commands.Command]
) -> None:
    """The counter and the generation never fall, and every finding stays in its place."""
    done = decided(before, *asked)
    for answer in done.answers:
        assert answer.error is None or type(answer.error) is not StateError
    if before is None or done.state is None:
        return
    assert done.state.iteration >= before.iteration
    kept = [e.pr_comment_id for e in done.state.feedback_history[: len(before.feedback_history)]]
    assert [e.pr_comment_id for e in before.feedback_history] == kept
    assert done.state.ledger.lease.generation >= before.ledger.lease.generation
    theirs = {k: v for k, v in before.metadata.items() if not k.startswith("iteration_")}
    assert theirs.items() <= done.state.metadata.items()


@given(_STATES, st.lists(COMMANDS, min_size=1, max_size=4))
def test_what_a_command_leaves_can_be_read_again(
    before: RemediationState | None, asked: list[commands.Command]
) -> None:
    """Whatever is decided, its bytes are a state, and the last commit names its content."""
    done = decided(before, *asked)
    if not done.is_changed or done.state is None:
        return
    read = decode_state(encode_state(done.state))
    assert done.state == read
    assert isinstance(read.mendloop, Ledger)
    records = read.mendloop.commit - _commit(before)
    assert records in {0, 1}
    if records:
        assert digest(read) == read.mendloop.commits[-1].digest
        assert read.mendloop.commit == read.mendloop.commits[-1].number
    assert len(read.mendloop.commits) <= COMMITS_KEPT + SEAL_BATCH


@given(_STATES, COMMANDS)
def test_a_refused_command_changes_nothing(
    before: RemediationState | None, asked: commands.Command
) -> None:
    """An error leaves the state as it was, but for a spent limit, which is recorded."""
    done = decided(before, asked)
    [answer] = done.answers
    if answer.error is not None and done.is_changed:
        assert done.state is not None
        assert Status.MAX_ITERATIONS_REACHED is done.state.status
    assert not (answer.error is not None and done.is_changed) or isinstance(
        answer.error, TransitionRefused
    )


@given(_STATES, COMMANDS)
def test_asking_again_gets_the_same_answer_and_writes_nothing(
    before: RemediationState | None, asked: commands.Command
) -> None:
    """A recorded operation that is asked for again is answered from its record."""
    first = decided(before, asked)
    if _commit(first.state) == _commit(before):
        return
    again = decided(first.state, asked)
    assert not again.is_changed
    assert [first.answers[0].result] == [answer.result for answer in again.answers]
    assert type(first.answers[0].error) is type(again.answers[0].error)


@given(any_state().map(sane), any_state(), st.integers(0, 3))
def test_a_whole_state_replaces_only_the_one_that_it_was_made_from(
    stored: RemediationState, drawn: RemediationState, moved: int
) -> None:
    """A put is refused, or nothing of the stored counter, findings, lease and history is lost."""
    ours: Any = stored.mendloop
    if isinstance(ours, Ledger):
        ours = replace(ours, commit=ours.commit + moved)
    made = replace(
        stored,
        iteration=drawn.iteration,
        status=drawn.status,
        metadata=drawn.metadata,
        feedback_history=(*stored.feedback_history, *drawn.feedback_history),
        mendloop=ours,
    )
    done = decided(stored, commands.PutState(state=made))
    error = done.answers[0].error
    if error is not None:
        assert isinstance(
            error, LeaseHeld | RevisionConflict | StateDeleted | StateExists | ValidationError
        )
        assert not done.is_changed
        return
    assert done.state is not None
    assert 0 == moved or not isinstance(ours, Ledger)
    assert drawn.iteration == done.state.iteration >= stored.iteration
    made_anew = Lease(generation=generation_beyond(NOW))
    assert (ours.lease if isinstance(ours, Ledger) else made_anew) == done.state.ledger.lease
    assert done.state == decode_state(encode_state(done.state))


def _commit(state: RemediationState | None) -> int:
    return state.mendloop.commit if state and isinstance(state.mendloop, Ledger) else 0
