"""
Fixtures that give a test a control plane; its programs are built before the first test runs.

The newest release is taken, unless the environment variable MENDLOOP_KUBERNETES names another. Tests
that use these fixtures bear the mark `kubernetes`; one that asks for them by `getfixturevalue` gives
itself the mark.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from controlplane.cluster import Cluster
from controlplane.helm import Helm
from controlplane.history import Judge
from controlplane.plane import ControlPlane
from controlplane.programs import (
    RELEASES,
    ProgramUnavailable,
    Say,
    checker,
    helm_program,
    program,
    programs,
)
from controlplane.shared import shared_control_plane

_CHOICE = "MENDLOOP_KUBERNETES"
_RELEASE = os.environ.get(_CHOICE, RELEASES[-1])


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a release that we have no source of."""
    if _RELEASE not in RELEASES:
        raise pytest.UsageError(f"{_CHOICE}={_RELEASE} is none of {', '.join(RELEASES)}")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need a control plane, so that `-m kubernetes` chooses them."""
    for item in items:
        if "kubernetes_programs" in _fixtures(item):
            item.add_marker("kubernetes")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what the chosen tests need: a build beside them would take the time that some of them measure."""
    if session.config.option.collectonly:
        return
    tell = _teller(session.config)
    # The tests that need it try again and fail with the reason.
    with suppress(ProgramUnavailable):
        if any(item.get_closest_marker("kubernetes") for item in session.items):
            programs(_RELEASE, tell)
        if any("judge" in _fixtures(item) for item in session.items):
            checker(tell)
        if any("helm_file" in _fixtures(item) for item in session.items):
            helm_program(tell)


def _fixtures(item: pytest.Item) -> list[str]:
    return item.fixturenames if isinstance(item, pytest.Function) else []


def _teller(config: pytest.Config) -> Say:
    """Reach the person at the terminal, although pytest captures what tests and workers print."""
    capture = config.pluginmanager.getplugin("capturemanager")

    def tell(line: str) -> None:
        with capture.global_and_fixture_disabled():
            print(line, file=sys.stderr, flush=True)  # noqa: T201 - somebody waits for minutes

    return tell


@pytest.fixture(scope="session")
def kubernetes_programs(pytestconfig: pytest.Config) -> Path:
    """The folder of the programs of a control plane."""
    try:
        return programs(_RELEASE, _teller(pytestconfig))
    except ProgramUnavailable as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def control_plane(
    kubernetes_programs: Path,
    tmp_path_factory: pytest.TempPathFactory,
    pytestconfig: pytest.Config,
) -> Iterator[Cluster]:
    """The control plane that all tests of a run share: leave it running, and work in a `namespace`."""
    folder = tmp_path_factory.getbasetemp()
    if hasattr(pytestconfig, "workerinput"):  # a worker's own folder is one of several in the run's
        folder = folder.parent
    with shared_control_plane(folder / "control-plane", kubernetes_programs) as cluster:
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


@pytest.fixture(scope="session")
def helm_file(pytestconfig: pytest.Config) -> Path:
    """The program `helm`."""
    try:
        return helm_program(_teller(pytestconfig))
    except ProgramUnavailable as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
def helm(helm_file: Path, tmp_path: Path) -> Helm:
    """Helm, which knows no cluster until it is told of one."""
    return Helm(helm_file, tmp_path / "helm")


@pytest.fixture
def judge(tmp_path: Path, pytestconfig: pytest.Config) -> Judge:
    """Tells whether a history is linearizable."""
    return Judge(checker(_teller(pytestconfig)), tmp_path / "history.jsonl")
