"""`mendloop import`."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

import click

from mendloop.cli.options import shared_options
from mendloop.cli.session import Session

if TYPE_CHECKING:
    from mendloop.importing import Outcome
    from mendloop.stores.port import Store

__all__ = ["import_"]


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@shared_options
@click.pass_obj
def import_(session: Session, file: str) -> int:
    """
    Bring the tasks of FILE, which `mendloop export` wrote, into the store; - is standard input.

    A file that is cut or altered is refused before anything is written. A task that is there
    already is brought up to date where it is older, and left as it is where it is newer or another;
    the others are imported all the same.
    """
    from mendloop.cli.bundle_files import read_bundle
    from mendloop.cli.composition import with_store
    from mendloop.cli.exit_codes import code_of_error
    from mendloop.cli.main import complain

    with read_bundle(file) as bundle:
        outcomes = with_store(session, lambda store: _import(store, bundle), must_exist=False)
    _tell(session, outcomes)
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    for error in errors:
        complain(session, type(error).__name__, f"error: {error}", task_id=error.task_id)
    return code_of_error(errors[0]) if errors else 0


async def _import(store: Store, bundle: BinaryIO) -> list[Outcome]:
    from mendloop.importing import Importer

    importer = Importer(store)
    refused = await importer.check(bundle)
    return [outcome async for outcome in importer.write(bundle, refused)]


def _tell(session: Session, outcomes: list[Outcome]) -> None:
    from mendloop.cli.printing import emit, print_line

    told: dict[str, list[str]] = {"created": [], "updated": [], "present": [], "refused": []}
    for outcome in outcomes:
        told[outcome.verdict or "refused"].append(outcome.task_id)

    def show() -> None:
        words = {
            "created": "imported",
            "updated": "brought up to date",
            "present": "there already",
            "refused": "refused",
        }
        counts = [f"{len(told[part])} {word}" for part, word in words.items() if told[part]]
        print_line(f"tasks: {', '.join(counts) or 'none in the bundle'}")

    emit(session, told, show)
