"""`mendloop tip`."""

from __future__ import annotations

import click

from mendloop.cli.options import shared_options, task_argument
from mendloop.cli.session import Session

__all__ = ["tip"]


@click.command
@task_argument
@click.argument("commit")
@shared_options
@click.pass_obj
def tip(session: Session, task_id: str, commit: str) -> None:
    """
    Say which COMMIT the change is at now.

    What is then reported about a commit that was the tip before is kept, and not acted on.
    """
    from mendloop.cli.composition import with_manager
    from mendloop.cli.printing import emit, print_line

    told = with_manager(session, lambda manager: manager.record_tip(task_id, commit))
    emit(session, {"task_id": task_id, "tip": told}, lambda: print_line(f"{task_id} is at {told}"))
