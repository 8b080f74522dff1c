"""`mendloop increment`."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import click

from mendloop.cli.options import shared_options, task_argument
from mendloop.cli.session import Session

if TYPE_CHECKING:
    from mendloop.manager import StateManager

__all__ = ["increment"]


@click.command
@task_argument
@click.option(
    "--max-iterations",
    type=click.IntRange(1, 2**32 - 1),
    help="The limit from now on; 10 for a new task if not given.",
)
@click.option("--op-id", help="Names this attempt: the same id again gets the same number.")
@shared_options
@click.pass_obj
def increment(
    session: Session, task_id: str, max_iterations: int | None, op_id: str | None
) -> None:
    """Start a task's next iteration, for a loop of your own; prints the number, given once."""
    from mendloop.cli.composition import with_manager
    from mendloop.cli.printing import emit, print_line
    from mendloop.core.errors import LeaseHeld
    from mendloop.lease import take_from_the_dead
    from mendloop.runners.identity import this_process

    async def start(manager: StateManager) -> int:
        return await manager.increment_iteration(
            task_id, max_iterations=max_iterations, op_id=op_id
        )

    async def start_after_the_dead(manager: StateManager) -> int:
        try:
            return await start(manager)
        except LeaseHeld:
            me = this_process(session.by, secrets.token_hex(8))
            if not await take_from_the_dead(manager, task_id, me):
                raise
            return await start(manager)

    iteration = with_manager(session, start_after_the_dead, must_exist=False)
    emit(
        session,
        {"task_id": task_id, "iteration": iteration},
        lambda: print_line(f"{task_id}: iteration {iteration} began"),
    )
