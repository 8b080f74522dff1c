"""Two stores, of one kind or of two, and whoever moves tasks between them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from audited import check_namespace
from opened import opened
from porter import Porter

from controlplane import Cluster
from mendloop.cli.main import run
from mendloop.kube.access import load_access
from mendloop.stores.configmap import open_configmaps
from mendloop.stores.port import Store
from mendloop.stores.sqlite import open_sqlite

OpenStore = Callable[[str], Awaitable[Store]]


@pytest.fixture
def porter() -> Porter:
    """Whoever moves tasks."""
    return Porter()


@pytest.fixture
async def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OpenStore]:
    """Open a store of a name: one that begins with "configmap" is a namespace of its own."""
    specs: list[str] = []

    async def open_one(name: str) -> Store:
        if not name.startswith("configmap"):
            return await open_sqlite(tmp_path / f"{name}.db")
        cluster: Cluster = request.getfixturevalue("control_plane")
        namespace = cluster.namespace()
        config = cluster.kubeconfig(tmp_path / name, namespace=namespace)
        specs.append(f"configmap:{config}")
        return open_configmaps(await load_access(kubeconfig=str(config)))

    async with opened(open_one) as open_any:
        yield open_any
    for spec in specs:
        await check_namespace(request, spec)


@pytest.fixture
def quick_import(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[[bytes], str]:
    """Import a file of these bytes by the command line, which has to refuse it as damaged."""

    def call(content: bytes) -> str:
        (tmp_path / "bundle").write_bytes(content)
        store = f"sqlite:{tmp_path / 'imported.db'}"
        assert 12 == run(["import", str(tmp_path / "bundle"), "--store", store])
        return capfd.readouterr().err

    return call
