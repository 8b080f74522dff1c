"""
The stores that the contract runs on, and several independent handles on one storage.

The environment variable MENDLOOP_CONTRACT_STORE picks the store: "sqlite", or "unversioned", which
writes without a version and must fail exactly the cases marked ``v1_write_fails``.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import ModuleType

import pytest

from mendloop.stores.port import Store
from mendloop.stores.sqlite import open_sqlite

OpenReplica = Callable[[], Awaitable[Store]]


def _sibling(name: str) -> ModuleType:
    """Import a module of this folder, which is no package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def rounds() -> int:
    """How often a race is run: the full figure in a soak, a tenth otherwise."""
    return 1000 if int(os.environ.get("MENDLOOP_SOAK", "0")) else 100


@pytest.fixture
async def open_replica(tmp_path: Path) -> AsyncIterator[OpenReplica]:
    """Open one more independent handle on the test's storage; closed when the test ends."""
    opened: list[Store] = []
    is_unversioned = os.environ.get("MENDLOOP_CONTRACT_STORE", "sqlite") == "unversioned"

    async def open_one() -> Store:
        store: Store = await open_sqlite(tmp_path / "contract.db")
        opened.append(store)
        return _sibling("unversioned_store").UnversionedStore(store) if is_unversioned else store

    yield open_one
    for store in opened:
        await store.close()


@pytest.fixture
async def store(open_replica: OpenReplica) -> Store:
    """One handle on an empty storage."""
    return await open_replica()


@pytest.fixture
async def other(open_replica: OpenReplica) -> Store:
    """Another handle on the same storage."""
    return await open_replica()


@pytest.fixture
async def replicas(open_replica: OpenReplica) -> list[Store]:
    """Four independent handles on one storage."""
    return [await open_replica() for _ in range(4)]
