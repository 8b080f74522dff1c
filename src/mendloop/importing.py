"""Writing the documents of a bundle into a store: whole and unaltered, or not at all."""

from __future__ import annotations

import gzip
import secrets
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import BinaryIO

import msgspec

from mendloop.core.bundle import (
    LINE_LIMIT_BYTES,
    LineReader,
    Packed,
    Verdict,
    forked,
    judge,
    outliving,
    without_holder,
)
from mendloop.core.codec import decode_head
from mendloop.core.errors import (
    BeingDeleted,
    DeserializationError,
    DocumentExists,
    HistoryDamaged,
    ReadOnlyState,
    RevisionConflict,
    StateError,
    StateExists,
    TransitionRefused,
    ValidationError,
)
from mendloop.core.logbook import import_entry
from mendloop.core.model import RemediationState
from mendloop.core.names import CHUNK, HEAD, QUARANTINE, check_task_id, head_name
from mendloop.crashpoints import reach
from mendloop.history import SealedHistory
from mendloop.logbook import Logbook
from mendloop.quarantine import Quarantine
from mendloop.sealed_store import SealedStore
from mendloop.stores.grammar import check_content, check_name
from mendloop.stores.port import Document, Store

__all__ = ["Importer", "Outcome", "is_anything_in"]

_OF_ONE_TASK = (
    BeingDeleted,
    DeserializationError,
    ReadOnlyState,
    StateExists,
    TransitionRefused,
    ValidationError,
)
"""What is wrong with one task and leaves the others as they are."""


_KINDS = frozenset({HEAD, CHUNK, QUARANTINE})
"""What belongs to a task; nothing else is in a bundle."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """
    What became of one task of a bundle.

    Attributes:
        task_id: The task.
        verdict: What was done; None where it was refused.
        error: Why it was refused, or None.
        copy: The name of the copy of the damaged state that it replaced, or "".
    """

    task_id: str
    verdict: Verdict | None = None
    error: StateError | None = None
    copy: str = ""


class Importer:
    """
    Imports bundles into one store.

    The bundle is read twice: nothing is written before all of it was found as it was written. Of a
    task the history is written first and the head last, so that what a crash leaves behind is
    pointed at by nobody; the same import again goes on from there.
    """

    def __init__(
        self, store: Store, logbook: Logbook, quarantine: Quarantine | None = None
    ) -> None:
        """
        Write into *store*.

        Args:
            store: Where the tasks come.
            logbook: Is told of each that comes, before it does.
            quarantine: Takes the copies of damaged states that are replaced; None where none is.
        """
        self._store = store
        self._logbook = logbook
        self._quarantine = quarantine
        self._history = SealedHistory(store, SealedStore(store))

    async def check(self, bundle: BinaryIO) -> dict[str, StateError]:
        """
        Read the bundle to its end, and write nothing.

        Returns:
            The tasks that cannot be imported as the store is now, and why.

        Raises:
            BundleDamaged: It is cut or altered.
            ValidationError: A newer mendloop wrote it, or there is what no store takes.
        """
        refused: dict[str, StateError] = {}
        for packed in _documents(bundle):
            if packed.kind == HEAD:
                stored = await self._store.get(HEAD, packed.key)
                try:
                    await self._judge(packed, stored)
                except _OF_ONE_TASK as error:
                    refused[packed.task] = error
        return refused

    async def write(
        self, bundle: BinaryIO, refused: dict[str, StateError]
    ) -> AsyncIterator[Outcome]:
        """
        Import the bundle, all tasks but those that were *refused*.

        Yields:
            What became of each task, in the order in which they stand in it.
        """
        refused = dict(refused)
        for packed in _documents(bundle):
            done: Outcome | None = None
            if packed.task not in refused:
                try:
                    done = await self._put(packed)
                except _OF_ONE_TASK as error:
                    refused[packed.task] = error
            if packed.kind == HEAD:
                yield done or Outcome(task_id=packed.task, error=refused[packed.task])

    async def _judge(self, packed: Packed, stored: Document | None) -> Verdict:
        if stored is not None:
            await self._refuse_own_way(packed, stored)
        return judge(
            packed.task,
            packed.body,
            stored.body if stored else None,
            damage=stored.damage if stored else "",
            is_damage_replaced=self._quarantine is not None,
        )

    async def _put(self, packed: Packed) -> Outcome | None:
        if packed.kind == HEAD:
            return await self._put_head(packed)
        try:
            await self._store.create(
                packed.kind, packed.key, packed.body, fields=packed.fields, labels=packed.labels
            )
        except DocumentExists:
            await self._refuse_other(packed)
        reach("chunk-written")
        return None

    async def _refuse_other(self, packed: Packed) -> None:
        stored = await self._store.get(packed.kind, packed.key)
        if stored is not None and stored.body != packed.body:
            raise StateExists(
                f"the {packed.kind} {packed.key} is there already, with other bytes: it is left as "
                "it is",
                task_id=packed.task,
            )

    async def _put_head(self, packed: Packed) -> Outcome:
        """Write the head last, on what it was judged against; judge again where that moved."""
        reach("head-decided")
        while True:
            stored = await self._store.get(HEAD, packed.key)
            verdict = await self._judge(packed, stored)
            if verdict is Verdict.PRESENT:
                return Outcome(task_id=packed.task, verdict=verdict)
            if stored is not None and verdict is Verdict.UPDATED:
                await self._refuse_fork(packed, stored)
            copy = await self._set_aside(packed, stored) if verdict is Verdict.REPLACED else ""
            written = await self._tell(packed, stored, copy)
            reach("import-told")
            try:
                await self._write_head(packed, stored, verdict)
            except (DocumentExists, RevisionConflict):
                await self._logbook.withdraw(written)
                continue
            except _OF_ONE_TASK:
                await self._logbook.withdraw(written)
                raise
            reach("head-written")
            return Outcome(task_id=packed.task, verdict=verdict, copy=copy)

    async def _write_head(self, packed: Packed, stored: Document | None, verdict: Verdict) -> None:
        beside = {"fields": packed.fields, "labels": packed.labels}
        body = without_holder(packed.task, packed.body)
        if verdict is Verdict.REPLACED:
            body = outliving(packed.task, packed.body, self._logbook.clock.now())
        if stored is None:
            await self._store.create(HEAD, packed.key, body, **beside)
        else:
            await self._store.replace(stored, body, **beside)

    async def _set_aside(self, packed: Packed, stored: Document | None) -> str:
        """Keep a copy of the damaged head before anything is done to it."""
        assert stored is not None  # noqa: S101 - it was found damaged
        assert self._quarantine is not None  # noqa: S101 - it was judged by that
        reason = "damaged, and replaced by an import"
        copy = await self._quarantine.set_aside(packed.task, stored, reason=reason)
        reach("head-set-aside")
        return copy

    async def _tell(self, packed: Packed, stored: Document | None, copy: str) -> Document | None:
        entry = import_entry(
            packed.task,
            packed.body,
            _readable_body(stored),
            revision=stored.revision if stored else "",
            actor=self._logbook.actor,
            now=self._logbook.clock.now(),
            token=secrets.token_hex(8),
            copy=copy,
        )
        return await self._logbook.write(entry)

    async def _refuse_fork(self, packed: Packed, stored: Document) -> None:
        """Make sure that the bundle's head goes on from the one that is stored."""
        ours = decode_head(packed.task, stored.body)
        theirs = decode_head(packed.task, packed.body)
        common = await self._last_common(ours, theirs)
        if common < ours.ledger.commit:
            raise forked(ours, theirs, common)

    async def _refuse_own_way(self, packed: Packed, stored: Document) -> None:
        """Make sure that the store's head, where it is not older, goes on from the bundle's."""
        try:
            ours = decode_head(packed.task, stored.body, damage=stored.damage)
            theirs = decode_head(packed.task, packed.body)
            if not _is_same_task(ours, theirs) or ours.ledger.commit < theirs.ledger.commit:
                return
            common = await self._last_common(theirs, ours)
        except (DeserializationError, HistoryDamaged, ReadOnlyState):
            return  # then it cannot be told, and what is not older is refused all the same
        if common < theirs.ledger.commit:
            raise forked(ours, theirs, common)

    async def _last_common(self, older: RemediationState, newer: RemediationState) -> int:
        """The last commit in the head of the one that the other has too; 0 where there is none."""
        ids = {commit.number: commit.id for commit in older.ledger.commits}
        common = 0
        async for commit in self._history.commits(newer, after=min(ids, default=1) - 1):
            if ids.get(commit.number) != commit.id:
                break
            common = commit.number
        return common


def _is_same_task(ours: RemediationState, theirs: RemediationState) -> bool:
    return bool(theirs.ledger.commits) and ours.ledger.incarnation == theirs.ledger.incarnation


def is_anything_in(bundle: BinaryIO) -> bool:
    """
    Read the bundle to its end, and tell whether there is any document in it.

    Raises:
        BundleDamaged: It is cut or altered.
        ValidationError: A newer mendloop wrote it, or there is what no store takes.
    """
    return sum(1 for _ in _documents(bundle)) > 0


def _documents(bundle: BinaryIO) -> Iterator[Packed]:
    """Read a bundle from its beginning to its end; damage is found where it stands."""
    bundle.seek(0)
    reader = LineReader()
    while line := _next_line(bundle, reader):
        part = reader.read(line)
        if isinstance(part, Packed):
            _check(part, reader)
            yield part
    reader.end()


def _readable_body(stored: Document | None) -> bytes | None:
    if stored is None:
        return None
    return b"" if stored.damage else stored.body


def _next_line(bundle: BinaryIO, reader: LineReader) -> bytes:
    try:
        line = bundle.readline(LINE_LIMIT_BYTES + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        reader.number += 1
        raise reader.damaged(f"it cannot be unpacked ({error})") from error
    if len(line) > LINE_LIMIT_BYTES:
        reader.number += 1
        raise reader.damaged("the line is longer than any that is written")
    return line


def _check(packed: Packed, reader: LineReader) -> None:
    """Refuse what no export writes, before anything is written."""
    try:
        check_task_id(packed.task)
        check_name(packed.kind, packed.key)
        check_content(packed.kind, packed.body, packed.fields, packed.labels)
    except ValidationError as error:
        raise reader.damaged(str(error)) from error
    is_head = packed.key == head_name(packed.task)
    is_named_so = packed.key.startswith(f"task-{packed.task}-")
    if packed.kind not in _KINDS or is_head != (packed.kind == HEAD) or not is_named_so:
        raise reader.damaged(f"the {packed.kind} {packed.key} is none of task {packed.task}")
