"""
What is looked at when a test is over: each change of each task has its record, and no secret is kept.

So the tests are, all together, one long use of the product, after which both are true of each store. A
test that `damages` is excused from the first, or from a part of it where it acts as `other_hands`, and
one that `leaks` from the second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest
from crew import open_spec
from leaks import leaks_in, leaks_of, unpacked

from mendloop.auditing import Auditor
from mendloop.core.errors import StateError
from mendloop.core.names import CHUNK, HEAD
from mendloop.stores.paging import documents
from mendloop.stores.port import Store

__all__ = ["check_files", "check_namespace", "check_records", "check_texts"]

_OUTSIDE = b'"do":"change_outside"'


async def check_records(request: pytest.FixtureRequest, store: Store) -> None:
    """Fail where a record is missing or was changed, or a secret is kept."""
    if not _is_marked(request, "damages"):
        told = {v.task_id: v.flaws async for v in Auditor(store).verify_all() if v.flaws}
        assert not told, told
    if not _is_marked(request, "damages") and not _is_marked(request, "other_hands"):
        absorbed = await _changed_outside(store)
        assert not absorbed, absorbed
    if not _is_marked(request, "leaks"):
        leaks = await leaks_of(store)
        assert not leaks, leaks


async def _changed_outside(store: Store) -> list[str]:
    """What tells of a change past mendloop: one of ours that left no record looks like that, once another follows."""
    return [
        document.key
        for kind in (HEAD, CHUNK)
        async for document in documents(store, kind, limit=25)
        if _OUTSIDE in unpacked(document.body)
    ]


async def check_namespace(request: pytest.FixtureRequest, spec: str) -> None:
    """The same of the store at *spec*, see `crew.open_spec`, if it is no file: those `check_files` sees."""
    if not spec.startswith("sqlite:"):
        await _check_at(request, spec)


async def _check_at(request: pytest.FixtureRequest, spec: str) -> None:
    try:
        store = await open_spec(spec)
    except StateError:
        assert _is_marked(request, "damages"), f"{spec} cannot be opened"
        return
    try:
        await check_records(request, store)
    finally:
        await store.close()


def check_files(request: pytest.FixtureRequest, folder: Path) -> None:
    """The same of all SQLite files below *folder*."""
    if found := [path for path in folder.rglob("*.db") if path.is_file()]:
        asyncio.run(_check_each(request, found))


async def _check_each(request: pytest.FixtureRequest, paths: Iterable[Path]) -> None:
    for path in paths:
        await _check_at(request, f"sqlite:{path}")


def check_texts(request: pytest.FixtureRequest, told: Iterable[bytes]) -> None:
    """Fail where a secret is in what was told to somebody."""
    if not _is_marked(request, "leaks"):
        leaks = [leak for text in set(told) for leak in leaks_in(text)]
        assert not leaks, leaks


def _is_marked(request: pytest.FixtureRequest, name: str) -> bool:
    return request.node.get_closest_marker(name) is not None
