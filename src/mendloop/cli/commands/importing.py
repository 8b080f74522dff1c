"""`mendloop import`."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

import click

from mendloop.cli.options import shared_options
from mendloop.cli.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mendloop.core.errors import StateError
    from mendloop.manager import StateManager
    from mendloop.stores.port import Store

    Told = tuple[str, str, StateError | None]

__all__ = ["import_"]

_WORDS = {
    "created": "imported",
    "updated": "brought up to date",
    "present": "there already",
    "refused": "refused",
}


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option(
    "--from",
    "origin",
    type=click.Choice(["mendloop", "cto"]),
    default="mendloop",
    show_default=True,
    help="Who wrote FILE; of cto it is what `kubectl get configmap -o json` or `-o yaml` prints.",
)
@shared_options
@click.pass_obj
def import_(session: Session, file: str, origin: str) -> int:
    """
    Bring the tasks of FILE, which `mendloop export` wrote, into the store; - is standard input.

    A file that is cut or altered is refused before anything is written. A task that is there
    already is brought up to date where it is older, and left as it is where it is newer or another;
    the others are imported all the same.
    """
    from mendloop.cli.bundle_files import read_bundle
    from mendloop.cli.exit_codes import code_of_error
    from mendloop.cli.main import complain

    with read_bundle(file) as content:
        told = (_take_cto if origin == "cto" else _take)(session, content)
    _tell(session, told)
    errors = [error for _, _, error in told if error is not None]
    for error in errors:
        complain(session, type(error).__name__, f"error: {error}", task_id=error.task_id)
    return code_of_error(errors[0]) if errors else 0


def _take(session: Session, bundle: BinaryIO) -> list[Told]:
    """Import a bundle; what imports nothing makes no store."""
    from mendloop.cli.composition import with_store
    from mendloop.core.errors import StoreNotFound
    from mendloop.importing import is_anything_in

    try:
        return with_store(session, lambda store: _import(session, store, bundle))
    except StoreNotFound:
        if not is_anything_in(bundle):
            return []
        return with_store(session, lambda store: _import(session, store, bundle), must_exist=False)


async def _import(session: Session, store: Store, bundle: BinaryIO) -> list[Told]:
    from mendloop.clock import SystemClock
    from mendloop.core.logbook import Actor
    from mendloop.core.text import redact_secrets
    from mendloop.importing import Importer
    from mendloop.logbook import Logbook

    actor = Actor(session.by, "import")
    logbook = Logbook(store, actor=actor, clock=SystemClock(), redact=redact_secrets)
    importer = Importer(store, logbook)
    refused = await importer.check(bundle)
    return [
        (outcome.task_id, outcome.verdict or "refused", outcome.error)
        async for outcome in importer.write(bundle, refused)
    ]


def _take_cto(session: Session, dump: BinaryIO) -> list[Told]:
    """Import a dump; what imports nothing makes no store."""
    from mendloop.cli.composition import with_manager
    from mendloop.cli.foreign import read_states, take_over
    from mendloop.core.errors import StateError

    states = read_states(dump)
    refused: list[Told] = [
        (name, "refused", read) for name, read in states if isinstance(read, StateError)
    ]
    if len(refused) == len(states):
        return refused

    async def take(manager: StateManager) -> list[Told]:
        taken = await take_over(manager.acting_for(session.by, door="import"), states)
        return [(one.name, one.verdict, one.error) for one in taken]

    return with_manager(session, take, must_exist=False)


def _tell(session: Session, told: Sequence[Told]) -> None:
    from mendloop.cli.printing import emit, print_line

    named = {part: [name for name, verdict, _ in told if verdict == part] for part in _WORDS}

    def show() -> None:
        counts = [f"{len(named[part])} {word}" for part, word in _WORDS.items() if named[part]]
        print_line(f"tasks: {', '.join(counts) or 'none in the file'}")

    emit(session, named, show)
