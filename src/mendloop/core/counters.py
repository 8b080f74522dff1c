"""
What the counters of a head cannot be, told by the head itself and what stands beside it.

No number is given out twice: so none may stand below one that the head says was given out. Who
writes asks for it where other hands have changed the head, and a diagnosis where they may have.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from mendloop.core.compaction import place_of
from mendloop.core.model import COUNT_MOST, RemediationState
from mendloop.core.names import started_iteration
from mendloop.core.sealed import Sealed

__all__ = ["given_out", "iteration_beside", "refusal", "wrong_commits", "wrong_findings"]

_NUMBER = re.compile(r"[0-9]{1,10}")


def refusal(state: RemediationState, fields: Mapping[str, str]) -> str:
    """
    Say why a head that other hands have changed may not be written over; "" where it may.

    Args:
        state: What is in it.
        fields: What stands beside it.
    """
    wrong = _wrong_iteration(state, fields)
    if wrong:
        return wrong
    wrong = wrong_commits(state) or wrong_findings(state)
    if not wrong:
        return ""
    return (
        f"task {state.task_id} was changed by other hands and contradicts itself: {wrong}; "
        f"`mendloop doctor {state.task_id}` tells all that is wrong, and with --repair makes it right"
    )


def _wrong_iteration(state: RemediationState, fields: Mapping[str, str]) -> str:
    # Of what another program wrote first no number was given out that we know of.
    least = max(given_out(state) if state.ledger.commits else 0, iteration_beside(fields))
    if state.iteration >= least:
        return ""
    return (
        f"iteration {state.iteration} of task {state.task_id}, changed by other hands, is below "
        f"{least}, which was given out: a counter is never lowered; set it to {least}, or "
        f"`mendloop doctor {state.task_id} --repair` does"
    )


def wrong_commits(state: RemediationState) -> str:
    """Say what is wrong with how many commits are counted; "" where nothing is."""
    ledger = state.ledger
    if ledger.commit > COUNT_MOST:
        return f"its commits are counted as {ledger.commit}: so many cannot be"
    made = [commit.number for commit in ledger.commits]
    highest = max([*made, *_numbers(ledger.log), *(ref.last for ref in ledger.sealed)], default=0)
    if ledger.commit < highest:
        return f"its commits are counted as {ledger.commit}, and there is one of number {highest}"
    return ""


def wrong_findings(state: RemediationState, least: int = 0) -> str:
    """
    Say what is wrong with how many findings are counted; "" where nothing is.

    Args:
        state: What is in the head.
        least: How many its sealed rows say that there are, where these were read.
    """
    count = state.ledger.findings.count
    if count > COUNT_MOST:
        return f"{count} findings are counted: so many cannot be"
    least = max(least, _least_findings(state))
    if count < least:
        return f"{count} findings are counted, and one has the number {least - 1}"
    return ""


def _least_findings(state: RemediationState) -> int:
    """How many findings have a number at least, as the head tells of them."""
    in_head = [place for entry in state.feedback_history if (place := place_of(entry)) is not None]
    return max([*in_head, *_numbers(state.ledger.findings)], default=-1) + 1


def _numbers(sealed: Sealed) -> list[int]:
    """The last number of each document of a log."""
    tail = [sealed.tail.last] if sealed.tail else []
    return [*(chunk.last for chunk in sealed.chunks), *tail]


def iteration_beside(fields: Mapping[str, str]) -> int:
    """The iteration that stands beside a state; 0 where there is none, or none that can be."""
    text = fields.get("iteration", "")
    number = int(text) if _NUMBER.fullmatch(text) else 0
    return number if number <= COUNT_MOST else 0


def given_out(state: RemediationState) -> int:
    """The highest iteration that the head of a task says was given out."""
    results = [change.result for commit in state.ledger.commits for change in commit.changes]
    told = [result["iteration"] for result in results if isinstance(result.get("iteration"), int)]
    begun = [n for key in state.metadata if (n := started_iteration(key)) is not None]
    # What no counter can reach was never given out.
    return max([number for number in (*told, *begun) if number <= COUNT_MOST], default=0)
