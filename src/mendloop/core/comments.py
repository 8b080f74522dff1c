"""What is kept of comments that their source may edit or delete, and of who talks to whom in them."""

from __future__ import annotations

import re

from mendloop.core.carrying import Carrying, Instant

__all__ = ["BOT_TURNS", "Comment", "Turn", "is_material", "with_turn"]

BOT_TURNS = 20
"""So many turns of several bots, and no word of a person, are bots that answer each other."""

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


class Turn(Carrying, frozen=True, kw_only=True):
    """
    All that one voice says until another one speaks; kept only while bots do.

    Attributes:
        by: A bot's account, or "" for the person who spoke before all of them.
        at: When it last spoke, by the source's clock.
    """

    by: str
    at: Instant


def with_turn(turns: tuple[Turn, ...], spoken: Turn) -> tuple[Turn, ...]:
    """
    Return *turns* with what was spoken, oldest first: the last person's, and the bots' since.

    What comes late stands where it was spoken, and what is told again changes nothing.
    """
    heard = sorted({(turn.at, turn.by) for turn in (*turns, spoken)})
    person = max((place for place, (_, by) in enumerate(heard) if not by), default=None)
    if person is not None:
        heard = heard[person:]
    nexts = [by for _, by in heard[1:]]
    kept = [
        Turn(by=by, at=at)
        for (at, by), following in zip(heard, [*nexts, None], strict=True)
        if by != following
    ]
    return tuple(kept) if any(turn.by for turn in kept) else ()


def is_material(before: str, after: str) -> bool:
    """Whether an edit changes words, and not only letter case, spacing or punctuation."""
    return _WORD.findall(before.casefold()) != _WORD.findall(after.casefold())
