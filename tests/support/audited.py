"""
What is looked at when a test is over: each change of each task has its record, and no secret is kept.

So those tests are, all together, one long use of the product, after which both are true of each store.
"""

from __future__ import annotations

import pytest
from crew import open_spec
from leaks import leaks_of

from mendloop.auditing import Auditor
from mendloop.stores.port import Store

__all__ = ["check_records", "check_records_at"]


async def check_records(request: pytest.FixtureRequest, store: Store) -> None:
    """Fail where a record is missing or was changed, or a secret is kept, unless the test `damages`."""
    if request.node.get_closest_marker("damages") is None:
        told = {v.task_id: v.flaws async for v in Auditor(store).verify_all() if v.flaws}
        assert not told, told
        assert [] == await leaks_of(store)


async def check_records_at(request: pytest.FixtureRequest, spec: str) -> None:
    """The same of the store at *spec*, see `crew.open_spec`."""
    if request.node.get_closest_marker("damages") is not None:
        return
    store = await open_spec(spec)
    try:
        await check_records(request, store)
    finally:
        await store.close()
