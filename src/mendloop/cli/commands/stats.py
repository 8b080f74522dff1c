"""`mendloop stats`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mendloop.cli.options import shared_options
from mendloop.cli.session import Session

if TYPE_CHECKING:
    from mendloop.core.statistics import Statistics, Summary

__all__ = ["stats"]

_STORED = {
    "head": "states",
    "chunk": "history",
    "quarantine": "copies set aside",
    "headless": "marks of histories without a state",
    "queue": "queue of the service",
    "audit": "log of removals and imports",
    "total": "total",
}


@click.command
@shared_options
@click.pass_obj
def stats(session: Session) -> None:
    """Count all tasks: how they ended and how soon, their findings, and the bytes stored."""
    from mendloop.cli.composition import with_manager
    from mendloop.cli.printing import emit
    from mendloop.core.errors import StoreNotFound
    from mendloop.core.statistics import Tally

    try:
        figures = with_manager(session, lambda manager: manager.statistics())
    except StoreNotFound:
        figures = Tally().statistics({})
    emit(session, figures, lambda: _show(session, figures))


def _show(session: Session, figures: Statistics) -> None:
    from mendloop.cli import words
    from mendloop.cli.printing import print_line

    if not (figures.tasks or figures.deleted or figures.unread):
        print_line(words.no_tasks(session))
        return
    are = "is" if figures.deleted == 1 else "are"
    apart = f"; {figures.deleted} more {are} deleted, and not counted" if figures.deleted else ""
    print_line(f"{words.counted(figures.tasks, 'task')}{apart}")
    _print_after_gap(session, ["status", "tasks"], _rows(figures.statuses))
    ended = {reason: count for reason, count in figures.stop_reasons.items() if count}
    if figures.success_rate is not None:
        _print_after_gap(session, ["ended", "tasks"], _rows(ended))
        print_line(f"{figures.success_rate:.1%} of those that have ended are Completed")
    took = {
        "iterations to completion": figures.iterations_to_completion,
        "seconds per iteration": figures.iteration_seconds,
    }
    headers = ["", "count", "mean", "median", "90 % within", "largest"]
    _print_after_gap(session, headers, [_row(name, summary) for name, summary in took.items()])
    _show_findings(session, figures)
    stored = {_STORED[kind]: count for kind, count in figures.stored_bytes.items()}
    _print_after_gap(session, ["stored", "bytes"], _rows(stored))
    if figures.unread:
        print_line()
    for unread in figures.unread:
        print_line(f"{unread.task_id} is unreadable, and not counted: {unread.why}")


def _print_after_gap(session: Session, headers: list[str], rows: list[list[str]]) -> None:
    from mendloop.cli.printing import print_line, print_table

    print_line()
    print_table(session, headers, rows)


def _rows(counts: dict[str, int]) -> list[list[str]]:
    return [[name, str(count)] for name, count in counts.items()]


def _row(name: str, summary: Summary) -> list[str]:
    figures = (summary.mean, summary.median, summary.p90, summary.largest)
    told = ["" if figure is None else f"{figure:,.1f}" for figure in figures]
    return [name, str(summary.count), *told]


def _show_findings(session: Session, figures: Statistics) -> None:
    lives = next(iter(figures.findings.values()))
    rows = [
        [severity, *map(str, counts.values()), str(sum(counts.values()))]
        for severity, counts in figures.findings.items()
    ]
    _print_after_gap(session, ["findings", *lives, "all"], rows)
