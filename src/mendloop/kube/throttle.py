"""Keeping to what a server asks for with Retry-After."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["Throttle"]

_SHORTEST_PAUSE_SECONDS = 0.5


class Throttle:
    """
    Lets requests through as they come, until the server asks for a pause.

    From then on one request at a time goes through, each after the pause that was asked for last,
    until one is not asked to come later: so however many wait, an overloaded server is asked once
    a pause.
    """

    def __init__(self) -> None:
        """Let everything through."""
        self._turn = asyncio.Lock()
        self._is_closed = False
        self._free_at = 0.0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until a request may be sent; inside the block, say how it went."""
        if self._is_closed:
            async with self._turn:
                if self._is_closed:
                    await asyncio.sleep(self.pause_seconds)
                    yield
                    return
        yield

    @property
    def pause_seconds(self) -> float:
        """How long no request may be sent."""
        return max(self._free_at - asyncio.get_running_loop().time(), 0.0)

    def close(self, seconds: float) -> None:
        """The server wants no request for so long; half a second is the least."""
        self._is_closed = True
        pause_seconds = max(seconds, _SHORTEST_PAUSE_SECONDS)
        self._free_at = max(self._free_at, asyncio.get_running_loop().time() + pause_seconds)

    def open(self) -> None:
        """The server took a request."""
        self._is_closed = False
