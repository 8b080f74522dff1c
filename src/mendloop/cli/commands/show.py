"""`mendloop show`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from mendloop.cli.options import shared_options, task_argument
from mendloop.cli.session import Session

if TYPE_CHECKING:
    from mendloop.core.model import RemediationState
    from mendloop.listing import Listed
    from mendloop.manager import StateManager

__all__ = ["show", "task_or_fail"]

_FINDINGS_SHOWN = 20


@click.command
@task_argument
@shared_options
@click.pass_obj
def show(session: Session, task_id: str) -> None:
    """
    Show a task; with -o json the whole state as it is stored.

    The eight fields of the specification are at the top level, what mendloop keeps beyond them is
    under "mendloop".
    """
    from mendloop.cli.composition import with_manager
    from mendloop.cli.printing import emit
    from mendloop.core.codec import encode_state
    from mendloop.core.errors import ReadOnlyState

    try:
        task, state = with_manager(session, lambda manager: task_or_fail(manager, task_id))
    except ReadOnlyState as error:
        _show_raw(session, error)
        return
    emit(session, encode_state(state), lambda: _show(session, state, task.obstacle))
    if task.obstacle and session.output != "table":
        _warn(f"every write is refused: {task.obstacle}")


async def task_or_fail(manager: StateManager, task_id: str) -> tuple[Listed, RemediationState]:
    """
    Read the task, and its state, with what stands in the way of writing it.

    Raises:
        StateNotFound: There is no such task.
        DeserializationError: It is damaged.
        ReadOnlyState: A newer version wrote it.
    """
    from mendloop.core.errors import StateNotFound

    task = await manager.look_at(task_id)
    if task.problem is not None:
        raise task.problem
    if task.state is None:
        raise StateNotFound(task_id=task_id)
    return task, task.state


def _show_raw(session: Session, error: Exception) -> None:
    from mendloop.cli.printing import emit, print_text

    raw: bytes = getattr(error, "raw", b"")
    emit(session, raw, lambda: print_text(raw.decode(errors="replace")))
    _warn(f"{error}; shown as it is stored")


def _warn(text: str) -> None:
    sys.stdout.flush()
    click.echo(f"mendloop: warning: {text}", err=True)


def _show(session: Session, state: RemediationState, obstacle: str) -> None:
    from mendloop.cli import words
    from mendloop.cli.printing import print_line

    ledger = state.ledger
    facts = {
        "task": state.task_id,
        "state": words.what_it_does(state),
        "why": _why(state),
        "iteration": f"{state.iteration} of at most {ledger.settings.max_iterations}",
        "open": words.open_words(words.count_open(state)),
        "findings": str(state.findings_total),
        "last update": words.time_words(state.last_update),
        "work tree": ledger.lease.tree,
        "run by": words.holder_words(ledger.lease),
        "held by": _held(state),
        "last error": state.error_messages[-1] if state.error_messages else "",
        "writes": f"refused: {obstacle}" if obstacle else "",
        "next": "" if obstacle else words.advice(session, state),
    }
    for name, value in facts.items():
        if value:
            print_line(f"{name + ':':<13}{value}")
    _show_open(session, state)


def _why(state: RemediationState) -> str:
    from mendloop.cli import words

    ledger = state.ledger
    if ledger.deleted is not None:
        what = "being removed; deleted" if ledger.deleted.is_final else "deleted"
        at = words.time_words(ledger.deleted.at)
        return f"{what} by {ledger.deleted.by}, {at}: {ledger.deleted.reason}"
    if ledger.pause is not None:
        at = words.time_words(ledger.pause.at)
        return f"paused by {ledger.pause.by}, {at}: {ledger.pause.reason}"
    return ledger.stop_detail


def _held(state: RemediationState) -> str:
    from mendloop.cli import words

    hold = state.ledger.hold
    return f"{hold.by}, {words.time_words(hold.at)}: {hold.reason}" if hold else ""


def _show_open(session: Session, state: RemediationState) -> None:
    from mendloop.cli import words
    from mendloop.cli.printing import print_line, print_table
    from mendloop.core.transitions.ledger import open_entries

    entries = open_entries(state.feedback_history)
    if not entries:
        return
    print_line()
    rows = [
        [str(e.severity), str(e.issue_type), words.place_words(e), e.description.split("\n")[0]]
        for e in entries[:_FINDINGS_SHOWN]
    ]
    print_table(session, ["severity", "type", "where", "what"], rows)
    more = state.open_total - len(entries[:_FINDINGS_SHOWN])
    if more:
        print_line(words.more_open(session, state, more))
