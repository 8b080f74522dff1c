"""Starting, pausing, resuming and ending: the table of status, phase and stop reason."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from drive import Driver, report
from msgspec.structs import replace
from states import NOW, entry, state

from mendloop.core import commands
from mendloop.core.decide import Take
from mendloop.core.errors import (
    LeaseHeld,
    LeaseLost,
    MaxIterationsReached,
    StateError,
    StateExists,
    StateNotFound,
    TaskEnded,
    TaskPaused,
    TransitionRefused,
    ValidationError,
)
from mendloop.core.model import Settings
from mendloop.core.vocabulary import Phase, Status, StepKind, StopReason


def told(driver: Driver) -> tuple[Status, Phase | None, StopReason | None]:
    """The three columns of the table."""
    return driver.state.status, driver.ledger.phase, driver.ledger.stop_reason


def test_a_new_task_is_initialized() -> None:
    """Created and nothing run: Initialized, no phase, no reason."""
    driver = Driver().start()
    assert (Status.INITIALIZED, None, None) == told(driver)


def test_the_phase_follows_the_step() -> None:
    """Under way is InProgress: Reviewing, then Fixing, then Reviewing."""
    driver = Driver().start()
    driver.increment()
    assert (Status.IN_PROGRESS, Phase.REVIEWING, None) == told(driver)
    driver.review(report("a"))
    driver.apply(commands.BeginStep(generation=1, kind=StepKind.FIX, tree="t"))
    assert (Status.IN_PROGRESS, Phase.FIXING, None) == told(driver)
    driver.apply(commands.RecordFix(generation=1, tree="t"))
    assert (Status.IN_PROGRESS, Phase.REVIEWING, None) == told(driver)


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (StopReason.COMPLETED, Status.COMPLETED),
        (StopReason.MAX_ITERATIONS, Status.MAX_ITERATIONS_REACHED),
        (StopReason.NO_PROGRESS, Status.FAILED),
        (StopReason.BUDGET, Status.FAILED),
        (StopReason.STEP_FAILED, Status.FAILED),
    ],
)
def test_each_reason_ends_in_its_status(reason: StopReason, status: Status) -> None:
    """The five statuses tell a v1 reader as much as they can."""
    driver = Driver().start(max_iterations=1)
    driver.increment()
    driver.review(report())
    driver.apply(commands.Finish(generation=1, reason=reason, detail="so it is"))
    assert (status, None, reason) == told(driver)
    assert "so it is" == driver.ledger.stop_detail
    assert driver.ledger.step is None


def test_no_task_is_completed_without_a_review_nor_out_of_iterations_that_are_left() -> None:
    """Such an end changes nothing."""
    driver = Driver().start(max_iterations=2)
    driver.increment()
    for reason in (StopReason.COMPLETED, StopReason.MAX_ITERATIONS):
        finish = commands.Finish(generation=1, reason=reason, detail="")
        assert not driver.apply(finish).is_changed


def test_an_iteration_after_one_without_a_review_begins_with_a_review() -> None:
    """There is nothing to fix where nothing was reviewed; a person's finding is something."""
    driver = Driver().start()
    driver.increment()
    driver.increment()
    assert Take(StepKind.REVIEW, 1) == driver.next()
    driver.append("c1")
    driver.increment()
    assert Take(StepKind.FIX, 1) == driver.next()


@pytest.mark.parametrize("is_started", [True, False])
def test_a_stopped_task_is_terminated_and_its_run_cannot_write(*, is_started: bool) -> None:
    """Ended by a person: Failed, Terminated; and the generation rose, so the run has lost it."""
    driver = Driver().start()
    if is_started:
        driver.increment()
    driver.apply(commands.Stop(reason="enough"))
    assert (Status.FAILED, Phase.TERMINATED, StopReason.TERMINATED) == told(driver)
    assert 2 == driver.generation
    with pytest.raises(LeaseLost):
        driver.apply(commands.RecordFix(generation=1, tree="t"))
    assert not driver.apply(commands.Stop(reason="again")).is_changed


def test_a_pause_keeps_who_why_and_when_and_the_first_one_holds() -> None:
    """Paused is InProgress for a v1 reader; pausing twice changes nothing."""
    driver = Driver().start()
    driver.increment()
    driver.apply(commands.Pause(reason="lunch"))
    assert (Status.IN_PROGRESS, Phase.PAUSED, None) == told(driver)
    assert not driver.apply(commands.Pause(reason="tea")).is_changed
    pause = driver.ledger.pause
    assert pause is not None
    assert ("ann", "lunch", driver.now - timedelta(seconds=1)) == (pause.by, pause.reason, pause.at)
    with pytest.raises(TaskPaused, match="lunch"):
        driver.increment()


@pytest.mark.parametrize("reason", [r for r in StopReason if r is not StopReason.MAX_ITERATIONS])
def test_an_ended_task_goes_on_only_by_a_resume_which_reviews_first(reason: StopReason) -> None:
    """Increment and pause are refused; resume clears the reason and begins with a review."""
    driver = Driver().start()
    driver.increment()
    driver.review(report())
    driver.apply(commands.Finish(generation=1, reason=reason, detail="d"))
    with pytest.raises(TaskEnded):
        driver.increment()
    with pytest.raises(TaskEnded):
        driver.apply(commands.Pause(reason="r"))
    done = driver.apply(commands.Resume())
    assert {"from": reason} == done.facts
    assert {"iteration": 1} == done.result
    assert (Status.IN_PROGRESS, Phase.REVIEWING, None) == told(driver)
    assert "" == driver.ledger.stop_detail
    assert () == driver.ledger.rounds


def test_a_task_stopped_before_its_start_resumes_as_initialized() -> None:
    """Without an iteration there is nothing in progress."""
    driver = Driver().start()
    driver.apply(commands.Stop(reason="r"))
    driver.apply(commands.Resume())
    assert (Status.INITIALIZED, None, None) == told(driver)


def test_a_spent_limit_resumes_only_with_a_higher_one() -> None:
    """The refusal names the way on; the raised limit is recorded."""
    driver = Driver().start(max_iterations=1)
    driver.increment()
    refused = driver.apply(commands.Increment(generation=1))
    assert ("MaxIterationsReached", {"iteration": 1}) == (refused.refusal, refused.result)
    with pytest.raises(MaxIterationsReached):
        driver.increment()
    for limit in (None, 1, 0, -5, 2**32, 2**70):
        with pytest.raises(ValidationError):
            driver.apply(commands.Resume(max_iterations=limit))
    done = driver.apply(commands.Resume(max_iterations=3))
    assert {"from": "max_iterations", "max_iterations": {"from": 1, "to": 3}} == done.facts
    assert [2, 3] == [driver.increment(), driver.increment()]


def test_there_is_nothing_to_resume_in_a_running_task() -> None:
    """Without a pause or an end only the limit can be changed."""
    driver = Driver().start()
    driver.increment()
    with pytest.raises(ValidationError):
        driver.apply(commands.Resume())
    driver.apply(commands.Resume(max_iterations=50))
    assert 50 == driver.ledger.settings.max_iterations


@pytest.mark.parametrize(
    "settings",
    [
        Settings(max_iterations=0),
        Settings(max_iterations=2**32),
        Settings(no_progress_rounds=1),
        Settings(step_attempts=0),
        Settings(budget_seconds=0.0),
        Settings(budget_seconds=float("nan")),
        Settings(budget_seconds=float("inf")),
    ],
)
def test_settings_out_of_range_are_refused_before_they_are_stored(settings: Settings) -> None:
    """A setting that no reader takes would make the task unreadable: it is refused."""
    with pytest.raises(ValidationError):
        Driver().apply(commands.Create(settings=settings))
    driver = Driver().start()
    with pytest.raises(ValidationError):
        driver.apply(commands.Configure(settings=settings, generation=1))


@pytest.mark.parametrize("limit", [0, -1, 2**32, 2**70])
def test_a_limit_out_of_range_is_refused_by_increment(limit: int) -> None:
    """The limit that comes with an increment is checked like any other."""
    with pytest.raises(ValidationError):
        Driver().apply(commands.Increment(max_iterations=limit))


def test_configuring_the_same_changes_nothing() -> None:
    """The same settings again are no change, and others leave a record of what changed."""
    driver = Driver().start()
    assert not driver.apply(commands.Configure(settings=Settings(), generation=1)).is_changed
    done = driver.apply(commands.Configure(settings=Settings(step_attempts=9), generation=1))
    assert {"step_attempts": {"from": 3, "to": 9}} == done.facts


def test_the_last_twenty_starts_are_kept_and_other_keys_stay() -> None:
    """Metadata keeps the starts of the last 20 iterations, and all that others wrote."""
    theirs = {"iteration_x_started": "a", "iteration_07_started": "b", "owner": "ann"}
    old = {f"iteration_{n}_started": "then" for n in range(1, 41)}
    driver = Driver(state(iteration=40, status=Status.IN_PROGRESS, metadata=theirs | old))
    driver.apply(commands.Increment(max_iterations=100))
    driver.apply(commands.Increment())
    assert theirs | {f"iteration_{n}_started": "then" for n in range(23, 41)} == {
        key: value for key, value in driver.state.metadata.items() if value != _started(key, driver)
    }
    assert 20 + len(theirs) == len(driver.state.metadata)


def _started(key: str, driver: Driver) -> str:
    return (
        driver.state.metadata[key]
        if key in {"iteration_41_started", "iteration_42_started"}
        else ""
    )


def test_the_last_twenty_error_messages_are_kept() -> None:
    """Older messages are in the history; the head stays small."""
    driver = Driver().start(step_attempts=1000)
    driver.increment()
    for number in range(30):
        driver.review(report(is_complete=False, problem=f"exit {number}"))
    assert tuple(f"lint: exit {n}" for n in range(10, 30)) == driver.state.error_messages


@pytest.mark.parametrize(
    "command",
    [
        commands.Pause(reason="r"),
        commands.Resume(),
        commands.Stop(reason="r"),
        commands.AppendFeedback(entries=(entry(),)),
        commands.RecordFix(generation=1, tree="t"),
        commands.ReleaseLease(generation=1),
        commands.Configure(settings=Settings(), generation=1),
    ],
    ids=lambda command: type(command).__name__,
)
def test_a_task_that_is_not_there_is_not_found(command: commands.Command) -> None:
    """Only a create, an increment or a whole state makes a task."""
    with pytest.raises(StateNotFound):
        Driver().apply(command)


def test_creating_twice_is_refused() -> None:
    """A task is made once."""
    driver = Driver().start()
    with pytest.raises(StateExists):
        driver.apply(commands.Create())


def test_a_person_may_not_count_while_a_run_does() -> None:
    """An increment without the lease is refused while somebody holds it."""
    driver = Driver().start()
    with pytest.raises(LeaseHeld, match="ann@laptop"):
        driver.apply(commands.Increment())


@pytest.mark.parametrize(
    ("prepare", "command"),
    [
        ((), commands.BeginStep(generation=1, kind=StepKind.FIX, tree="t")),
        ((), commands.RecordReview(generation=1, reports=(report(),))),
        ((), commands.RecordFix(generation=1, tree="t")),
        (
            (commands.BeginStep(generation=1, kind=StepKind.REVIEW, tree="t"),),
            commands.RecordFix(generation=1, tree="t"),
        ),
    ],
)
def test_a_step_that_is_not_under_way_has_no_result(
    prepare: tuple[Any, ...], command: commands.Command
) -> None:
    """A result is taken only for the step that was begun, and only once."""
    driver = Driver().start()
    driver.increment()
    for step in prepare:
        driver.apply(step)
    with pytest.raises(TransitionRefused):
        driver.apply(command)


def test_a_step_begun_by_a_killed_run_keeps_its_beginning() -> None:
    """The successor sees the tree as it was before the fixer first touched it."""
    driver = Driver().start()
    driver.increment()
    driver.apply(commands.BeginStep(generation=1, kind=StepKind.REVIEW, tree="before"))
    driver.hold("t2")
    done = driver.apply(commands.BeginStep(generation=2, kind=StepKind.REVIEW, tree="after"))
    assert not done.is_changed
    assert driver.ledger.step is not None
    assert "before" == driver.ledger.step.tree


def test_a_whole_state_is_written_over_the_one_it_was_made_from() -> None:
    """Put takes a state that was read and changed, and keeps the lease and the history."""
    driver = Driver().start()
    driver.apply(commands.ReleaseLease(generation=1))
    read = driver.state
    driver.set(metadata={"owner": "ann"})
    changed = driver.state
    driver.current = read
    driver.apply(commands.PutState(state=changed))
    assert {"owner": "ann"} == driver.state.metadata
    assert read.mendloop.lease == driver.ledger.lease  # type: ignore[union-attr]
    assert driver.state.last_update > NOW


def test_a_whole_state_is_refused_while_a_run_is_under_way() -> None:
    """Who does not hold the task writes nothing over a run."""
    driver = Driver().start()
    with pytest.raises(LeaseHeld):
        driver.apply(commands.PutState(state=driver.state))


def test_a_whole_state_completes_no_task_with_open_findings() -> None:
    """Completed means that nothing is open; what came in after the end stays as it is."""
    driver = Driver().start()
    driver.append("c1")
    driver.apply(commands.ReleaseLease(generation=1))
    read = driver.state
    completed = replace(read, status=Status.COMPLETED)
    with pytest.raises(ValidationError, match="1 findings are open"):
        driver.apply(commands.PutState(state=completed))
    driver.current = completed
    driver.apply(commands.PutState(state=completed))


@pytest.mark.parametrize(
    "changes",
    [
        {"iteration": -1},
        {"iteration": 2**32},
        {"status": "Sleeping"},
        {"version": "v2"},
        {"task_id": "other"},
        {"feedback_history": (entry(""),)},
        {"feedback_history": (entry("a"), entry("a"))},
        {"feedback_history": (entry(timestamp=NOW.replace(tzinfo=None)),)},
        {"feedback_history": (entry(severity="Horrible"),)},
        {"metadata": {"a": 1}},
    ],
    ids=str,
)
def test_a_whole_state_that_no_reader_takes_is_refused(changes: dict[str, Any]) -> None:
    """What could not be read again is not written."""
    with pytest.raises((StateError, TypeError)):
        Driver().apply(commands.PutState(state=state(**changes)))


def test_a_state_that_was_read_and_is_gone_is_not_brought_back() -> None:
    """The deleted stays deleted: a late writer is told that the task went."""
    driver = Driver().start()
    driver.apply(commands.Pause(reason="r"))
    read = replace(driver.state, mendloop=replace(driver.ledger, commit=7))
    with pytest.raises(StateError, match="gone"):
        Driver().apply(commands.PutState(state=read))


def test_another_programs_state_is_not_written_over_unseen() -> None:
    """Where there is no commit to compare, the time of the last update has to be the one read."""
    driver = Driver(state(iteration=3))
    with pytest.raises(StateError, match="another program"):
        driver.apply(commands.PutState(state=state(iteration=9, last_update=NOW - timedelta(1))))
    driver.apply(commands.PutState(state=state(iteration=9)))
    assert 9 == driver.state.iteration
