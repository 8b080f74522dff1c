"""The service as processes, on both stores; in a cluster with the rights that it ships with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import yaml
from audited import check_records
from leaks import leaks_in
from prometheus import PrometheusMissing, prometheus_programs
from rights import grant
from served import Served

from controlplane import Cluster
from mendloop.kube.access import load_access
from mendloop.stores.configmap import open_configmaps
from mendloop.stores.port import Store
from mendloop.stores.sqlite import open_sqlite

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
    assert [] == _leaks_beside(served)


def _leaks_beside(served: Served) -> list[str]:
    """Secrets in what the replicas have logged and told, and what they were started with in either."""
    own = (served.token.encode(), served.secret, *_tokens(served))
    found = []
    for replica in served.replicas:
        for told in (replica.log_path.read_bytes(), replica.exposition):
            found += [*leaks_in(told), *(secret.decode() for secret in own if secret in told)]
    return found


def _tokens(served: Served) -> list[bytes]:
    """By which the API server knows the replicas."""
    if served.spec != "kubernetes":
        return []
    users = yaml.safe_load(Path(served.environment["KUBECONFIG"]).read_text())["users"]
    return [one["user"]["token"].encode() for one in users]


@pytest.fixture
async def store(request: pytest.FixtureRequest, served: Served) -> AsyncIterator[Store]:
    """The store that the replicas share."""
    store: Store
    if served.spec == "kubernetes":
        store = open_configmaps(await load_access(kubeconfig=served.environment["KUBECONFIG"]))
    else:
        store = await open_sqlite(Path(served.spec.removeprefix("sqlite:")))
    yield store
    await check_records(request, store)
    await store.close()


@pytest.fixture(scope="session")
def prometheus_folder() -> Path:
    """The folder of the programs `prometheus` and `promtool`."""
    try:
        return prometheus_programs()
    except PrometheusMissing as error:
        pytest.fail(str(error), pytrace=False)
