"""
What the counters of a head cannot be, told by the head itself and what stands beside it.

No number is given out twice: so none may stand below one that the head says was given out. Who
writes asks for it where other hands have changed the head, and a diagnosis where they may have.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from mendloop.core.compaction import is_row_of, place_of
from mendloop.core.errors import HistoryDamaged
from mendloop.core.model import COUNT_MOST, FeedbackEntry, RemediationState
from mendloop.core.names import started_iteration
from mendloop.core.sealed import Sealed, spans_without
from mendloop.core.shelf import Shelf

__all__ = [
    "given_out",
    "iteration_beside",
    "miscounts",
    "missing_findings",
    "places",
    "refusal",
    "refusal_by_sealed",
    "wrong_commits",
]

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
    numbers = places(state.feedback_history)
    wrong = wrong_commits(state) or _wrong_findings(state, numbers) or _shared_numbers(numbers)
    return _contradiction(state, wrong) if wrong else ""


def refusal_by_sealed(state: RemediationState, shelf: Shelf) -> str:
    """
    Say the same of what only the sealed findings tell: one of them would be written over.

    Args:
        state: What is in the head.
        shelf: Its sealed findings.

    Raises:
        Lacking: Documents are needed.
    """
    for entry in state.feedback_history:
        place = place_of(entry)
        try:
            row = None if place is None else shelf.row(place)
        except HistoryDamaged:
            continue  # it is told by who reads it
        if row is not None and not is_row_of(row, entry):
            wrong = (
                f"a finding in the head has the number {place}, and another one is sealed under it"
            )
            return _contradiction(state, wrong)
    return ""


def _contradiction(state: RemediationState, wrong: str) -> str:
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


def miscounts(state: RemediationState, least: int) -> Iterator[str]:
    """
    Say all that is wrong with how findings are counted and numbered.

    Args:
        state: What is in the head.
        least: How many its sealed rows say that there are.
    """
    numbers = places(state.feedback_history)
    yield from filter(None, (_shared_numbers(numbers), _wrong_findings(state, numbers, least)))


def _shared_numbers(numbers: Sequence[int]) -> str:
    shared = len(numbers) - len(set(numbers))
    return f"{shared} findings in the head have the number of another one" if shared else ""


def _wrong_findings(state: RemediationState, numbers: Sequence[int], least: int = 0) -> str:
    count = state.ledger.findings.count
    if count > COUNT_MOST:
        return f"{count} findings are counted: so many cannot be"
    beyond = [n for n in numbers if not 0 <= n <= COUNT_MOST]
    if beyond:
        return f"a finding in the head has the number {beyond[0]}: none can"
    least = max([least - 1, *numbers, *_numbers(state.ledger.findings)]) + 1
    if count < least:
        return f"{count} findings are counted, and one has the number {least - 1}"
    return ""


def places(entries: Iterable[FeedbackEntry]) -> list[int]:
    """The numbers of those findings that have one, as they stand."""
    return [place for entry in entries if (place := place_of(entry)) is not None]


def missing_findings(sealed: Sealed, there: Collection[int]) -> list[tuple[int, int]]:
    """
    The numbers that were given to findings and that none has: the first and the last of each span.

    Args:
        sealed: Says how many were given, and which of them are known to be lost.
        there: Those of all findings, sealed or in the head.
    """
    if sealed.count > COUNT_MOST:
        return []
    spans = list(spans_without(0, sealed.count - 1, there))
    for begin, end in sealed.missing:
        around = [
            piece
            for first, last in spans
            for piece in ((first, min(last, begin - 1)), (max(first, end + 1), last))
        ]
        spans = [(first, last) for first, last in around if first <= last]
    return spans


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
