"""The composition root: the only place that names a concrete store and a concrete runner."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from mendloop.cli.session import Session
from mendloop.clock import Clock
from mendloop.core.election import Leases
from mendloop.manager import StateManager
from mendloop.runners.port import Runner
from mendloop.stores.port import Store
from mendloop.telemetry import Telemetry

if TYPE_CHECKING:
    from mendloop.kube.access import Access
    from mendloop.kube.api import Api

__all__ = [
    "WorkFolder",
    "lock_folder",
    "make_runner",
    "needed_by",
    "open_manager",
    "open_shared",
    "own_files",
    "store_spec",
    "with_manager",
    "with_store",
]

_T = TypeVar("_T")

_CLOSE_SECONDS = 1.5


@contextlib.contextmanager
def needed_by(what: str, *, extra: str) -> Iterator[None]:
    """
    Say how to get the packages that an import inside the block turns out to lack.

    Raises:
        click.UsageError: One is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise click.UsageError(
            f"{what} needs {error.name}: pip install 'mendloop[{extra}]'"
        ) from error


async def _open_sqlite(session: Session, place: str, *, must_exist: bool) -> Store:
    from mendloop.stores.sqlite import open_sqlite

    for option in session.cluster_options:
        raise click.UsageError(f"{option} is of the store kubernetes: add --store kubernetes")
    if not place:
        raise click.UsageError("the store sqlite names no place; it is written sqlite:PATH")
    return await open_sqlite(_home_path(place), must_exist=must_exist)


def _home_path(place: str) -> Path:
    return Path(place).expanduser()


async def _open_kubernetes(
    session: Session,
    place: str,
    *,
    must_exist: bool,  # noqa: ARG001 - a namespace is there, or a write says that it is not
) -> Store:
    with needed_by("the store kubernetes", extra="kubernetes"):
        from mendloop.stores.configmap import open_configmaps

    return open_configmaps(await _load_access(session, place))


async def _load_access(session: Session, place: str) -> Access:
    if place and session.store and session.namespace not in {"", place}:
        raise click.UsageError(
            f"two namespaces: {place!a} in the store, and {session.namespace!a}; name one"
        )
    with needed_by("the store kubernetes", extra="kubernetes"):
        from mendloop.kube.access import load_access
    access = await load_access(
        kubeconfig=session.kubeconfig or None,
        context=session.context or None,
        namespace=session.namespace or place or None,
    )
    session.place = f"namespace {access.namespace} of {access.server}"
    return access


_STORES: dict[str, tuple[str, Callable[..., Awaitable[Store]]]] = {
    "sqlite": ("sqlite:PATH", _open_sqlite),
    "kubernetes": ("kubernetes[:NAMESPACE]", _open_kubernetes),
}


def state_folder() -> Path:
    """The user's folder for state that outlives a reboot, by the rules of the platform."""
    from platformdirs import user_state_path

    return user_state_path("mendloop", appauthor=False)


def lock_folder() -> Path:
    """Where the locks of work trees are: one folder, whatever the store."""
    return state_folder() / "locks"


def store_spec(session: Session) -> str:
    """The spec of the store that this call is about."""
    given = session.store or os.environ.get("MENDLOOP_STORE", "")
    return given or f"sqlite:{state_folder() / 'state.db'}"


def own_files(session: Session, folder: WorkFolder) -> Iterator[Path]:
    """What a run writes beside the work tree: the store's files, its locks, its briefs."""
    scheme, _, place = store_spec(session).partition(":")
    if scheme == "sqlite":
        store = _home_path(place).resolve()
        yield from (store.with_name(store.name + end) for end in ("", "-wal", "-shm"))
    yield from (path.resolve() for path in (lock_folder(), folder.path))


@asynccontextmanager
async def open_manager(
    session: Session, *, must_exist: bool, door: str = "cli", clock: Clock | None = None
) -> AsyncIterator[StateManager]:
    """
    Open the store, and a manager on it.

    Args:
        must_exist: Make no store where there is none.
        door: How changes come in, for the history.
        clock: The time; this machine's if not given.

    Raises:
        click.UsageError: The spec is not understood.
        StateError: The store refuses.
    """
    store = await _open_store(session, must_exist=must_exist)
    try:
        async with StateManager(store, by=session.by, door=door, clock=clock) as manager:
            yield manager
    finally:
        await store.close()


def with_manager(
    session: Session,
    action: Callable[[StateManager], Awaitable[_T]],
    *,
    must_exist: bool = True,
) -> _T:
    """
    Run *action* on a manager of the store that *session* names.

    Args:
        must_exist: Only what makes a task makes a store for it.

    Raises:
        StoreNotFound: There is no store, and it *must_exist*.
    """
    import asyncio

    async def act() -> _T:
        async with open_manager(session, must_exist=must_exist) as manager:
            return await action(manager)

    return asyncio.run(act())


def with_store(
    session: Session,
    action: Callable[[Store], Awaitable[_T]],
    *,
    must_exist: bool = True,
) -> _T:
    """
    Run *action* on the store that *session* names.

    Args:
        must_exist: Make no store where there is none.

    Raises:
        StoreNotFound: There is no store, and it *must_exist*.
    """
    import asyncio

    async def act() -> _T:
        store = await _open_store(session, must_exist=must_exist)
        try:
            return await action(store)
        finally:
            await store.close()

    return asyncio.run(act())


async def _open_store(session: Session, *, must_exist: bool) -> Store:
    spec = store_spec(session)
    scheme, _, place = spec.partition(":")
    if scheme not in _STORES:
        known = ", ".join(example for example, _ in _STORES.values())
        raise click.UsageError(f"the store {spec!a} is not understood; known are: {known}")
    _, opener = _STORES[scheme]
    return await opener(session, place, must_exist=must_exist)


@asynccontextmanager
async def open_shared(
    session: Session, *, leader: str, telemetry: Telemetry
) -> AsyncIterator[tuple[Store, Leases]]:
    """
    Open the store for a process that lives long, and where it elects a leader with others.

    On the way out it is not waited for longer than a moment where it does not answer.

    Args:
        leader: What they elect: the name of the Lease, or of the document.
        telemetry: Is told what an API server puts off.

    Raises:
        click.UsageError: The spec is not understood.
        StateError: The store refuses.
    """
    scheme, _, place = store_spec(session).partition(":")
    async with contextlib.AsyncExitStack() as stack:
        if scheme != "kubernetes":
            from mendloop.stores.leases import StoredLeases

            store = await _open_store(session, must_exist=False)
            stack.push_async_callback(_close, store)
            yield store, StoredLeases(store, leader)
            return
        with needed_by("the store kubernetes", extra="kubernetes"):
            from mendloop.kube.api import Api
            from mendloop.kube.leases import KubernetesLeases
            from mendloop.stores.configmap import open_configmaps
        access = await _load_access(session, place)
        store = open_configmaps(access, is_watching=True, telemetry=telemetry)
        stack.push_async_callback(_close, store)
        api = Api(await _load_access(session, place), telemetry=telemetry)
        stack.push_async_callback(_close, api)
        yield store, KubernetesLeases(api, leader)


async def _close(opened: Store | Api) -> None:
    import asyncio

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_CLOSE_SECONDS):
            await opened.close()


def make_runner(folder: WorkFolder, token: str) -> Runner:
    """A runner of local subprocesses for the run of *token*."""
    from mendloop.runners.local import LocalRunner

    return LocalRunner(folder.path, token)


class WorkFolder:
    """
    A run's folder for briefs and captured output: one for each work tree.

    Whoever holds the tree's lock may use it, and nobody else.
    """

    def __init__(self, tree: Path) -> None:
        """Name it; nothing is made before it is needed."""
        name = hashlib.sha256(os.fsencode(tree.resolve())).hexdigest()[:32]
        self.path = state_folder() / "work" / name

    def empty(self) -> None:
        """Remove what an earlier run or iteration has left in it."""
        shutil.rmtree(self.path, ignore_errors=True)
