"""Findings for a task that may not be there yet: the first one makes it."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

from mendloop.core.errors import StateExists, StateNotFound
from mendloop.core.model import Settings
from mendloop.manager import StateManager

__all__ = ["with_task"]

_T = TypeVar("_T")


async def with_task(
    manager: StateManager,
    task_id: str,
    settings: Settings,
    change: Callable[[], Awaitable[_T]],
) -> _T:
    """
    Do *change*; where it finds no task, make one and do it again.

    Raises:
        StateError: As *change* does.
    """
    try:
        return await change()
    except StateNotFound:
        with contextlib.suppress(StateExists):
            await manager.create_task(task_id, settings=settings)
    return await change()
