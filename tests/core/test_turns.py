"""Who talks to whom, which edits say something else, and which tips are remembered: the rules alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mendloop.core.comments import Turn, is_material, with_turn
from mendloop.core.tips import TIPS_KEPT, Tip, with_tip

_THEN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ([(0, "")], []),
        ([(0, "a"), (1, "b"), (2, "")], []),
        ([(0, "a"), (1, "a"), (2, "b")], ["a", "b"]),
        ([(1, "a"), (0, "")], ["", "a"]),
        ([(3, "b"), (1, "a"), (0, ""), (2, "")], ["", "b"]),
    ],
)
def test_turns_are_counted_from_the_last_word_of_a_person(
    told: list[tuple[int, str]], kept: list[str]
) -> None:
    """The last person's and the bots' since, in whatever order they are told; a voice in a row is one turn."""
    turns: tuple[Turn, ...] = ()
    for minute, by in told:
        turns = with_turn(turns, Turn(by=by, at=_THEN + timedelta(minutes=minute)))

    assert kept == [turn.by for turn in turns]


@pytest.mark.parametrize(
    ("after", "is_other"),
    [
        ("Fix  THIS, now!", False),
        ("fix that now", True),
        ("fix this", True),
        ("this fix now", True),
    ],
)
def test_an_edit_of_case_and_punctuation_says_nothing_new(after: str, *, is_other: bool) -> None:
    """Only other words, or the same in another order, are material."""
    assert is_other == is_material("Fix this now.", after)


def test_the_latest_tips_are_remembered() -> None:
    """Of more than are kept the oldest goes."""
    tips: tuple[Tip, ...] = ()
    names = [f"{number:040x}" for number in range(TIPS_KEPT + 3)]
    for minute, name in enumerate(names):
        tips = with_tip(tips, Tip(commit=name, at=_THEN + timedelta(minutes=minute)))

    assert names[3:] == [tip.commit for tip in tips]
