"""Who may run a task."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from drive import Driver, report
from states import holder

from mendloop.core import commands
from mendloop.core.errors import LeaseHeld, LeaseLost, ValidationError
from mendloop.core.model import Settings
from mendloop.core.run import Child, Lease
from mendloop.core.vocabulary import StepKind, StopReason

CHILD = Child(boot_id="b", pid_namespace="n", pid=7, start_ticks=8, token="t")  # noqa: S106 - names a run


def acquire(token: str, abandoned: tuple[int, int] | None = None, **changes: Any) -> Any:
    """Ask for the lease."""
    members: dict[str, Any] = {"ttl_seconds": 30.0, "boottime_seconds": 5.0} | changes
    return commands.AcquireLease(holder=holder(token), abandoned=abandoned, **members)


def test_a_free_lease_is_taken_with_the_next_generation() -> None:
    """The first holder has generation 1."""
    driver = Driver()
    driver.apply(commands.Create())
    assert {"generation": 1} == driver.apply(acquire("t1")).result
    assert ("t1", 30.0, 5.0, driver.now) == (
        driver.ledger.lease.holder.token,  # type: ignore[union-attr]
        driver.ledger.lease.ttl_seconds,
        driver.ledger.lease.renewed_boottime_seconds,
        driver.ledger.lease.acquired_at,
    )


def test_a_held_lease_is_refused_naming_who_and_since_when() -> None:
    """The refusal tells a person whom to ask."""
    driver = Driver().start()
    with pytest.raises(LeaseHeld) as caught:
        driver.apply(acquire("t2"))
    assert "ann@laptop" == caught.value.holder
    assert caught.value.since.startswith("2026-03-04T05:06:09")
    assert {"generation": 1} == driver.apply(acquire("t1")).result


def test_only_the_very_lease_that_was_judged_is_taken_over() -> None:
    """A heartbeat in between saves the holder; else the generation rises."""
    driver = Driver().start()
    driver.apply(commands.RenewLease(generation=1, boottime_seconds=6.0))
    with pytest.raises(LeaseHeld):
        driver.apply(acquire("t2", (1, 0)))
    assert {"generation": 2} == driver.apply(acquire("t2", (1, 1))).result
    assert 0 == driver.ledger.lease.renewals


of_the_first_holder = pytest.mark.parametrize(
    "command",
    [
        commands.Increment(generation=1),
        commands.Configure(settings=Settings(), generation=1),
        commands.BeginStep(generation=1, kind=StepKind.REVIEW, tree="t"),
        commands.RecordReview(generation=1, reports=(report(),)),
        commands.RecordFix(generation=1, tree="t"),
        commands.Finish(generation=1, reason=StopReason.COMPLETED, detail=""),
        commands.RenewLease(generation=1, boottime_seconds=1.0),
        commands.RecordChild(generation=1, child=CHILD),
    ],
    ids=lambda command: type(command).__name__,
)


@of_the_first_holder
@pytest.mark.parametrize("is_taken", [True, False])
def test_an_old_holder_can_write_nothing(command: commands.Command, *, is_taken: bool) -> None:
    """Once the lease is another's or nobody's, every result of the old run is refused."""
    driver = Driver().start()
    driver.increment()
    if is_taken:
        driver.hold("t2")
    else:
        driver.apply(commands.ReleaseLease(generation=1))
    before = driver.state
    with pytest.raises(LeaseLost):
        driver.apply(command)
    assert before is driver.state


@of_the_first_holder
def test_a_holder_of_a_former_task_can_write_nothing(command: commands.Command) -> None:
    """A task made anew gives out generation 1 again, and only to the run that has it there."""
    driver = Driver().start()
    driver.increment()
    before = driver.state
    with pytest.raises(LeaseLost, match=r"no longer holds task t \(generation 1 of ann@laptop\)"):
        driver.apply(command, run="before")
    assert before is driver.state


def test_a_holder_of_a_former_task_gives_back_nothing() -> None:
    """Its release leaves the lease with the run of the same generation, whose own one ends it."""
    driver = Driver().start()
    assert not driver.apply(commands.ReleaseLease(generation=1), run="before").is_changed
    assert driver.apply(
        commands.RenewLease(generation=1, boottime_seconds=6.0), run="t1"
    ).is_changed
    assert driver.apply(commands.ReleaseLease(generation=1), run="t1").is_changed


def test_an_old_holder_gives_back_nothing_that_is_not_its_own() -> None:
    """Releasing a lost lease changes nothing."""
    driver = Driver().start().hold("t2")
    assert not driver.apply(commands.ReleaseLease(generation=1)).is_changed
    assert driver.apply(commands.ReleaseLease(generation=2)).is_changed
    assert Lease(generation=2) == driver.ledger.lease
    assert {"generation": 3} == driver.apply(acquire("t3")).result


def test_the_child_outlives_its_run_in_the_lease() -> None:
    """A successor learns what is left to be ended; a lease that was given back has nothing left."""
    driver = Driver().start()
    driver.apply(commands.RecordChild(generation=1, child=CHILD))
    driver.hold("t2")
    assert CHILD == driver.ledger.lease.child
    driver.apply(commands.Stop(reason="r"))
    assert CHILD == driver.ledger.lease.child
    driver.hold("t3")
    driver.apply(commands.ReleaseLease(generation=driver.generation))
    assert driver.ledger.lease.child is None


def test_taking_and_giving_back_leave_records_that_tell_the_heartbeats() -> None:
    """Who took it, where, from whom, and how often it was renewed until it went to another."""
    driver = Driver()
    driver.apply(commands.Create())
    taken = driver.apply(acquire("t1", tree="/work"))
    again = driver.apply(acquire("t1"))
    for _ in range(3):
        driver.apply(commands.RenewLease(generation=1, boottime_seconds=6.0))
    over = driver.apply(acquire("t2", (1, 3)))
    for _ in range(2):
        driver.apply(commands.RenewLease(generation=2, boottime_seconds=6.0))
    left = driver.apply(commands.ReleaseLease(generation=2))
    twice = driver.apply(commands.ReleaseLease(generation=2))

    assert all(done.leaves_record for done in (taken, over, left))
    assert not again.is_changed
    assert not twice.is_changed
    assert {"generation": 1, "holder": "ann@laptop", "tree": "/work"} == taken.facts
    assert {
        "generation": 2,
        "holder": "ann@laptop",
        "taken_from": "ann@laptop",
        "renewals": 3,
    } == over.facts
    assert {"generation": 2, "renewals": 2} == left.facts


def test_a_stop_tells_whom_it_takes_the_task_from() -> None:
    """It raises the generation as a take-over does; where nobody runs the task, it tells nothing."""
    driver = Driver().start()
    driver.apply(commands.RenewLease(generation=1, boottime_seconds=6.0))
    stopped = driver.apply(commands.Stop(reason="r")).facts
    driver.apply(commands.Resume())
    idle = driver.apply(commands.Stop(reason="r")).facts

    told = {"stop_reason": StopReason.TERMINATED, "reason": "r"}
    assert told | {"generation": 2, "taken_from": "ann@laptop", "renewals": 1} == stopped
    assert told == idle


def test_names_in_the_records_of_a_lease_are_clean() -> None:
    """What was taken out of the holder's name in the lease is not in the record either."""
    driver = Driver()
    driver.apply(commands.Create())
    loud = msgspec.structs.replace(holder("t1"), name="ann\x1b[2J@laptop")
    command = commands.AcquireLease(holder=loud, ttl_seconds=30.0, boottime_seconds=5.0)
    facts = driver.apply(command).facts
    assert driver.ledger.lease.holder is not None

    assert driver.ledger.lease.holder.name == facts["holder"]
    assert "\x1b" not in facts["holder"]


def test_heartbeats_and_children_leave_no_record() -> None:
    """They say no more than how long the record of who took the lease holds."""
    driver = Driver().start()
    for command in (
        commands.RenewLease(generation=1, boottime_seconds=6.0),
        commands.RecordChild(generation=1, child=CHILD),
    ):
        assert not driver.apply(command).leaves_record


def test_a_lease_does_not_move_the_last_update() -> None:
    """Nothing happened in a task that was only taken, held and given back."""
    driver = Driver().start()
    last_update = driver.state.last_update
    for command in (
        commands.RenewLease(generation=1, boottime_seconds=6.0),
        commands.RecordChild(generation=1, child=CHILD),
        commands.ReleaseLease(generation=1),
        acquire("t2"),
    ):
        assert driver.apply(command).is_changed
    assert last_update == driver.state.last_update


@pytest.mark.parametrize("ttl_seconds", [float("nan"), float("inf"), "30", None])
def test_a_lease_for_no_number_of_seconds_is_refused(ttl_seconds: Any) -> None:
    """A time that no reader takes would make the task unreadable."""
    driver = Driver()
    driver.apply(commands.Create())
    with pytest.raises(ValidationError):
        driver.apply(acquire("t1", ttl_seconds=ttl_seconds))


def test_what_others_keep_in_the_lease_stays() -> None:
    """Unknown members of the lease outlive acquiring, taking over, stopping and giving back."""
    driver = Driver().start()
    theirs = {"other": msgspec.Raw(b"1.0")}
    ledger = msgspec.structs.replace(
        driver.ledger, lease=msgspec.structs.replace(driver.ledger.lease, extra=theirs)
    )
    driver.set(mendloop=ledger)
    driver.hold("t2")
    assert theirs == driver.ledger.lease.extra
    driver.apply(commands.ReleaseLease(generation=2))
    assert theirs == driver.ledger.lease.extra
    driver.hold("t3")
    driver.apply(commands.Stop(reason="r"))
    assert theirs == driver.ledger.lease.extra
