"""A task whose commits are decided and kept without a store, and told of as an auditor reads them."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from datetime import timedelta

from states import NOW

from mendloop.core.codec import decode_part
from mendloop.core.commands import Command
from mendloop.core.commits import Request, fold
from mendloop.core.model import Commit, RemediationState
from mendloop.core.sealing import sealed_key
from mendloop.core.shelf import Held, Opened, OpenedIndex, open_index
from mendloop.core.text import no_redaction
from mendloop.core.verifying import HEAD_PLACE, Examination, Placed, Verdict

__all__ = ["Keeper", "placed"]


def placed(raw: bytes) -> Commit:
    """Read a commit back."""
    return decode_part(Commit, raw)


class Keeper:
    """One task and its sealed documents."""

    def __init__(self) -> None:
        self.state: RemediationState | None = None
        self._now = NOW
        self._held: dict[str, Held] = {}

    def copy(self) -> Keeper:
        """Another one that goes on from here by itself."""
        other = copy.copy(self)
        other._held = dict(self._held)
        return other

    @property
    def commit(self) -> int:
        return self.state.ledger.commit if self.state else 0

    def apply(self, command: Command, *, op_id: str) -> None:
        """Decide one command, a second after the one before; a refusal changes nothing."""
        self._now += timedelta(seconds=1)
        request = Request(command=command, op_id=op_id, by="ann", door="test")
        done = fold(
            self.state,
            [request],
            task_id="t",
            now=self._now,
            token=f"token{self._now.timestamp():.0f}",
            redact=no_redaction,
            at_hand=self._held,
            older={},
        )
        for document in done.documents:
            opened: Opened | OpenedIndex = Opened(document.body)
            if document.is_index:
                opened = open_index(document.body, document.digest)
            self._held[document.digest] = opened
        self.state = done.state

    def places(self) -> list[tuple[str, list[Commit]]]:
        """Where the records stand, from the oldest on, each time as new."""
        assert self.state is not None
        ledger = self.state.ledger
        found: list[tuple[str, list[Commit]]] = []
        tail = (ledger.log.tail,) if ledger.log.tail else ()
        for pointer in (*ledger.log.chunks, *tail):
            held = self._held[pointer.digest]
            assert isinstance(held, Opened)
            commits = [placed(bytes(row.content)) for row in held.rows.values()]
            found.append((sealed_key("t", ledger.incarnation, pointer), commits))
        return [*found, (HEAD_PLACE, list(ledger.commits))]

    def every(self) -> list[Commit]:
        """All records, from the oldest on."""
        return [commit for _, commits in self.places() for commit in commits]

    def verdict(
        self,
        at: int = -1,
        instead: Iterable[Commit] | None = None,
        *,
        state: RemediationState | None = None,
    ) -> Verdict:
        """Examine the records, with others *instead* of those in the place *at*, or another state."""
        state = state or self.state
        assert state is not None
        examination = Examination(state)
        for place, (key, commits) in enumerate(self.places()):
            stands = list(instead) if instead is not None and place == at else commits
            rows = [Placed(commit.number, commit) for commit in stands]
            examination.take(key, commits[0].number, commits[-1].number, rows)
        return examination.verdict()
