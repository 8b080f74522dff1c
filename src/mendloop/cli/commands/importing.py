"""`mendloop import`."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import click

from mendloop.cli.options import shared_options
from mendloop.cli.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mendloop.core.errors import StateError
    from mendloop.manager import StateManager
    from mendloop.stores.port import Store

__all__ = ["import_"]


class Told(NamedTuple):
    """What became of one task, and the name of the copy of the damaged state that it replaced."""

    name: str
    verdict: str
    error: StateError | None = None
    copy: str = ""


_WORDS = {
    "created": "imported",
    "updated": "brought up to date",
    "replaced": "put in the place of a damaged state",
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
@click.option(
    "--replace-damaged",
    is_flag=True,
    help="Put a task in the place of a state that is damaged, of which a copy is kept first.",
)
@shared_options
@click.pass_obj
def import_(session: Session, file: str, origin: str, *, replace_damaged: bool) -> int:
    """
    Bring the tasks of FILE, which `mendloop export` wrote, into the store; - is standard input.

    A file that is cut or altered is refused before anything is written. A task that is there
    already is brought up to date where it is older, and left as it is where it is newer or another;
    the others are imported all the same.
    """
    from mendloop.cli.bundle_files import read_bundle
    from mendloop.cli.exit_codes import code_of_error
    from mendloop.cli.main import complain

    if replace_damaged and origin == "cto":
        raise click.UsageError("--replace-damaged is for what `mendloop export` wrote")
    with read_bundle(file) as content:
        told = (
            _take_cto(session, content)
            if origin == "cto"
            else _take(session, content, is_replacing=replace_damaged)
        )
    _tell(session, told)
    errors = [one.error for one in told if one.error is not None]
    for error in errors:
        complain(session, type(error).__name__, f"error: {error}", task_id=error.task_id)
    return code_of_error(errors[0]) if errors else 0


def _take(session: Session, bundle: BinaryIO, *, is_replacing: bool) -> list[Told]:
    """Import a bundle; what imports nothing makes no store."""
    from mendloop.cli.composition import with_store
    from mendloop.core.errors import StoreNotFound
    from mendloop.importing import is_anything_in

    async def take(store: Store) -> list[Told]:
        return await _import(session, store, bundle, is_replacing=is_replacing)

    try:
        return with_store(session, take)
    except StoreNotFound:
        if not is_anything_in(bundle):
            return []
        return with_store(session, take, must_exist=False)


async def _import(
    session: Session, store: Store, bundle: BinaryIO, *, is_replacing: bool
) -> list[Told]:
    from mendloop.clock import SystemClock
    from mendloop.core.logbook import Actor
    from mendloop.core.text import redact_secrets
    from mendloop.importing import Importer
    from mendloop.logbook import Logbook
    from mendloop.quarantine import Quarantine

    clock = SystemClock()
    actor = Actor(session.by, "import")
    logbook = Logbook(store, actor=actor, clock=clock, redact=redact_secrets)
    quarantine = Quarantine(store, clock=clock, redact=redact_secrets) if is_replacing else None
    importer = Importer(store, logbook, quarantine)
    refused = await importer.check(bundle)
    return [
        Told(outcome.task_id, outcome.verdict or "refused", outcome.error, outcome.copy)
        async for outcome in importer.write(bundle, refused)
    ]


def _take_cto(session: Session, dump: BinaryIO) -> list[Told]:
    """Import a dump; what imports nothing makes no store."""
    from mendloop.cli.composition import with_manager
    from mendloop.cli.foreign import read_states, take_over
    from mendloop.core.errors import StateError

    states = read_states(dump)
    refused: list[Told] = [
        Told(name, "refused", read) for name, read in states if isinstance(read, StateError)
    ]
    if len(refused) == len(states):
        return refused

    async def take(manager: StateManager) -> list[Told]:
        taken = await take_over(manager.acting_for(session.by, door="import"), states)
        return [Told(one.name, one.verdict, one.error) for one in taken]

    return with_manager(session, take, must_exist=False)


def _tell(session: Session, told: Sequence[Told]) -> None:
    from mendloop.cli.printing import emit, print_line

    named = {part: [one.name for one in told if one.verdict == part] for part in _WORDS}
    copies = [one.copy for one in told if one.copy]

    def show() -> None:
        counts = [f"{len(named[part])} {word}" for part, word in _WORDS.items() if named[part]]
        print_line(f"tasks: {', '.join(counts) or 'none in the file'}")
        for copy in copies:
            print_line(f"a copy of what was damaged is kept as {copy}")

    emit(session, named | {"quarantined": copies}, show)
