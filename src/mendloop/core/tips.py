"""
Which commit the change of a task is at, and whether a report is about an older one.

Commits have no order by themselves, so the task remembers which ones were the tip of its change, each
with the last time at which the forge said so. The one with the latest time is the tip. A commit is
older where it is remembered and is not the tip; of one that is not remembered nothing is known: it
may be newer than what was told so far, and what is said about it counts.
"""

from __future__ import annotations

import re

from mendloop.core.carrying import Carrying, Instant

__all__ = ["TIPS_KEPT", "Tip", "commit_name", "is_older", "with_tip"]

TIPS_KEPT = 20
"""A task remembers this many; what was the tip before them is not known any more."""

_ABBREVIATED = 7
_NAME = re.compile(r"[0-9a-f]{1,64}")


class Tip(Carrying, frozen=True, kw_only=True):
    """
    A commit that was the tip of the change.

    Attributes:
        commit: Its name, hexadecimal.
        at: The last time that it was told to be so, by the clock of who told it.
    """

    commit: str
    at: Instant


def commit_name(given: str) -> str:
    """The name that a commit is kept under, or "" where *given* is none: no text gets in by it."""
    name = given.strip().lower()
    return name if _NAME.fullmatch(name) else ""


def with_tip(tips: tuple[Tip, ...], told: Tip) -> tuple[Tip, ...]:
    """
    Return *tips* with one that was told, oldest first.

    In whatever order they are told, and however often, the same tips are left: what comes late does
    not bring an old tip back, and a change that was set back to an older commit is at that one.
    """
    known = next((tip for tip in tips if tip.commit == told.commit), told)
    newest = told if told.at > known.at else known
    others = [tip for tip in tips if tip.commit != told.commit]
    return tuple(sorted([*others, newest], key=lambda tip: (tip.at, tip.commit))[-TIPS_KEPT:])


def is_older(commit: str, tips: tuple[Tip, ...]) -> bool:
    """
    Whether *commit* is known to be older than the tip; it may be abbreviated to seven digits.

    Where an abbreviation may also be the tip's, it is not called older.
    """
    if not tips or _is(tips[-1], commit):
        return False
    return any(_is(tip, commit) for tip in tips)


def _is(tip: Tip, commit: str) -> bool:
    return tip.commit == commit or (len(commit) >= _ABBREVIATED and tip.commit.startswith(commit))
