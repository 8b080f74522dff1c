"""`mendloop run`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mendloop.cli.options import directory_option, duration, shared_options
from mendloop.cli.session import Session

if TYPE_CHECKING:
    from mendloop.config import Config

__all__ = ["run"]


@click.command
@click.argument("task_id", metavar="[TASK]", required=False)
@click.option("--review", multiple=True, metavar="CMD", help="A reviewer; may be given again.")
@click.option("--fix", metavar="CMD", help="The fixer; $MENDLOOP_BRIEF names its brief.")
@click.option(
    "--format",
    type=click.Choice(["sarif", "junit", "jsonl", "text"]),
    help="What the reviewers print; recognised if not given.",
)
@click.option(
    "--max-iterations", type=click.IntRange(1, 2**32 - 1), help="Fixes to try; 10 if not given."
)
@click.option(
    "--no-progress",
    type=click.IntRange(min=2),
    metavar="K",
    help="Stop when K reviews in a row leave the same open; 3 if not given.",
)
@click.option("--budget", type=duration, help="Stop after this long, for instance 2h.")
@click.option(
    "--step-attempts", type=click.IntRange(min=1), help="Tries of a failing step; 3 if not given."
)
@click.option("--review-timeout", type=duration, help="Of each reviewer; 15m if not given.")
@click.option("--fix-timeout", type=duration, help="Of the fixer; 1h if not given.")
@click.option("--lease", type=duration, hidden=True)
@directory_option
@shared_options
@click.pass_obj
def run(session: Session, /, task_id: str | None, directory: Path, **said: Any) -> int:
    """
    Loop review -> fix -> review; a task that was interrupted goes on where it was.

    What is not given here is read from mendloop.toml in the work tree. The exit code says why it
    stopped: 0 where a complete review found nothing open.
    """
    import asyncio

    from mendloop.cli.driving import Drive
    from mendloop.cli.interrupts import Interrupted
    from mendloop.cli.plan import RunOptions

    if session.output == "yaml":
        raise click.UsageError("run prints table or json, not yaml")
    tree = _work_tree(directory)
    config = _read_config(tree)
    task_id = task_id if task_id is not None else config.task
    if not task_id:
        raise click.UsageError("name a TASK, or give mendloop.toml a line such as task = 'demo'")
    try:
        drive = Drive(session, task_id, tree, config, RunOptions(**said))
        return asyncio.run(drive.run())
    except Interrupted as interrupted:
        return interrupted.exit_code


def _work_tree(directory: Path) -> Path:
    """The folder by its whole path: the current one may be removed while the run works."""
    try:
        return directory.resolve(strict=True)
    except OSError as error:
        raise click.UsageError(
            f"the work tree {directory} is gone; name one that is there with -C"
        ) from error


def _read_config(tree: Path) -> Config:
    from mendloop.config import read_config
    from mendloop.core.errors import ValidationError

    try:
        return read_config(tree)
    except ValidationError as error:
        raise click.UsageError(str(error)) from error
