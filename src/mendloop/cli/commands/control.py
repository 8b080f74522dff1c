"""`mendloop pause`, `resume` and `stop`."""

from __future__ import annotations

import shlex

import click

from mendloop.cli.options import reason_option, shared_options, spare_reason_option, task_argument
from mendloop.cli.session import Session

__all__ = ["pause", "resume", "stop"]


@click.command
@task_argument
@reason_option
@shared_options
@click.pass_obj
def pause(session: Session, task_id: str, reason: str) -> None:
    """Let the step in progress end, and start no other before a resume."""
    from mendloop.cli.composition import with_manager
    from mendloop.cli.printing import emit, print_line
    from mendloop.manager import StateManager

    async def hold(manager: StateManager) -> str:
        if await manager.pause(task_id, reason=reason):
            return ""
        standing = (await manager.require_state(task_id)).ledger.pause
        return f" already, by {standing.by}: {standing.reason}" if standing else ""

    already = with_manager(session, hold)
    again = f"mendloop resume {shlex.quote(task_id)}{session.store_option}"
    emit(
        session,
        {"task_id": task_id, "phase": "Paused", "is_new": not already},
        lambda: print_line(f"{task_id} is paused{already}; `{again}` goes on"),
    )


@click.command
@task_argument
@click.option(
    "--max-iterations",
    type=click.IntRange(1, 2**32 - 1),
    help="The limit from now on; needed where it is spent.",
)
@shared_options
@click.pass_obj
def resume(session: Session, task_id: str, max_iterations: int | None) -> None:
    """Let a paused or ended task go on; `mendloop run` then does."""
    from mendloop.cli.composition import with_manager
    from mendloop.cli.printing import emit, print_line

    iteration = with_manager(
        session, lambda manager: manager.resume(task_id, max_iterations=max_iterations)
    )
    run = f"mendloop run {shlex.quote(task_id)} ...{session.store_option}"
    emit(
        session,
        {"task_id": task_id, "iteration": iteration},
        lambda: print_line(f"{task_id} may go on at iteration {iteration}: `{run}`"),
    )


@click.command
@task_argument
@spare_reason_option
@shared_options
@click.pass_obj
def stop(session: Session, task_id: str, reason: str) -> None:
    """End a task; a run of it is ended within seconds. Only `mendloop resume` goes on."""
    import asyncio

    from mendloop.cli.composition import with_manager
    from mendloop.cli.printing import emit, print_line
    from mendloop.cli.words import what_it_does
    from mendloop.manager import StateManager
    from mendloop.runners.identity import end_leftover

    async def end(manager: StateManager) -> str:
        await manager.stop(task_id, reason=reason)
        state = await manager.require_state(task_id)
        child = state.ledger.lease.child
        if child is not None:
            # Its run may be dead, and then nobody else would end what it had started.
            await asyncio.to_thread(end_leftover, child)
        return what_it_does(state)

    state = with_manager(session, end)
    emit(
        session,
        {"task_id": task_id, "state": state},
        lambda: print_line(f"{task_id} has ended: {state}"),
    )
