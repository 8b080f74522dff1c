"""
The stores that the contract runs on, and several independent handles on one storage.

The environment variable MENDLOOP_CONTRACT_STORE picks one of `STORES`, among them those that write
without a version and must fail exactly the cases marked ``v1_write_fails``; otherwise each case runs
on every sound store.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from opened import opened
from unversioned import UnversionedConfigMaps, UnversionedStore

from controlplane import Cluster
from mendloop.kube.access import load_access
from mendloop.stores.configmap import ConfigMapStore, open_configmaps
from mendloop.stores.port import Store
from mendloop.stores.sqlite import open_sqlite

OpenReplica = Callable[[], Awaitable[Store]]

SOUND = ("sqlite", "configmap")
STORES = (*SOUND, "unversioned-sqlite", "unversioned-configmap")

_IS_SOAK = bool(int(os.environ.get("MENDLOOP_SOAK", "0")))


_ASKED = os.environ.get("MENDLOOP_CONTRACT_STORE", "")


def _case(name: str) -> object:
    marks = [pytest.mark.kubernetes] if name.endswith("configmap") else []
    return pytest.param(name, marks=marks)


@pytest.fixture
def sound_files() -> None:
    """What is stored here are no tasks, so that nothing is expected of them."""


@pytest.fixture(params=[_case(name) for name in ([_ASKED] if _ASKED else SOUND)])
def storage(request: pytest.FixtureRequest) -> str:
    """The name of the store that the case runs on."""
    assert request.param in STORES
    return str(request.param)


@pytest.fixture
def rounds(storage: str) -> int:
    """How often a race is run: the full figure in a soak, a tenth or less otherwise."""
    if storage.endswith("configmap"):
        return 200 if _IS_SOAK else 20
    return 1000 if _IS_SOAK else 100


@pytest.fixture
async def open_replica(
    request: pytest.FixtureRequest,
    storage: str,
    tmp_path: Path,
) -> AsyncIterator[OpenReplica]:
    """Open one more independent handle on the test's storage; closed when the test ends."""
    if storage.endswith("configmap"):
        cluster: Cluster = request.getfixturevalue("control_plane")
        namespace = request.getfixturevalue("namespace")
        config = str(cluster.kubeconfig(tmp_path / "kubeconfig", namespace=namespace))

    async def open_sound() -> Store:
        if storage.endswith("sqlite"):
            return await open_sqlite(tmp_path / "contract.db")
        return open_configmaps(await load_access(kubeconfig=config), is_watching=True)

    async def open_one() -> Store:
        store = await open_sound()
        if storage == "unversioned-sqlite":
            return UnversionedStore(store)
        if storage == "unversioned-configmap":
            assert isinstance(store, ConfigMapStore)
            return UnversionedConfigMaps(store)
        return store

    async with opened(open_one) as open_replica:
        yield open_replica


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
