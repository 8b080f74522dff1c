"""Importing the tasks of another controller: each by itself, never over one that is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import BinaryIO, TypeAlias

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
from mendloop.core.model import RemediationState
from mendloop.core.text import redact_secrets
from mendloop.intake.kubectl_dump import configmaps
from mendloop.manager import StateManager

__all__ = ["Read", "Taken", "read_states", "take_over"]

Read: TypeAlias = tuple[str, RemediationState | StateError]
"""The name of a ConfigMap, and the state that was made of it, or why none could be."""


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


def read_states(dump: BinaryIO) -> list[Read]:
    """
    Read the states in *dump*; one that cannot be read stops no other.

    Raises:
        ValidationError: It is no output of kubectl, or holds no such state.
    """
    read = [_read_one(*item) for item in configmaps(dump.read(), prefix=NAME_PREFIX)]
    if not read:
        raise ValidationError(f"there is no ConfigMap in it whose name begins with {NAME_PREFIX}")
    return read


async def take_over(manager: StateManager, states: Iterable[Read]) -> list[Taken]:
    """
    Import *states*; one that is refused stops no other.

    Raises:
        StoreError: The store fails; the same import again goes on.
    """
    return [await _take_one(manager, name, read) for name, read in states]


def _read_one(name: str, data: Mapping[str, str]) -> Read:
    try:
        return name, from_cto(name, data, now=SystemClock().now(), redact=redact_secrets)
    except StateError as error:
        return name, error


async def _take_one(
    manager: StateManager, name: str, state: RemediationState | StateError
) -> Taken:
    try:
        if isinstance(state, StateError):
            return Taken(name=name, verdict="refused", error=state)
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
