"""What is kept of a comment that its source may edit or delete, so that no late event harms it."""

from __future__ import annotations

import re

from mendloop.core.carrying import Carrying, Instant

__all__ = ["Comment", "is_material"]

_WORD = re.compile(r"\w+")


class Comment(Carrying, frozen=True, kw_only=True):
    """
    The version of a comment that a finding has.

    Attributes:
        said_at: When it was written so, by its source's clock.
        is_edited: Whether it is an edit: of two at one time, the one that counts.
        deleted_at: When its source deleted it, or None. Nothing changes it after that.
    """

    said_at: Instant
    is_edited: bool = False
    deleted_at: Instant | None = None


def is_material(before: str, after: str) -> bool:
    """Whether an edit changes words, and not only letter case, spacing or punctuation."""
    return _WORD.findall(before.casefold()) != _WORD.findall(after.casefold())
