"""Somebody who can write the store, and changes records in it past mendloop."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from typing import Any

from mendloop.core.model import RemediationState
from mendloop.core.names import CHUNK, HEAD, chunk_key, head_name
from mendloop.core.sealing import sealed_key
from mendloop.stores.port import Document, Store

__all__ = ["DAMAGES", "Damage", "Tamperer"]

Damage = Callable[[list[dict[str, Any]]], list[int]]
"""Changes records in place; returns the numbers of those that an auditor has to name."""


def _changed(records: list[dict[str, Any]]) -> list[int]:
    records[1]["changes"][0]["by"] = "mallory"
    return [records[1]["number"]]


def _removed(records: list[dict[str, Any]]) -> list[int]:
    return [records.pop(1)["number"]]


def _moved(records: list[dict[str, Any]]) -> list[int]:
    records[1], records[2] = records[2], records[1]
    return sorted([records[1]["number"], records[2]["number"]])


DAMAGES: dict[str, Damage] = {"changed": _changed, "missing": _removed, "moved": _moved}
"""By the kind of flaw that each one is."""


class Tamperer:
    """Changes the records of task t, and puts back what was there."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._written: list[Document] = []
        self._head: Document | None = None
        self._taken: Document | None = None

    async def in_head(self, damage: Damage) -> list[int]:
        """Damage the records in the state."""
        head = await self._read(HEAD, head_name("t"))
        state = json.loads(head.body)
        named = damage(state["mendloop"]["commits"])
        await self._write_head(head, state)
        return named

    async def in_sealed(
        self, state: RemediationState, part: str, damage: Damage, *, is_pointed_at: bool
    ) -> tuple[str, list[int]]:
        """
        Damage the records in the "tail" or the last of the "chunks"; tells where they stand then.

        Args:
            is_pointed_at: Whether the state is made to point at what stands there then.
        """
        log = state.ledger.log
        pointer = log.tail if part == "tail" else log.chunks[-1]
        assert pointer is not None
        incarnation = state.ledger.incarnation
        self._taken = await self._read(CHUNK, sealed_key("t", incarnation, pointer))
        header, *lines = gzip.decompress(self._taken.body).split(b"\n")
        rows = {row[0]: row for row in map(json.loads, filter(_is_row, lines))}
        records = [row[2] for row in rows.values()]
        named = damage(records)
        changed = [json.dumps([*rows[r["number"]][:2], r]).encode() for r in records]
        body = gzip.compress(b"\n".join([header, *changed, b""]))
        key = self._taken.key
        if is_pointed_at:
            digest = hashlib.sha256(body).hexdigest()
            key = chunk_key("t", incarnation, pointer.first, digest)
            head = await self._read(HEAD, head_name("t"))
            document = json.loads(head.body)
            sealed = document["mendloop"]["log"]
            (sealed["tail"] if part == "tail" else sealed["chunks"][-1])["digest"] = digest
            await self._write_head(head, document)
        await self._store.delete(self._taken)
        labels = dict(self._taken.labels)
        self._written.append(await self._store.create(CHUNK, key, body, labels=labels))
        return key, named

    async def put_back(self) -> None:
        """Undo all of it."""
        for document in self._written:
            await self._store.delete(document)
        if self._taken is not None:
            taken = self._taken
            labels = dict(taken.labels)
            await self._store.create(CHUNK, taken.key, taken.body, labels=labels)
        if self._head is not None:
            await self._store.replace(await self._read(HEAD, self._head.key), self._head.body)
        self._written, self._head, self._taken = [], None, None

    async def _read(self, kind: str, key: str) -> Document:
        document = await self._store.get(kind, key)
        assert document is not None
        return document

    async def _write_head(self, head: Document, state: dict[str, Any]) -> None:
        self._head = head
        await self._store.replace(head, json.dumps(state).encode())


def _is_row(line: bytes) -> bool:
    return line.startswith(b"[")
