"""
A change that was made to a stored state by other hands than ours: `kubectl edit`, another program.

It is taken over and recorded, unless it would give a number out twice.
"""

from __future__ import annotations

from mendloop.core.codec import digest
from mendloop.core.errors import DeserializationError
from mendloop.core.model import COUNT_MOST, Change, RemediationState
from mendloop.core.names import started_iteration

__all__ = ["OUTSIDE", "given_out", "lowered_counter", "outside_change"]

OUTSIDE = "outside"
"""The door of a change that came past all of ours."""


def outside_change(state: RemediationState) -> Change | None:
    """
    Tell what was changed since our last commit of *state*; None where nothing was.

    Of a state without any commit all is: another program wrote it.

    Raises:
        DeserializationError: The counter stands below a number that was given out.
    """
    ledger = state.ledger
    found = digest(state)
    if ledger.commits and found == ledger.commits[-1].digest:
        return None
    lowered = lowered_counter(state)
    if lowered:
        raise DeserializationError(lowered, task_id=state.task_id)
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


def lowered_counter(state: RemediationState) -> str:
    """Say that the counter stands below a number that was given out; "" where it does not."""
    least = given_out(state)
    if not state.ledger.commits or state.iteration >= least:
        return ""
    return (
        f"iteration {state.iteration} of task {state.task_id}, changed by other hands, is below "
        f"{least}, which was given out: a counter is never lowered; set it to {least}, or "
        f"`mendloop doctor {state.task_id} --repair` does"
    )


def given_out(state: RemediationState) -> int:
    """The highest iteration that the head of a task says was given out."""
    results = [change.result for commit in state.ledger.commits for change in commit.changes]
    told = [result["iteration"] for result in results if isinstance(result.get("iteration"), int)]
    begun = [n for key in state.metadata if (n := started_iteration(key)) is not None]
    # What no counter can reach was never given out.
    return max([number for number in (*told, *begun) if number <= COUNT_MOST], default=0)
