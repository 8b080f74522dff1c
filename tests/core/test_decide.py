"""What a task needs next, and why it ends."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from drive import Driver, finding, report
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from states import any_state, entry, state

from mendloop.core import commands
from mendloop.core.decide import (
    Ended,
    Finish,
    NextStep,
    StartIteration,
    Take,
    Wait,
    decide,
    is_stuck,
    nudge,
)
from mendloop.core.model import Ledger, RemediationState
from mendloop.core.progress import Round
from mendloop.core.vocabulary import Phase, Status, StepKind, StopReason

_NAMES = st.frozensets(st.sampled_from("abcd"), max_size=3)


def test_a_clean_task_takes_one_review() -> None:
    """A first review with nothing open completes the task without a fix."""
    driver = Driver().start()
    assert Ended(StopReason.COMPLETED, "a complete review found nothing open") == driver.run(
        [(report(),)]
    )
    assert ["iteration 1", "review"] == driver.steps
    assert (Status.COMPLETED, None) == (driver.state.status, driver.ledger.phase)


def test_the_first_iteration_reviews_twice_and_each_later_one_once() -> None:
    """Review, fix, review; then fix and review until nothing is open."""
    driver = Driver().start()
    driver.run([(report("a", "b"),), (report("b"),), (report(),)])
    assert [
        "iteration 1",
        "review",
        "fix",
        "review",
        "iteration 2",
        "fix",
        "review",
    ] == driver.steps
    assert Status.COMPLETED is driver.state.status


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_a_limit_of_n_allows_n_fixes_each_reviewed(limit: int) -> None:
    """At most N fixes are tried, and the last step before the end is a review."""
    driver = Driver().start(max_iterations=limit, no_progress_rounds=100)
    reviews = [(report(*(f"f{n}" for n in range(100 - turn))),) for turn in range(50)]
    ended = driver.run(reviews)
    assert Ended(StopReason.MAX_ITERATIONS, f"the limit of {limit} iterations is spent") == ended
    assert limit == driver.steps.count("fix") == driver.state.iteration
    assert "review" == driver.steps[-1]
    assert Status.MAX_ITERATIONS_REACHED is driver.state.status


@pytest.mark.parametrize("same", [2, 3, 5, 30])
def test_k_reviews_with_the_same_open_findings_are_no_progress(same: int) -> None:
    """The loop stops after exactly k reviews in a row that leave the same findings open."""
    driver = Driver().start(no_progress_rounds=same, max_iterations=100)
    ended = driver.run([(report("a", "b", "c"),), (report("a", "b"),)])
    assert isinstance(ended, Ended)
    assert StopReason.NO_PROGRESS is ended.reason
    assert same + 1 == driver.steps.count("review")
    assert Status.FAILED is driver.state.status


def test_a_swing_between_two_sets_is_no_progress() -> None:
    """A-B-A stops the loop, though no two reviews in a row are the same."""
    driver = Driver().start()
    ended = driver.run([(report("a"),), (report("b"),), (report("a"),)])
    assert isinstance(ended, Ended)
    assert StopReason.NO_PROGRESS is ended.reason
    assert 3 == driver.steps.count("review")


@pytest.mark.parametrize(
    ("sets", "same", "is_standstill"),
    [
        ("", 3, False),
        ("AA", 3, False),
        ("AAA", 3, True),
        ("AAAB", 3, False),
        ("AA", 2, True),
        ("ABA", 3, True),
        ("ABC", 3, False),
        ("ABAC", 3, False),
        ("ABCA", 3, False),
        ("ABB", 3, False),
    ],
)
def test_standstills_are_told_from_the_last_reviews(
    sets: str, same: int, is_standstill: bool
) -> None:
    """Only the end of the row of reviews counts."""
    at = state().last_update
    rounds = tuple(
        Round(iteration=1, at=at, open=1, new=0, resolved=0, reopened=0, open_digest=name)
        for name in sets
    )
    assert is_standstill == bool(is_stuck(rounds, same))


def test_a_work_tree_that_does_not_change_is_no_progress() -> None:
    """Whatever flaky reviewers report, fixes that change nothing stop the loop."""
    driver = Driver().start(no_progress_rounds=3)
    driver.increment()
    driver.review(report("a"), tree="t1")
    for name in "bc":
        assert isinstance(driver.next(), Take | StartIteration)
        driver.fix(tree="t1")
        driver.review(report(name), tree="t1")
    step = driver.next()
    assert (
        Finish(StopReason.NO_PROGRESS, "the work tree was the same at 3 reviews in a row") == step
    )


def test_a_finding_that_returns_again_and_again_is_no_progress() -> None:
    """Though what is open is another set each time."""
    driver = Driver().start(no_progress_rounds=3, max_iterations=100)
    driver.increment()
    driver.review(report("a", "b0"))
    for turn in range(1, 7):
        assert not isinstance(driver.next(), Finish)
        driver.review(report(*("a" * (turn % 2 == 0)), f"b{turn}"))
    step = driver.next()
    assert Finish(StopReason.NO_PROGRESS, "a finding came back 3 times after it was gone") == step


def test_a_finding_that_was_often_back_and_stays_open_is_no_standstill() -> None:
    """Only its coming back is; while it is open, the others may go one by one."""
    driver = Driver().start(no_progress_rounds=2, max_iterations=100)
    driver.increment()
    for names in (("a", "b", "c"), ("b", "c"), ("a", "b"), ("b", "x"), ("a", "b", "y")):
        driver.review(report(*names))
    assert isinstance(driver.next(), Finish)
    driver.review(report("a", "b", "z"))
    assert not isinstance(driver.next(), Finish)


@pytest.mark.parametrize(
    ("sets", "same", "is_told"),
    [("A", 3, False), ("AA", 3, True), ("AB", 3, False), ("A", 2, False), ("AAA", 5, False)],
)
def test_a_standstill_is_told_one_review_before(sets: str, same: int, is_told: bool) -> None:
    """What the next review would make no progress is known before it."""
    at = state().last_update
    rounds = tuple(
        Round(iteration=1, at=at, open=1, new=0, resolved=0, reopened=0, open_digest=name)
        for name in sets
    )
    assert is_told == bool(nudge(rounds, same))


def test_the_budget_stops_a_loop_and_a_pause_does_not_count() -> None:
    """Time since the start ends the task; the time it was paused is given back."""
    driver = Driver().start(budget_seconds=100.0)
    driver.increment()
    driver.apply(commands.Pause(reason="lunch"))
    driver.now += timedelta(hours=1)
    driver.apply(commands.Resume())
    assert isinstance(driver.next(), Take)
    driver.now += timedelta(seconds=101)
    step = driver.next()
    assert isinstance(step, Finish)
    assert StopReason.BUDGET is step.reason


def test_a_resume_after_an_end_has_the_whole_budget() -> None:
    """Days between the end and the resume are no part of it."""
    driver = Driver().start(budget_seconds=100.0)
    driver.increment()
    driver.apply(commands.Stop(reason="enough"))
    driver.now += timedelta(days=3)
    driver.apply(commands.Resume())
    driver.now += timedelta(seconds=99)
    assert isinstance(driver.next(), Take)
    driver.now += timedelta(seconds=1)
    step = driver.next()
    assert isinstance(step, Finish)
    assert StopReason.BUDGET is step.reason


def test_a_clean_review_completes_over_budget_too() -> None:
    """Nothing open is a success, however long it took."""
    driver = Driver().start(budget_seconds=10.0)
    driver.increment()
    driver.review(report())
    driver.now += timedelta(hours=1)
    step = driver.next()
    assert isinstance(step, Finish)
    assert StopReason.COMPLETED is step.reason


def test_a_failing_step_is_tried_so_often_and_no_more() -> None:
    """The third failure of three allowed ends the task, and names the problem."""
    driver = Driver().start(step_attempts=3)
    driver.increment()
    attempts = []
    while isinstance(step := driver.next(), Take):
        attempts.append(step.attempt)
        driver.review(report(is_complete=False, problem="exit 2"))
    assert [1, 2, 3] == attempts
    assert isinstance(step, Finish)
    assert StopReason.STEP_FAILED is step.reason
    assert "lint: exit 2" in step.detail


def test_failures_of_a_step_are_forgotten_with_its_success() -> None:
    """Each step has its own attempts."""
    driver = Driver().start(step_attempts=2)
    driver.increment()
    driver.review(report(is_complete=False, problem="exit 2"))
    driver.review(report("a"))
    driver.fix("exit 1")
    assert Take(StepKind.FIX, 2) == driver.next()
    driver.fix()
    assert Take(StepKind.REVIEW, 1) == driver.next()


def test_a_paused_task_waits_and_its_running_step_is_still_taken() -> None:
    """Paused means: no next step; a result that comes in is kept."""
    driver = Driver().start()
    driver.increment()
    driver.apply(commands.BeginStep(generation=1, kind=StepKind.REVIEW, tree="t"))
    driver.apply(commands.Pause(reason="lunch"))
    assert (Status.IN_PROGRESS, Phase.PAUSED) == (driver.state.status, driver.ledger.phase)
    driver.apply(commands.RecordReview(generation=1, reports=(report("a"),)))
    assert Wait("paused by ann: lunch") == driver.next()
    driver.apply(commands.Resume())
    assert Take(StepKind.FIX, 1) == driver.next()


def test_an_iteration_above_the_limit_is_kept_and_ends_the_task() -> None:
    """A counter that another program set too high is not lowered."""
    driver = Driver(state(iteration=12, status=Status.IN_PROGRESS))
    done = driver.apply(commands.Increment())
    assert "MaxIterationsReached" == done.refusal
    assert (12, Status.MAX_ITERATIONS_REACHED) == (driver.state.iteration, driver.state.status)


@pytest.mark.parametrize("is_resolved", [True, False])
def test_a_task_begun_by_another_program_is_reviewed_before_it_is_judged(
    *, is_resolved: bool
) -> None:
    """Without a review of ours, nothing is complete and nothing is fixed."""
    driver = Driver(
        state(
            iteration=3,
            status=Status.IN_PROGRESS,
            feedback_history=(entry(resolved=is_resolved),),
        )
    ).hold()
    assert Take(StepKind.REVIEW, 1) == driver.next()


def test_a_review_of_an_earlier_iteration_completes_nothing() -> None:
    """Where another program went on counting, the old review is no evidence."""
    driver = Driver().start()
    driver.increment()
    driver.review(report())
    driver.set(iteration=2)
    assert Take(StepKind.REVIEW, 1) == driver.next()


def test_a_finding_that_comes_in_late_keeps_a_task_from_being_completed() -> None:
    """Between the decision and its record a person may speak up: then it is decided anew."""
    driver = Driver().start()
    driver.increment()
    driver.review(report())
    step = driver.next()
    assert isinstance(step, Finish)
    driver.append("late")
    done = driver.apply(
        commands.Finish(generation=driver.generation, reason=step.reason, detail=step.detail)
    )
    assert not done.is_changed
    assert Take(StepKind.FIX, 1) == driver.next()


@given(
    st.lists(_NAMES, min_size=1, max_size=12),
    st.integers(1, 6),
    st.integers(2, 4),
)
def test_every_loop_ends_for_a_reason_that_its_reviews_show(
    sets: list[frozenset[str]], limit: int, same: int
) -> None:
    """Whatever the reviews say, the loop ends within its limit, and complete means clean."""
    driver = Driver().start(max_iterations=limit, no_progress_rounds=same)
    ended = driver.run([(report(*sorted(names)),) for names in sets])
    assert isinstance(ended, Ended)
    assert driver.steps.count("fix") <= limit
    assert driver.state.iteration <= limit
    assert "review" == driver.steps[-1]
    is_clean = driver.open_ids() == []
    assert is_clean == (ended.reason is StopReason.COMPLETED)
    assert ended.reason in {
        StopReason.COMPLETED,
        StopReason.MAX_ITERATIONS,
        StopReason.NO_PROGRESS,
    }


@given(any_state(), st.integers(0, 10**9))
def test_an_answer_is_given_for_every_state(drawn: RemediationState, seconds: int) -> None:
    """There is no state that decide has no answer for, and it never says complete without review."""
    try:
        now = drawn.last_update + timedelta(seconds=seconds)
    except OverflowError:
        now = drawn.last_update
    step: NextStep = decide(drawn, now=now)
    assert isinstance(step, StartIteration | Take | Finish | Wait | Ended)
    assert drawn.status.is_ended == isinstance(step, Ended)
    if isinstance(step, Finish) and step.reason is StopReason.COMPLETED:
        assert isinstance(drawn.mendloop, Ledger)
        assert drawn.iteration == drawn.mendloop.rounds[-1].iteration
        assert all(e.resolved for e in drawn.feedback_history)


def test_the_worst_are_not_dropped_by_a_long_run(scaled: Callable[[int, int], int]) -> None:
    """After many iterations every finding is still there, in the order that they came."""
    count = scaled(300, 60)
    driver = Driver().start(max_iterations=count, no_progress_rounds=count)
    first = finding("first", description="fault first")
    for number in range(1, count):
        driver.increment()
        if number == 1:
            driver.review(report(findings=(first,)))
        driver.fix()
        driver.review(report(findings=(first, finding(str(number)))))
    told = [e.description for e in driver.state.feedback_history]
    assert ["fault first", *(f"fault {n}" for n in range(1, count))] == told
    assert 20 == sum(key.endswith("_started") for key in driver.state.metadata)


def test_a_cut_review_with_nothing_left_open_is_taken_again() -> None:
    """There is nothing to fix, and a cut review completes nothing."""
    driver = Driver().start()
    driver.increment()
    driver.review(report("a", is_complete=False, problem="exit 2"))
    [found] = driver.state.feedback_history
    driver.set(feedback_history=(replace(found, resolved=True),))
    assert Take(StepKind.REVIEW, 1) == driver.next()
