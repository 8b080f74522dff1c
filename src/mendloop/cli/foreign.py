"""Importing the tasks of another controller: each by itself, never over one that is there."""

from __future__ import annotations

from typing import BinaryIO

import msgspec

from mendloop.clock import SystemClock
from mendloop.core.cto import DIGEST_KEY, NAME_PREFIX, from_cto
from mendloop.core.errors import (
    RevisionConflict,
    StateError,
    StateExists,
    StoreError,
    ValidationError,
)
from mendloop.core.text import redact_secrets
from mendloop.intake.kubectl_dump import ConfigMap, configmaps
from mendloop.manager import StateManager

__all__ = ["Taken", "take_over"]


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """
    What became of one state of the other controller.

    Attributes:
        name: Its ConfigMap; or the task, where one was made of it.
        verdict: "created", "present" or "refused".
        error: Why it was refused, or None.
    """

    name: str
    verdict: str
    error: StateError | None = None


async def take_over(manager: StateManager, dump: BinaryIO) -> list[Taken]:
    """
    Import what *dump* holds; one that is refused stops no other.

    Raises:
        ValidationError: It is no output of kubectl, or holds no such state.
        StoreError: The store fails; the same import again goes on.
    """
    taken = [await _take_one(manager, item) for item in configmaps(dump.read(), prefix=NAME_PREFIX)]
    if not taken:
        raise ValidationError(f"there is no ConfigMap in it whose name begins with {NAME_PREFIX}")
    return taken


async def _take_one(manager: StateManager, item: ConfigMap) -> Taken:
    name, data = item
    try:
        state = from_cto(name, data, now=SystemClock().now(), redact=redact_secrets)
        stored = await manager.get_state(state.task_id)
        if stored is None:
            await manager.create_or_update_state(state)
            return Taken(name=state.task_id, verdict="created")
        if stored.metadata.get(DIGEST_KEY) == state.metadata[DIGEST_KEY]:
            return Taken(name=state.task_id, verdict="present")
        raise StateExists(
            f"{name}: task {state.task_id} is there already: it is left as it is",
            task_id=state.task_id,
        )
    except StateError as error:
        if isinstance(error, StoreError) and not isinstance(error, RevisionConflict):
            raise
        return Taken(name=name, verdict="refused", error=error)
