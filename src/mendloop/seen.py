"""States of documents that the store has seen, decoded once for each revision."""

from __future__ import annotations

from collections import OrderedDict

from mendloop.core.model import RemediationState
from mendloop.heads import state_in
from mendloop.stores.port import Document

__all__ = ["SeenStates"]

_KEPT = 256


class SeenStates:
    """Keeps the states of up to 256 tasks decoded."""

    def __init__(self) -> None:
        """Begin with none."""
        self._decoded: OrderedDict[str, tuple[str, RemediationState]] = OrderedDict()

    def state_of(self, task_id: str, document: Document) -> RemediationState:
        """
        Decode the head of a task, if it is not the one that was asked for last.

        Raises:
            DeserializationError: It is damaged.
            ReadOnlyState: A newer version wrote it.
        """
        kept = self._decoded.get(task_id)
        if kept is None or kept[0] != document.revision:
            kept = self._decoded[task_id] = document.revision, state_in(task_id, document)
            while len(self._decoded) > _KEPT:
                self._decoded.popitem(last=False)
        return kept[1]
