"""The life of a finding: what becomes of it, who said so, and what a person may say."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from drive import Driver, report
from states import entry, state

from mendloop.core import commands
from mendloop.core.errors import ValidationError
from mendloop.core.lives import life_of
from mendloop.core.model import LIVES_KEPT, FeedbackEntry, Finding
from mendloop.core.vocabulary import Life, StepKind


def ours(found: FeedbackEntry) -> Finding:
    """Our part of a finding."""
    assert isinstance(found.mendloop, Finding)
    return found.mendloop


def begun(*names: str) -> Driver:
    """A task after a first review that reported these findings."""
    driver = Driver().start(max_iterations=100)
    driver.increment()
    driver.review(report(*names))
    return driver


def judge(driver: Driver, life: Life, *names: str, reason: str = "seen") -> dict[str, object]:
    """A person's word on findings."""
    return driver.apply(commands.Judge(life=life, names=names, reason=reason)).result


def id_of(driver: Driver, number: int) -> str:
    """The comment id of a finding."""
    return driver.state.feedback_history[number].pr_comment_id


def lives(driver: Driver) -> list[Life]:
    """What became of each finding, in the order that they came."""
    return [life_of(found) for found in driver.state.feedback_history]


def test_a_fix_that_changed_the_tree_addresses_what_is_open() -> None:
    """It counts as open until a complete review no longer reports it; then it is verified."""
    driver = begun("a", "b")
    driver.fix()
    assert ([Life.ADDRESSED] * 2, 2) == (lives(driver), driver.state.open_total)
    driver.review(report("b"))
    assert [Life.VERIFIED, Life.OPEN] == lives(driver)
    gone = ours(driver.state.feedback_history[0])
    assert [
        (Life.ADDRESSED, 1, "ann", "a fix changed the work tree", "tree2"),
        (Life.VERIFIED, 1, "lint", "no longer reported", ""),
    ] == [(turn.life, turn.iteration, turn.by, turn.why, turn.tree) for turn in gone.lives]


def test_a_fix_that_changed_nothing_addresses_nothing() -> None:
    """The findings are as open as they were."""
    driver = begun("a")
    driver.fix(tree="tree")
    assert [Life.OPEN] == lives(driver)


def test_what_came_in_during_a_fix_is_not_addressed_by_it() -> None:
    """The fixer was not told of it."""
    driver = begun("a")
    generation = driver.generation
    driver.apply(commands.BeginStep(generation=generation, kind=StepKind.FIX, tree="tree"))
    driver.append("late", timestamp=driver.now + timedelta(seconds=1))
    driver.apply(commands.RecordFix(generation=generation, tree="tree2"))
    assert [Life.ADDRESSED, Life.OPEN] == lives(driver)


def test_a_cut_review_verifies_nothing_that_was_addressed() -> None:
    """Absent from a partial review: still addressed, and still open."""
    driver = begun("a")
    driver.fix()
    driver.review(report("b", is_complete=False, problem="cut"))
    assert [Life.ADDRESSED, Life.OPEN] == lives(driver)


def test_a_finding_keeps_its_last_changes_of_life() -> None:
    """However often it comes and goes, it keeps a few; fixes in a row count as one."""
    driver = begun("a")
    for _ in range(3):
        driver.fix()
        driver.review(report("a"))
        driver.fix()
        driver.review(report())
        driver.review(report("a"))
    finding = ours(driver.state.feedback_history[0])
    assert LIVES_KEPT == len(finding.lives)
    assert [Life.REOPENED, Life.ADDRESSED, Life.VERIFIED, Life.REOPENED] == [
        turn.life for turn in finding.lives
    ]
    assert "lint:ruff" == finding.lives[-1].by


@pytest.mark.parametrize("life", [Life.DISMISSED, Life.DEFERRED])
def test_what_is_set_aside_stays_so_when_it_is_reported(life: Life) -> None:
    """It is counted as seen, and does not count as open."""
    driver = begun("a", "b")
    judge(driver, life, id_of(driver, 0), reason="it is generated")
    driver.fix()
    told = driver.review(report("a", "b"))
    assert ([life, Life.OPEN], 1, 0) == (lives(driver), told["open"], told["reopened"])
    [last] = ours(driver.state.feedback_history[0]).lives
    assert (life, "ann", "it is generated") == (last.life, last.by, last.why)


def test_what_is_seen_again_though_set_aside_is_counted() -> None:
    """The history tells that it was reported, and the finding where."""
    driver = begun("a")
    judge(driver, Life.DISMISSED, id_of(driver, 0))
    driver.increment()
    driver.fix()
    generation = driver.generation
    driver.apply(commands.BeginStep(generation=generation, kind=StepKind.REVIEW, tree="tree"))
    done = driver.apply(commands.RecordReview(generation=generation, reports=(report("a"),)))
    assert {"set_aside": 1, "open": 0, "new": 0}.items() <= done.facts.items()
    assert 2 == ours(driver.state.feedback_history[0]).last_iteration


def test_what_a_person_resolved_is_reopened_when_it_is_reported() -> None:
    """The tool's evidence is stronger than the word."""
    driver = begun("a")
    judge(driver, Life.VERIFIED, id_of(driver, 0))
    assert 0 == driver.state.open_total
    driver.review(report("a"))
    assert [Life.REOPENED] == lives(driver)
    assert 1 == ours(driver.state.feedback_history[0]).times_returned


def test_a_person_reopens_what_was_set_aside() -> None:
    """It counts again, and did not come back by itself."""
    driver = begun("a")
    judge(driver, Life.DISMISSED, id_of(driver, 0))
    judge(driver, Life.REOPENED, id_of(driver, 0), reason="it is real")
    assert ([Life.REOPENED], 1) == (lives(driver), driver.state.open_total)
    assert 0 == ours(driver.state.feedback_history[0]).times_returned


def test_a_finding_of_another_program_is_judged_too() -> None:
    """What has nothing of ours yet keeps its life from then on, and stays a person's."""
    driver = Driver(state(feedback_history=(entry("c1"),)))
    judge(driver, Life.DEFERRED, "c1")
    [found] = driver.state.feedback_history
    assert (True, "person", Life.DEFERRED) == (found.resolved, ours(found).source, life_of(found))


def test_the_beginning_of_a_name_is_enough_where_no_other_has_it() -> None:
    """Of a comment id or of a fingerprint."""
    driver = begun()
    driver.append("alpha-1", "alpha-2", "beta", author="eve")
    fingerprint = ours(driver.state.feedback_history[2]).fingerprint
    assert {"ids": ["alpha-1", "beta"], "life": "dismissed", "changed": 2} == judge(
        driver, Life.DISMISSED, "alpha-1", fingerprint[:12]
    )
    assert [Life.DISMISSED, Life.OPEN, Life.DISMISSED] == lives(driver)


def test_a_whole_name_counts_before_a_beginning() -> None:
    """A finding whose id is the beginning of another's can be named."""
    driver = begun()
    driver.append("c1", "c11")
    assert ["c1"] == judge(driver, Life.VERIFIED, "c1")["ids"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("gamma",), "no finding 'gamma'"),
        (("alpha",), "'alpha' may be any of 2 findings of task t: 'alpha-1', 'alpha-2'"),
        (("alpha-1", "gamma"), "no finding 'gamma'"),
        (("",), "no finding ''"),
        ((), "needs a reason, the findings"),
    ],
)
def test_a_name_of_none_or_of_several_changes_nothing(names: tuple[str, ...], words: str) -> None:
    """It is refused and says which; what was named beside it stays as it is too."""
    driver = begun()
    driver.append("alpha-1", "alpha-2")
    before = driver.state
    with pytest.raises(ValidationError, match=re.escape(words)):
        judge(driver, Life.DISMISSED, *names)
    assert before == driver.state


@pytest.mark.parametrize("life", [Life.OPEN, Life.ADDRESSED])
def test_only_a_review_says_that_a_finding_is_open_or_addressed(life: Life) -> None:
    """A person reopens; what a fix did is no matter of opinion."""
    driver = begun()
    driver.append("alpha-1")
    with pytest.raises(ValidationError):
        judge(driver, life, "alpha-1")


def test_a_judgement_without_a_reason_is_refused() -> None:
    """Whoever looks at it later wants to know why."""
    driver = begun()
    driver.append("alpha-1")
    with pytest.raises(ValidationError):
        judge(driver, Life.DISMISSED, "alpha-1", reason="  ")


def test_a_judgement_that_says_nothing_new_changes_nothing() -> None:
    """Said twice is said once."""
    driver = begun()
    driver.append("alpha-1")
    judge(driver, Life.DISMISSED, "alpha-1")
    before = driver.state
    assert 0 == judge(driver, Life.DISMISSED, "alpha-1")["changed"]
    assert before == driver.state


@pytest.mark.parametrize(
    ("resolved", "life", "told"),
    [
        (True, Life.OPEN, Life.VERIFIED),
        (False, Life.DISMISSED, Life.REOPENED),
        (True, Life.DEFERRED, Life.DEFERRED),
        (False, Life.ADDRESSED, Life.ADDRESSED),
    ],
)
def test_another_program_has_the_last_word(resolved: bool, life: Life, told: Life) -> None:
    """Where the specification's member and ours disagree, a program without ours wrote it."""
    finding = Finding(fingerprint="f", source="lint", life=life)
    assert told is life_of(entry(resolved=resolved, mendloop=finding))
    assert life_of(entry(resolved=True)) is Life.VERIFIED


def test_what_is_open_is_not_opened_again() -> None:
    """A judgement that says what is so already changes nothing, and is no return."""
    driver = Driver().start()
    driver.append("c1")
    before = driver.state
    done = driver.apply(commands.Judge(life=Life.REOPENED, names=("c1",), reason="it is real"))
    assert 0 == done.result["changed"]
    assert before is driver.state
