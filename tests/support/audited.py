"""That every change of every task of a test has its record: looked at when the test is over."""

from __future__ import annotations

import pytest
from crew import open_spec

from mendloop.auditing import Auditor
from mendloop.stores.port import Store

__all__ = ["check_records", "check_records_at"]


async def check_records(request: pytest.FixtureRequest, store: Store) -> None:
    """Fail where a record is missing or was changed, unless the test is marked as one that damages."""
    if request.node.get_closest_marker("damages") is None:
        told = {v.task_id: v.flaws async for v in Auditor(store).verify_all() if v.flaws}
        assert not told, told


async def check_records_at(request: pytest.FixtureRequest, spec: str) -> None:
    """The same of the store at *spec*, see `crew.open_spec`."""
    store = await open_spec(spec)
    try:
        await check_records(request, store)
    finally:
        await store.close()
