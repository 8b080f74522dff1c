"""`mendloop increment`."""

from __future__ import annotations

import click

from mendloop.cli.options import shared_options, task_argument
from mendloop.cli.session import Session

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

    iteration = with_manager(
        session,
        lambda manager: manager.increment_iteration(
            task_id, max_iterations=max_iterations, op_id=op_id
        ),
    )
    emit(
        session,
        {"task_id": task_id, "iteration": iteration},
        lambda: print_line(f"{task_id}: iteration {iteration} began"),
    )
