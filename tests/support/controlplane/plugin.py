"""Fixtures that give a test a control plane; their programs are built before the first test runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.cluster import Cluster
from controlplane.history import Judge
from controlplane.plane import ControlPlane
from controlplane.programs import ASSETS, NEWEST, OLDEST, checker, program, programs
from controlplane.shared import shared_control_plane

_IS_SOAK = bool(int(os.environ.get("MENDLOOP_SOAK", "0")))
_RELEASES = [NEWEST, OLDEST] if _IS_SOAK and not os.environ.get(ASSETS) else [NEWEST]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what the chosen tests need: a build beside them would take the time that some of them measure."""
    if session.config.option.collectonly:
        return
    needed = {
        str(item.callspec.params["kubernetes_release"])
        for item in session.items
        if isinstance(item, pytest.Function) and "kubernetes_release" in item.fixturenames
    }
    capture = session.config.pluginmanager.getplugin("capturemanager")

    def tell(line: str) -> None:
        with capture.global_and_fixture_disabled():
            print(line, file=sys.stderr, flush=True)  # noqa: T201 - somebody waits for minutes

    for release in sorted(needed):
        programs(release, tell)
    if any(
        "judge" in item.fixturenames for item in session.items if isinstance(item, pytest.Function)
    ):
        checker(tell)


@pytest.fixture(scope="session", params=_RELEASES)
def kubernetes_release(request: pytest.FixtureRequest) -> str:
    """The release to test with: the newest, and in a soak the oldest that is supported as well."""
    return str(request.param)


@pytest.fixture(scope="session")
def kubernetes_programs(kubernetes_release: str) -> Path:
    """The folder of that release's programs."""
    return programs(kubernetes_release)


@pytest.fixture(scope="session")
def control_plane(
    kubernetes_release: str,
    kubernetes_programs: Path,
    tmp_path_factory: pytest.TempPathFactory,
    pytestconfig: pytest.Config,
) -> Iterator[Cluster]:
    """The control plane that all tests of a run share: leave it running, and work in a `namespace`."""
    folder = tmp_path_factory.getbasetemp()
    if hasattr(pytestconfig, "workerinput"):  # a worker's own folder is one of several in the run's
        folder = folder.parent
    shared = shared_control_plane(
        folder / f"control-plane-{kubernetes_release}", kubernetes_programs
    )
    with shared as cluster:
        yield cluster


@pytest.fixture
def controllers(control_plane: Cluster) -> Cluster:
    """The shared control plane, with controllers: owners are followed, Jobs make Pods, namespaces end."""
    program(control_plane.binaries, "kube-controller-manager")
    return control_plane


@pytest.fixture
def own_control_plane(kubernetes_programs: Path, tmp_path: Path) -> Iterator[ControlPlane]:
    """A control plane for one test, which may kill and pause its servers."""
    with ControlPlane(tmp_path / "control-plane", kubernetes_programs) as plane:
        yield plane


@pytest.fixture
def namespace(control_plane: Cluster) -> str:
    """A namespace of the shared control plane that no other test uses."""
    return control_plane.namespace()


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    """Tells whether a history is linearizable."""
    return Judge(checker(), tmp_path / "history.jsonl")
