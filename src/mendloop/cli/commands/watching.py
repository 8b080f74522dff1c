"""`mendloop watch`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from mendloop.cli.options import shared_options
from mendloop.cli.session import Session

if TYPE_CHECKING:
    from mendloop.listing import Listed

__all__ = ["watch"]


@click.command
@shared_options
@click.pass_obj
def watch(session: Session) -> int:
    """
    Show all tasks, then each one as it changes, until it is interrupted.

    A line for each: when it was seen, the task, where it is, what is open, who works on it. With
    -o json each is an object in a line, as `mendloop list` shows it.
    """
    import asyncio

    from mendloop.cli.interrupts import Interrupted, run_interruptibly

    if session.output == "yaml":
        raise click.UsageError("watch prints table or json, not yaml")
    try:
        asyncio.run(run_interruptibly(_follow(session)))
    except Interrupted as interrupted:
        return interrupted.exit_code
    return 0


async def _follow(session: Session) -> None:
    from contextlib import aclosing

    from mendloop.cli.commands.listing import row_of
    from mendloop.cli.composition import open_manager

    shown: dict[str, dict[str, Any]] = {}
    async with (
        open_manager(session, must_exist=True) as manager,
        aclosing(manager.watch_tasks()) as tasks,
    ):
        async for task in tasks:
            row = {"task_id": task.task_id, "gone": True} if _is_gone(task) else row_of(task)
            # A run's heartbeats change a state, and nothing that is shown of it.
            if _without_time(shown.get(task.task_id)) == _without_time(row):
                continue
            _print(session, row)
            if _is_gone(task):
                shown.pop(task.task_id, None)
            else:
                shown[task.task_id] = row


def _is_gone(task: Listed) -> bool:
    return task.state is None and task.problem is None


def _without_time(row: dict[str, Any] | None) -> dict[str, Any] | None:
    return row and {name: value for name, value in row.items() if name != "last_update"}


def _print(session: Session, row: dict[str, Any]) -> None:
    from datetime import UTC, datetime

    from mendloop.cli.printing import as_json_line, cell, print_line
    from mendloop.cli.words import local_time, open_words

    now = datetime.now(UTC)
    if session.output == "json":
        sys.stdout.buffer.write(as_json_line({"at": now, **row}))
        sys.stdout.buffer.flush()
        return
    parts = [local_time(now), row["task_id"]]
    if "gone" in row:
        parts.append("is gone")
    elif "problem" in row:
        parts.append(f"unreadable: {row['problem']}")
    else:
        parts += [row["state"], f"{row['iteration']}/{row['max_iterations']}"]
        parts.append(f"open: {open_words(row['open'])}")
        parts += [row["holder"]] if row["holder"] else []
    print_line("  ".join(map(cell, parts)))
    sys.stdout.flush()
