"""`mendloop list`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mendloop.cli.options import shared_options
from mendloop.cli.session import Session

if TYPE_CHECKING:
    from mendloop.core.model import RemediationState
    from mendloop.listing import Listed
    from mendloop.manager import StateManager

__all__ = ["list_tasks", "row_of"]


@click.command("list")
@click.option("--deleted", is_flag=True, help="Deleted tasks too.")
@shared_options
@click.pass_obj
def list_tasks(session: Session, *, deleted: bool) -> None:
    """List all tasks: where each is, what is open, who works on it."""
    from mendloop.cli.composition import with_manager
    from mendloop.cli.printing import emit
    from mendloop.core.errors import StoreNotFound

    try:
        tasks = with_manager(session, lambda manager: _read(manager, is_with_deleted=deleted))
    except StoreNotFound:
        tasks = []
    emit(session, {"tasks": tasks}, lambda: _show(session, tasks))


async def _read(manager: StateManager, *, is_with_deleted: bool) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = await manager.list_tasks(cursor=cursor)
        rows += [row_of(task) for task in page.tasks if is_with_deleted or not _is_deleted(task)]
        cursor = page.cursor
        if cursor is None:
            return rows


def _is_deleted(task: Listed) -> bool:
    return task.state is not None and task.state.ledger.deleted is not None


def row_of(listed: Listed) -> dict[str, Any]:
    """What is shown of a task among others."""
    if listed.state is None:
        return {"task_id": listed.task_id, "problem": str(listed.problem)}
    row = {"task_id": listed.task_id, **_summary(listed.state)}
    if listed.obstacle:
        row |= {"state": f"{row['state']}, takes no writes", "writes_refused": listed.obstacle}
    return row


def _summary(state: RemediationState) -> dict[str, Any]:
    from mendloop.cli import words

    ledger = state.ledger
    return {
        "status": state.status,
        "phase": ledger.phase,
        "stop_reason": ledger.stop_reason,
        "state": words.what_it_does(state),
        "iteration": state.iteration,
        "max_iterations": ledger.settings.max_iterations,
        "open": words.count_open(state),
        "last_update": state.last_update,
        "holder": words.holder_words(ledger.lease),
    }


def _show(session: Session, tasks: list[dict[str, Any]]) -> None:
    from mendloop.cli import words
    from mendloop.cli.printing import print_line, print_table

    if not tasks:
        print_line(words.no_tasks(session))
        return
    rows = [
        [task["task_id"], "unreadable", "", "", "", ""]
        if "problem" in task
        else [
            task["task_id"],
            task["state"],
            f"{task['iteration']}/{task['max_iterations']}",
            words.open_words(task["open"]),
            words.time_words(task["last_update"]),
            task["holder"],
        ]
        for task in tasks
    ]
    print_table(session, ["task", "state", "iteration", "open", "last update", "run by"], rows)
    for task in tasks:
        if "problem" in task:
            print_line(f"{task['task_id']} is unreadable: {task['problem']}")
    if any("problem" in task for task in tasks):
        print_line(f"`mendloop doctor{session.store_option}` tells what to do")
