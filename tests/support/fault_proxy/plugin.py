"""The fixture of a proxy, for tests of all kinds."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from controlplane import Cluster
from fault_proxy.proxy import FaultProxy


@pytest.fixture
async def proxy(control_plane: Cluster) -> AsyncIterator[FaultProxy]:
    """A proxy in front of the shared API server, without faults until the test sets some."""
    async with FaultProxy(control_plane) as proxy:
        yield proxy
