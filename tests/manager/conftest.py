"""Managers on a real SQLite file or a real API server, with faults where a test wants them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from audited import check_namespace
from crew import open_spec
from faulty_store import FaultyStore
from opened import opened

from controlplane import Cluster
from mendloop.manager import StateManager
from mendloop.stores.port import Store
from mendloop.stores.sqlite import open_sqlite

OpenStore = Callable[[], Awaitable[Store]]
Manage = Callable[..., StateManager]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the test's database is."""
    return tmp_path / "state.db"


@pytest.fixture
async def open_store(path: Path) -> AsyncIterator[OpenStore]:
    """Open one more handle on the test's file, as another process would; closed at the end."""
    opened: list[Store] = []

    async def open_one() -> Store:
        store: Store = await open_sqlite(path)
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        await store.close()


@pytest.fixture
async def store(open_store: OpenStore) -> FaultyStore:
    """A store without faults, until the test sets some."""
    return FaultyStore(await open_store())


@pytest.fixture(params=["sqlite", pytest.param("configmap", marks=pytest.mark.kubernetes)])
def place_spec(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the test's storage is, on each kind of store; see `crew.open_spec`."""
    if request.param == "sqlite":
        return f"sqlite:{tmp_path / 'state.db'}"
    cluster: Cluster = request.getfixturevalue("control_plane")
    namespace = request.getfixturevalue("namespace")
    return f"configmap:{cluster.kubeconfig(tmp_path / 'kubeconfig', namespace=namespace)}"


@pytest.fixture
async def open_one(request: pytest.FixtureRequest, place_spec: str) -> AsyncIterator[OpenStore]:
    """Open one more handle on the test's storage, on each kind of store."""

    async def one() -> Store:
        return await open_spec(place_spec)

    async with opened(one) as open_another:
        yield open_another
    await check_namespace(request, place_spec)


@pytest.fixture
async def place(open_one: OpenStore) -> Store:
    """The test's store."""
    return await open_one()


@pytest.fixture
async def manage() -> AsyncIterator[Manage]:
    """Make a manager on a store; all are closed at the end, with nothing left in them."""
    made: list[StateManager] = []

    def make(store: Store, **options: Any) -> StateManager:
        manager = StateManager(store, **({"by": "ann", "deadline_seconds": 5.0} | options))
        made.append(manager)
        return manager

    yield make
    for manager in made:
        await manager.close()
        assert not manager._committer._queues
        assert not manager._committer._drains


@pytest.fixture
def manager(store: FaultyStore, manage: Manage) -> StateManager:
    """A manager on the test's store."""
    return manage(store)
