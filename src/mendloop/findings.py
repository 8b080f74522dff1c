"""Reading a task's findings a page at a time, by what they are."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from mendloop.core.errors import ValidationError
from mendloop.core.lives import life_of
from mendloop.core.model import FeedbackEntry, Finding
from mendloop.core.vocabulary import Life, Severity

__all__ = ["EVERY", "FindingsPage", "Which", "page_of", "read_cursor"]

_PAGE_LIMIT = 1000


class Which(msgspec.Struct, frozen=True, kw_only=True):
    """
    Which findings are asked for; what is None does not matter.

    Attributes:
        severity: How bad they are.
        life: What became of them.
        is_open: Whether they count as open.
        iteration: Where they were first seen.
        author: Who reported them.
    """

    severity: Severity | None = None
    life: Life | None = None
    is_open: bool | None = None
    iteration: int | None = None
    author: str | None = None

    def has(self, entry: FeedbackEntry) -> bool:
        """Whether *entry* is asked for."""
        finding = entry.mendloop if isinstance(entry.mendloop, Finding) else None
        first = finding.first_iteration if finding else None
        return (
            self.severity in {None, entry.severity}
            and self.life in {None, life_of(entry)}
            and self.is_open in {None, not entry.resolved}
            and self.iteration in {None, first}
            and self.author in {None, entry.author}
        )


EVERY = Which()


class FindingsPage(msgspec.Struct, frozen=True, kw_only=True):
    """
    One page of findings, in the order they came.

    Attributes:
        entries: At most as many as were asked for.
        cursor: Hand it back for the next page; None on the last. It stays good while others write.
    """

    entries: tuple[FeedbackEntry, ...]
    cursor: str | None


def read_cursor(cursor: str | None) -> int:
    """
    The number of the finding that the page before ended with; -1 for the first page.

    Raises:
        ValidationError: It is none that a page gave.
    """
    if cursor is None:
        return -1
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= len(str(2**32))):
        raise ValidationError(f"the cursor {cursor!a} is not one that a page of findings gave")
    return int(cursor)


async def page_of(
    findings: AsyncIterator[tuple[int, FeedbackEntry]], which: Which, limit: int
) -> FindingsPage:
    """
    Take a page of *findings*.

    Raises:
        ValidationError: The limit is not in 1..1000.
    """
    if not 1 <= limit <= _PAGE_LIMIT:
        raise ValidationError(f"a page holds 1 to {_PAGE_LIMIT} findings, not {limit}")
    entries: list[FeedbackEntry] = []
    last = -1
    async for number, entry in findings:
        if which.has(entry):
            if len(entries) == limit:
                return FindingsPage(entries=tuple(entries), cursor=str(last))
            entries.append(entry)
            last = number
    return FindingsPage(entries=tuple(entries), cursor=None)
