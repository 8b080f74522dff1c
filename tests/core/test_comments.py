"""Comments that are created, edited and deleted: what is left does not depend on the order."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from drive import Driver
from hypothesis import given
from hypothesis import strategies as st
from states import NOW, entry

from mendloop.core import commands
from mendloop.core.errors import ValidationError
from mendloop.core.lives import life_of
from mendloop.core.model import FeedbackEntry, Finding
from mendloop.core.vocabulary import CommentEvent, Life, Severity

CREATED, EDITED, DELETED = CommentEvent.CREATED, CommentEvent.EDITED, CommentEvent.DELETED
_Told = tuple[CommentEvent, int, str]


def begun() -> Driver:
    """A task in its first iteration."""
    driver = Driver().start()
    driver.increment()
    return driver


def tell(driver: Driver, event: CommentEvent, minute: int, text: str, **changes: Any) -> bool:
    """Tell of a comment; returns whether that changed anything."""
    name, by = changes.pop("name", "c1"), changes.pop("by", "")
    command = commands.RecordComment(
        entry=entry(name, description=text, **changes),
        event=event,
        at=NOW + timedelta(minutes=minute),
        by=by,
    )
    return bool(driver.apply(command).result["is_changed"])


def left(driver: Driver) -> list[tuple[Any, ...]]:
    """What is left of each comment, without what tells when it was heard."""
    return sorted(_plain(found) for found in driver.state.feedback_history)


def _plain(found: FeedbackEntry) -> tuple[Any, ...]:
    ours = found.mendloop
    assert isinstance(ours, Finding)
    turns = [(turn.life, turn.by, turn.why) for turn in ours.lives]
    version = msgspec.json.encode(ours.comment)
    return found.pr_comment_id, found.description, found.resolved, ours.life, turns, version


def test_an_edit_that_comes_late_reverts_nothing() -> None:
    """Nor does the creation, told again."""
    driver = begun()
    assert tell(driver, CREATED, 0, "one")
    assert tell(driver, EDITED, 2, "three")
    assert not tell(driver, EDITED, 1, "two")
    assert not tell(driver, CREATED, 0, "one")
    assert not tell(driver, EDITED, 2, "three")
    assert ["three"] == driver.open_ids()


def test_an_edit_before_its_creation_is_kept() -> None:
    """The creation that comes later changes nothing."""
    driver = begun()
    assert tell(driver, EDITED, 0, "two")
    assert not tell(driver, CREATED, 0, "one")
    assert ["two"] == driver.open_ids()


def test_what_is_deleted_is_dismissed_with_who_and_when() -> None:
    """However late, and whatever comes after it; a person alone opens it again."""
    driver = begun()
    tell(driver, CREATED, 0, "one")
    assert tell(driver, DELETED, 5, "one", by="moderator")
    for event in (DELETED, CREATED, EDITED):
        assert not tell(driver, event, 9, "other")
    [found] = driver.state.feedback_history
    assert isinstance(found.mendloop, Finding)
    [turn] = found.mendloop.lives
    assert (Life.DISMISSED, "moderator") == (life_of(found), turn.by)
    assert "2026-03-04T05:11:07" in turn.why
    driver.apply(commands.Judge(life=Life.REOPENED, names=("c1",), reason="it is real"))
    assert not tell(driver, DELETED, 5, "one", by="moderator")
    assert ["one"] == driver.open_ids()


@pytest.mark.parametrize(
    ("text", "severity", "life"),
    [
        ("It  breaks!", Severity.HIGH, Life.VERIFIED),
        ("it breaks", Severity.LOW, Life.VERIFIED),
        ("it hangs", Severity.HIGH, Life.REOPENED),
        ("it breaks", Severity.CRITICAL, Life.REOPENED),
    ],
)
def test_an_edit_opens_what_is_gone_only_if_it_says_something_else(
    text: str, severity: Severity, life: Life
) -> None:
    """Other words or a higher severity; the new text is kept in any case."""
    driver = begun()
    tell(driver, CREATED, 0, "it breaks")
    driver.apply(commands.Judge(life=Life.VERIFIED, names=("c1",), reason="seen"))
    assert tell(driver, EDITED, 1, text, severity=severity)
    [found] = driver.state.feedback_history
    assert (life, text, severity) == (life_of(found), found.description, found.severity)


def test_a_comment_without_id_or_author_is_refused() -> None:
    """It could not be known again."""
    for changes in ({"name": ""}, {"author": ""}):
        with pytest.raises(ValidationError):
            tell(begun(), CREATED, 0, "one", **changes)


_EDITS = st.lists(
    st.tuples(st.sampled_from([CREATED, EDITED]), st.integers(0, 3), st.sampled_from("abc")),
    min_size=1,
    max_size=6,
)


@given(
    edits=_EDITS,
    deletion=st.none() | st.tuples(st.just(DELETED), st.integers(0, 3), st.sampled_from("abc")),
    again=st.randoms(use_true_random=False),
)
def test_what_is_left_depends_on_the_events_and_not_on_their_order(
    edits: list[_Told], deletion: _Told | None, again: Any
) -> None:
    """Shuffled and repeated, they leave the same text, life and version."""
    told = [*edits, *([deletion] if deletion else [])]
    shuffled = [*told, *told]
    again.shuffle(shuffled)
    straight, mixed = begun(), begun()
    for event, minute, text in told:
        tell(straight, event, minute, text)
    for event, minute, text in shuffled:
        tell(mixed, event, minute, text)
    assert left(straight) == left(mixed)
    assert (deletion is not None) == straight.state.feedback_history[0].resolved
