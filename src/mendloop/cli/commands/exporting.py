"""`mendloop export`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mendloop.cli.options import shared_options
from mendloop.cli.session import Session

if TYPE_CHECKING:
    from typing import BinaryIO

    from mendloop.exporting import Exported
    from mendloop.stores.port import Store

__all__ = ["export"]


@click.command
@click.argument("tasks", nargs=-1, metavar="[TASK]...")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--all", "is_all", is_flag=True, help="All tasks of the store.")
@shared_options
@click.pass_obj
def export(session: Session, tasks: tuple[str, ...], file: str, *, is_all: bool) -> int:
    """
    Write tasks into FILE, with all their history: for a copy, or to import them elsewhere.

    It is compressed where its name ends in .gz; - is standard output.
    """
    from mendloop.cli.bundle_files import written_bundle
    from mendloop.cli.composition import with_store
    from mendloop.cli.exit_codes import code_of_error
    from mendloop.cli.main import complain
    from mendloop.core.names import check_task_id

    if bool(tasks) == is_all:
        raise click.UsageError("name the tasks, or all of them with --all")

    for task_id in tasks:
        check_task_id(task_id)
    with written_bundle(file) as out:
        exported = with_store(session, lambda store: _write(session, store, tasks, out))
    if file != "-":
        _tell(session, exported, file)
    for problem in exported.problems:
        complain(session, type(problem).__name__, f"warning: {problem}", task_id=problem.task_id)
    return code_of_error(exported.problems[0]) if exported.problems else 0


async def _write(session: Session, store: Store, tasks: tuple[str, ...], out: BinaryIO) -> Exported:
    from mendloop import __version__
    from mendloop.cli.composition import store_spec
    from mendloop.clock import SystemClock
    from mendloop.exporting import Exporter

    exporter = Exporter(store)
    await exporter.check(tasks)
    return await exporter.write(
        tasks or await exporter.all_tasks(),
        out.write,
        now=SystemClock().now(),
        source=session.place or store_spec(session),
        written_by=__version__,
    )


def _tell(session: Session, exported: Exported, file: str) -> None:
    from mendloop.cli.printing import emit, print_line
    from mendloop.cli.words import counted

    data = {"file": file, "tasks": exported.tasks, "documents": exported.documents}
    emit(
        session,
        data,
        lambda: print_line(
            f"{file}: {counted(exported.tasks, 'task')}, "
            f"{counted(exported.documents, 'document')}; "
            f"`mendloop import {file}` with another --store puts them there"
        ),
    )
