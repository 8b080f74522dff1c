"""A task's state in words: times, holders, counts, and what to do next."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime

from mendloop.cli.session import Session
from mendloop.core.model import FeedbackEntry, RemediationState
from mendloop.core.run import Lease
from mendloop.core.vocabulary import Severity, Status, StopReason

__all__ = [
    "advice",
    "count_open",
    "counted",
    "duration_words",
    "holder_words",
    "is_gone",
    "local_time",
    "more_open",
    "no_tasks",
    "open_words",
    "place_words",
    "relative_time",
    "time_words",
    "what_it_does",
]

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def local_time(instant: datetime) -> str:
    """The instant on this machine's wall clock."""
    return instant.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def relative_time(instant: datetime, *, now: datetime | None = None) -> str:
    """How long ago it was."""
    seconds = ((now or datetime.now(UTC)) - instant).total_seconds()
    words = duration_words(abs(seconds))
    return f"{words} ago" if seconds >= 0 else f"in {words}"


def time_words(instant: datetime) -> str:
    """The instant, local and relative."""
    return f"{local_time(instant)} ({relative_time(instant)})"


def duration_words(seconds: float) -> str:
    """A duration in its largest unit."""
    for size, unit in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


def count_open(state: RemediationState) -> dict[str, int]:
    """Open findings by severity, the worst first; those with none too."""
    counts = state.open_counts
    return {str(severity): counts[severity.rank] for severity in reversed(Severity)}


def open_words(counts: dict[str, int]) -> str:
    """The counts of `count_open` in words."""
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "none"


def place_words(entry: FeedbackEntry) -> str:
    """Where a finding is: file and line, as far as they are known."""
    finding = entry.mendloop
    if not finding:
        return ""
    return f"{finding.path}:{finding.line}" if finding.line else finding.path


def holder_words(lease: Lease) -> str:
    """Who runs the task, and whether that process still lives where that can be told; or ""."""
    holder = lease.holder
    if holder is None:
        return ""
    gone = ", gone" if is_gone(lease) else ""
    return f"{holder.name}, pid {holder.pid}{gone}"


def counted(count: int, what: str) -> str:
    """So many of it: `1 task`, `2 tasks`."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def is_gone(lease: Lease) -> bool:
    """Whether the holder is a process of this host that has ended."""
    from mendloop.runners.identity import is_alive

    return lease.holder is not None and is_alive(lease.holder) is False


def more_open(session: Session, state: RemediationState, count: int) -> str:
    """Say that *count* open findings are left out, and what lists them all."""
    task = shlex.quote(state.task_id)
    return f"{count} more: `mendloop feedback list {task} --open{session.store_option}`"


def no_tasks(session: Session) -> str:
    """Say that there is nothing in the store yet, and what begins something."""
    from mendloop.cli.composition import store_spec

    begin = f"mendloop run TASK --review CMD --fix CMD{session.store_option}"
    return f"no tasks in {session.place or store_spec(session)} yet; `{begin}` begins one"


def what_it_does(state: RemediationState) -> str:
    """Status and what is finer than it: phase, why it ended, or that it is deleted."""
    if state.ledger.deleted is not None:
        return f"{state.status} (deleted)"
    finer = state.ledger.stop_reason or state.ledger.phase
    if finer is None or str(finer).casefold() == str(state.status).casefold():
        return str(state.status)
    if finer == StopReason.MAX_ITERATIONS:
        return str(state.status)
    return f"{state.status} ({finer})"


def advice(session: Session, state: RemediationState) -> str:
    """What to type next, or "" where there is nothing to do."""
    ledger = state.ledger
    task = shlex.quote(state.task_id)
    store = session.store_option
    if ledger.deleted is not None:
        return "" if ledger.deleted.is_final else f"`mendloop restore {task}{store}` brings it back"
    run_it = f"then `mendloop run {task} ...{store}` as before"
    if ledger.pause is not None:
        return f"`mendloop resume {task}{store}`, {run_it}"
    if not state.status.is_ended:
        return _advice_under_way(ledger.lease, task, store)
    reason = ledger.stop_reason
    if reason is StopReason.COMPLETED or (reason is None and state.status is Status.COMPLETED):
        return ""
    see = "" if state.status is Status.MAX_ITERATIONS_REACHED else "see what is wrong, then "
    is_spent = state.iteration >= ledger.settings.max_iterations
    has_fix_left = bool(state.mendloop) and not ledger.is_fix_done
    limit = f" --max-iterations {state.iteration + 10}" if is_spent and not has_fix_left else ""
    return f"{see}`mendloop resume {task}{limit}{store}`, {run_it}"


def _advice_under_way(lease: Lease, task: str, store: str) -> str:
    if is_gone(lease):
        return f"its run ended without a word; `mendloop run {task} ...{store}` goes on"
    if lease.holder is not None:
        return f"wait for the run, or `mendloop pause {task} --reason WHY{store}`"
    return f"`mendloop run {task} ...{store}` goes on"
