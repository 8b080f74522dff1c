"""Waiting for something that nobody tells about."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["eventually"]


async def eventually(is_so: Callable[[], bool], *, seconds: float = 30) -> None:
    """
    Wait until it is so.

    Raises:
        TimeoutError: It was not, for so long.
    """
    async with asyncio.timeout(seconds):
        while not is_so():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
