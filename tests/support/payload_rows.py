"""The whole table of payloads, each row with a number of its own; and what a store has of it."""

from __future__ import annotations

from typing import NamedTuple

import rows_of_comments
import rows_of_others
import rows_of_reviews
from hook_sender import Hook, hook
from payload_table import Kept, Row

from mendloop.core.lives import life_of
from mendloop.core.model import FeedbackEntry, Finding
from mendloop.manager import StateManager
from mendloop.stores.port import Store

__all__ = ["TABLE", "Left", "expected", "hooks_of", "left_in"]

_FIRST = 1000

TABLE: dict[int, Row] = dict(
    enumerate([*rows_of_reviews.ROWS, *rows_of_comments.ROWS, *rows_of_others.ROWS], _FIRST)
)


class Left(NamedTuple):
    """What rows have left in a task: findings, and orders, each as often as it was obeyed."""

    findings: tuple[Kept, ...]
    orders: tuple[str, ...]


def hooks_of(number: int) -> list[Hook]:
    """The deliveries of one row, in their order."""
    return [hook(event, payload) for event, payload in TABLE[number].events(number)]


def expected() -> dict[str, Left]:
    """What the whole table has to leave, by the names of its rows."""
    return {
        row.name: Left(row.kept, (row.order,) if row.order else ())
        for row in TABLE.values()
        if row.kept or row.order
    }


async def left_in(store: Store) -> dict[str, Left]:
    """What the table has left in *store*."""
    left: dict[str, Left] = {}
    async with StateManager(store) as manager:
        for number, row in TABLE.items():
            state = await manager.get_state(str(number))
            if state is None:
                continue
            changes = [change for commit in state.ledger.commits for change in commit.changes]
            orders = [change.facts["order"] for change in changes if change.do == "order"]
            left[row.name] = Left(
                tuple([_kept(entry) for entry in await manager.get_feedback_history(str(number))]),
                tuple(orders),
            )
    return left


def _kept(entry: FeedbackEntry) -> Kept:
    finding = entry.mendloop
    assert isinstance(finding, Finding)
    return Kept(
        entry.description,
        entry.severity,
        entry.issue_type,
        life_of(entry),
        finding.path,
        finding.line,
    )
