"""A cleanup whose listing expires under it goes on with what there is now."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from crew import open_spec
from faulty_store import FaultyStore

from controlplane import APIError, ControlPlane
from mendloop.cleanup import CleanupTerms
from mendloop.core.names import HEAD
from mendloop.manager import StateManager
from mendloop.stores.port import Store

TASKS = 260
"""More than a page."""


class _InterruptedStore(FaultyStore):
    """Something happens once after the first page of heads."""

    def __init__(self, store: Store, interrupt: Callable[[], Awaitable[object]]) -> None:
        super().__init__(store)
        self._interrupt = interrupt
        self.pages = 0

    async def after(self, operation: str, kind: str, answer: Any) -> None:
        if (operation, kind) == ("list", HEAD):
            self.pages += 1
            if self.pages == 1:
                await self._interrupt()


async def test_a_listing_that_expires_on_the_way_is_gone_on_with(
    own_control_plane: ControlPlane, tmp_path: Path
) -> None:
    """With etcd compacted and the API server started anew between two pages: each task is still looked at."""
    plane = own_control_plane
    namespace = plane.namespace()
    maps = f"/api/v1/namespaces/{namespace}/configmaps?limit=1"
    config = plane.kubeconfig(tmp_path / "config", namespace=namespace)
    store = await open_spec(f"configmap:{config}")
    async with StateManager(store) as manager:
        for first in range(0, TASKS, 20):
            await asyncio.gather(*(manager.create_task(f"t{n}") for n in range(first, first + 20)))

        def expire() -> None:
            place = plane.request("GET", maps)["metadata"]["continue"]
            plane.namespace()  # a later version, so that the one of the first page is an old one
            plane.compact()
            plane.apiserver.kill()
            plane.apiserver.start()
            with pytest.raises(APIError, match="410"):
                plane.request("GET", f"{maps}&continue={place}")

        interrupted = _InterruptedStore(store, lambda: asyncio.to_thread(expire))
        async with StateManager(interrupted, deadline_seconds=60) as cleaner:
            report = await cleaner.cleanup_old_states(CleanupTerms(retention_seconds=0))
    await store.close()

    assert 1 < interrupted.pages
    assert (TASKS, []) == (report.scanned, report.failures)
    assert {f"t{n}" for n in range(TASKS)} == set(report.deleted)
