"""The service as processes, on both stores; in a cluster with the rights that it ships with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from audited import check_namespace
from prometheus import PrometheusMissing, prometheus_programs
from rights import grant
from served import Served

from controlplane import Cluster
from mendloop.kube.access import load_access
from mendloop.stores.configmap import open_configmaps
from mendloop.stores.port import Store
from mendloop.stores.sqlite import SqliteStore, open_sqlite

KINDS = ("sqlite", pytest.param("configmap", marks=pytest.mark.kubernetes))


@pytest.fixture(params=KINDS)
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    """A store, on which a test starts replicas."""
    if request.param == "sqlite":
        served = Served(f"sqlite:{tmp_path / 'state.db'}", tmp_path / "service", {})
    else:
        cluster: Cluster = request.getfixturevalue("control_plane")
        namespace: str = request.getfixturevalue("namespace")
        token = grant(cluster, namespace)
        config = cluster.kubeconfig(tmp_path / "config", token=token, namespace=namespace)
        environment = {"KUBECONFIG": str(config)}
        served = Served("kubernetes", tmp_path / "service", environment)
    yield served
    served.end()
    assert [] == served.leaks()
    if served.spec == "kubernetes":
        plane: Cluster = request.getfixturevalue("control_plane")
        after = plane.kubeconfig(tmp_path / "after", namespace=request.getfixturevalue("namespace"))
        asyncio.run(check_namespace(request, f"configmap:{after}"))


@pytest.fixture
async def file(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """An empty store, for parts of the service in this process."""
    store = await open_sqlite(tmp_path / "state.db")
    yield store
    await store.close()


@pytest.fixture
async def store(served: Served) -> AsyncIterator[Store]:
    """The store that the replicas share."""
    store: Store
    if served.spec == "kubernetes":
        store = open_configmaps(await load_access(kubeconfig=served.environment["KUBECONFIG"]))
    else:
        store = await open_sqlite(Path(served.spec.removeprefix("sqlite:")))
    yield store
    await store.close()


@pytest.fixture(scope="session")
def prometheus_folder() -> Path:
    """The folder of the programs `prometheus` and `promtool`."""
    try:
        return prometheus_programs()
    except PrometheusMissing as error:
        pytest.fail(str(error), pytrace=False)
