"""Whoever moves tasks between stores, for tests."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import msgspec
from logbooks import logbook_of
from states import entry

from mendloop.clock import SystemClock
from mendloop.core.model import Settings
from mendloop.core.text import no_redaction
from mendloop.core.vocabulary import Severity
from mendloop.exporting import Exported, Exporter
from mendloop.importing import Importer, Outcome
from mendloop.manager import StateManager
from mendloop.quarantine import Quarantine
from mendloop.stores.port import Store

__all__ = ["Porter", "documents", "kinds"]

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Porter:
    """Exports from stores and imports into them, as the command line does."""

    exported: Exported

    async def export(self, store: Store, *task_ids: str) -> bytes:
        exporter = Exporter(store)
        out = io.BytesIO()
        self.exported = await exporter.write(
            task_ids or await exporter.all_tasks(),
            out.write,
            now=NOW,
            source="a test",
            written_by="0",
        )
        return out.getvalue()

    async def import_(
        self, store: Store, bundle: bytes, *, is_replacing: bool = False
    ) -> list[Outcome]:
        quarantine = Quarantine(store, clock=SystemClock(), redact=no_redaction)
        importer = Importer(
            store, logbook_of(store, "import"), quarantine if is_replacing else None
        )
        refused = await importer.check(io.BytesIO(bundle))
        return [outcome async for outcome in importer.write(io.BytesIO(bundle), refused)]

    async def fill(self, store: Store, tasks: int, *, findings: int = 12) -> None:
        """Make tasks with sealed findings and commits, ended ones among them."""
        async with StateManager(store, by="ann", deadline_seconds=60) as manager:
            for number in range(tasks):
                name = f"job-{number}"
                await manager.create_task(name, settings=Settings(max_iterations=1 + number % 5))
                await manager.append_feedback(
                    name,
                    *(
                        entry(
                            f"c{n}",
                            severity=list(Severity)[n % 4],
                            description=f"\u00e4 {n} " * 300,
                        )
                        for n in range(findings)
                    ),
                )
                if number % 2:
                    await manager.compress_feedback_history(name)
                for _ in range(number % 3):
                    await manager.increment_iteration(name, max_iterations=30)
                if number % 7 == 3:
                    await manager.stop(name, reason="enough")


def documents(bundle: bytes) -> list[bytes]:
    """The lines of a bundle that are documents."""
    return bundle.splitlines(keepends=True)[1:-1]


def kinds(bundle: bytes) -> list[tuple[str, str]]:
    """The task and kind of each document, in order."""
    lines = map(msgspec.json.decode, documents(bundle))
    return [(line["document"]["task"], line["document"]["kind"]) for line in lines]
