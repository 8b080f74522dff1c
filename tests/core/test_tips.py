"""What is reported about an older commit than the tip: kept, shown as outdated, not acted on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from drive import Driver, finding, report
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from states import NOW, entry

from mendloop.core import commands
from mendloop.core.brief import make_brief
from mendloop.core.decide import Take
from mendloop.core.errors import ValidationError
from mendloop.core.lives import life_of
from mendloop.core.model import Finding
from mendloop.core.tips import TIPS_KEPT, Tip, is_older, with_tip
from mendloop.core.vocabulary import Life, StepKind

OLD, NEW, OTHER = "a" * 40, "b" * 40, "c" * 40


def moved() -> Driver:
    """A task in its first iteration, whose change went from one commit to another."""
    driver = Driver().start(max_iterations=100)
    driver.increment()
    tip(driver, OLD, 1)
    tip(driver, NEW, 2)
    return driver


def tip(driver: Driver, commit: str, minute: int) -> dict[str, Any]:
    """Say which commit the change is at."""
    at = NOW + timedelta(minutes=minute)
    return driver.apply(commands.RecordTip(commit=commit, at=at)).result


def add(driver: Driver, comment_id: str, commit: str, **changes: Any) -> dict[str, Any]:
    """A person's finding about a commit."""
    entries = (entry(comment_id, **changes),)
    return driver.apply(commands.AppendFeedback(entries=entries, commit=commit)).result


def lives(driver: Driver) -> list[Life]:
    """What became of each finding, in the order that they came."""
    return [life_of(found) for found in driver.state.feedback_history]


def test_what_is_told_about_an_older_commit_is_kept_and_not_open() -> None:
    """It is in the history with what it was seen on, and neither counted nor in the brief."""
    driver = moved()
    told = add(driver, "c1", OLD)
    assert (0, 1, ["c1"]) == (told["new"], told["outdated"], told["ids"])
    [found] = driver.state.feedback_history
    assert (Life.OUTDATED, True, 0) == (life_of(found), found.resolved, driver.state.open_total)
    assert isinstance(found.mendloop, Finding)
    [turn] = found.mendloop.lives
    assert (OLD, OLD, Life.OUTDATED) == (found.mendloop.seen_on, turn.tree, turn.life)
    assert NEW in turn.why
    assert found.mendloop.resolved_iteration is None
    assert b"it breaks" not in make_brief(driver.state, driver.state.feedback_history).json


@pytest.mark.parametrize("commit", [NEW, OTHER, "", NEW[:7], "b"])
def test_what_is_not_known_to_be_older_is_open(commit: str) -> None:
    """The tip, a commit that nobody told of, and none at all."""
    driver = moved()
    assert 1 == add(driver, "c1", commit)["new"]
    assert ([Life.OPEN], 1) == (lives(driver), driver.state.open_total)


def test_an_abbreviated_older_commit_is_known() -> None:
    """Seven digits of it will do."""
    assert 1 == add(moved(), "c1", OLD[:7].upper())["outdated"]


def test_what_is_open_stays_open_when_the_tip_moves() -> None:
    """Nobody has said that it is gone; the same about the older commit changes nothing."""
    driver = Driver().start(max_iterations=100)
    driver.increment()
    tip(driver, OLD, 1)
    add(driver, "c1", OLD)
    tip(driver, NEW, 2)
    before = driver.state.feedback_history
    assert 1 == add(driver, "c1", OLD, description="other words")["outdated"]
    assert before == driver.state.feedback_history
    assert 1 == driver.state.open_total


def test_what_was_outdated_is_opened_by_a_report_about_the_tip() -> None:
    """It was never gone, so it has not come back; a redelivery of the old report opens nothing."""
    driver = moved()
    add(driver, "c1", OLD)
    assert 1 == add(driver, "c1", OLD)["known"]
    assert [Life.OUTDATED] == lives(driver)
    add(driver, "c1", NEW)
    assert ([Life.OPEN], 1) == (lives(driver), driver.state.open_total)
    found = driver.state.feedback_history[0].mendloop
    assert isinstance(found, Finding)
    assert (NEW, 0) == (found.seen_on, found.times_returned)


def test_what_is_gone_is_not_reopened_by_a_report_about_an_older_commit() -> None:
    """Also one that a fix has addressed stays so."""
    driver = moved()
    driver.review(report("a", "b", commit=NEW))
    driver.fix()
    driver.review(report("b", commit=NEW), report(reviewer="other"))
    driver.fix()
    before = lives(driver)
    driver.review(report("a", "b", commit=OLD), report("x", reviewer="other"))
    assert [Life.VERIFIED, Life.ADDRESSED] == before == lives(driver)[:2]


def test_a_review_of_an_older_commit_resolves_nothing_and_completes_nothing() -> None:
    """It counts as a failed attempt, with the reason, and what it found does not go to the fixer."""
    driver = moved()
    driver.review(report("a", commit=NEW))
    driver.fix()
    driver.review(report("b", commit=OLD))
    assert [Life.ADDRESSED, Life.OUTDATED] == lives(driver)
    assert Take(StepKind.REVIEW, 2) == driver.next()
    assert f"it reviewed commit {OLD}" in driver.state.error_messages[-1]
    clean = moved()
    clean.review(report(commit=OLD))
    assert Take(StepKind.REVIEW, 2) == clean.next()


def test_a_line_about_an_older_commit_leaves_the_rest_of_the_report_as_it_is() -> None:
    """The others count, and what it names stays as it was, though the review is whole."""
    driver = moved()
    driver.review(report("a", "b"))
    lines = (finding("a", commit=OLD), finding("c", commit=OLD), finding("d", commit=NEW))
    driver.fix()
    told = driver.review(replace(report(), findings=lines))
    assert [Life.ADDRESSED, Life.VERIFIED, Life.OUTDATED, Life.OPEN] == lives(driver)
    assert (1, 1, 2) == (told["new"], told["resolved"], told["open"])


def test_a_finding_of_a_review_tells_what_it_was_seen_on() -> None:
    """The commit that the report names, or else the revision of the work tree."""
    driver = moved()
    driver.review(report("a", commit=NEW), report("b", reviewer="other"), tree="git:1")
    found = [entry.mendloop for entry in driver.state.feedback_history]
    assert [NEW, "git:1"] == [one.seen_on for one in found if isinstance(one, Finding)]


def test_a_failed_review_of_what_is_set_aside_alone_is_tried_again() -> None:
    """What it found is not open, so there is nothing to fix; it does not go on for ever."""
    driver = Driver().start(max_iterations=100)
    driver.increment()
    driver.review(report("a"))
    name = driver.state.feedback_history[0].pr_comment_id
    driver.apply(commands.Judge(life=Life.DISMISSED, names=(name,), reason="generated"))
    driver.review(report("a", is_complete=False, problem="cut"))
    assert Take(StepKind.REVIEW, 2) == driver.next()


@pytest.mark.parametrize("life", [Life.REOPENED, Life.DISMISSED, Life.VERIFIED])
def test_a_person_has_the_last_word_on_what_is_outdated(life: Life) -> None:
    """Opened again it counts, whatever commit it was seen on."""
    driver = moved()
    add(driver, "c1", OLD)
    driver.apply(commands.Judge(life=life, names=("c1",), reason="seen"))
    assert ([life], life is Life.REOPENED) == (lives(driver), driver.state.open_total == 1)


def test_a_commit_that_is_none_is_refused() -> None:
    """It says which one, and nothing is kept."""
    driver = moved()
    for command in (
        commands.AppendFeedback(entries=(entry("c1"),), commit="main"),
        commands.RecordTip(commit="main"),
        commands.RecordTip(commit=""),
        commands.RecordTip(commit=OLD, at=NOW.replace(tzinfo=None)),
    ):
        with pytest.raises(ValidationError):
            driver.apply(command)
    assert () == driver.state.feedback_history


def test_a_tip_that_is_told_late_does_not_come_back() -> None:
    """Told of again later, it is one: the change was set back to it."""
    driver = moved()
    assert {"tip": NEW, "is_moved": False} == tip(driver, OLD, 1)
    assert {"tip": OLD, "is_moved": True} == tip(driver, OLD, 3)
    assert 1 == add(driver, "c1", NEW)["outdated"]


_TOLD = st.lists(
    st.builds(
        Tip,
        commit=st.integers(0, 30).map(lambda number: f"{number:040x}"),
        at=st.integers(0, 50).map(lambda minute: NOW + timedelta(minutes=minute)),
    ),
    max_size=60,
)


@given(told=_TOLD, again=st.randoms())
def test_tips_do_not_depend_on_the_order_they_are_told_in(told: list[Tip], again: Any) -> None:
    """Shuffled and repeated, the same are remembered, and none but the tip may count as newest."""
    shuffled = [*told, *told]
    again.shuffle(shuffled)
    straight: tuple[Tip, ...] = ()
    for one in told:
        straight = with_tip(straight, one)
    mixed: tuple[Tip, ...] = ()
    for one in shuffled:
        mixed = with_tip(mixed, one)
    assert straight == mixed
    assert len(straight) <= TIPS_KEPT
    assert [False] * bool(straight) == [is_older(one.commit, straight) for one in straight[-1:]]
    assert all(is_older(one.commit, straight) for one in straight[:-1])
