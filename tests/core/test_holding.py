"""What the records tell of who holds a task: only what they cannot have led to is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from states import holder

from mendloop.core.holding import ToldLease
from mendloop.core.model import Change
from mendloop.core.run import Lease

TAKEN = ("acquire_lease", {"generation": 3, "holder": "ann@laptop"})
HELD = Lease(generation=3, holder=holder())
FREE = Lease(generation=3)


def heard(*told: tuple[str, dict[str, Any]]) -> ToldLease:
    """What is known after such records."""
    lease = ToldLease()
    for do, facts in told:
        lease.hear(Change(do=do, op_id="", by="ann", door="cli", facts=facts))
    return lease


@pytest.mark.parametrize("told", [TAKEN, ("release_lease", {"generation": 3})])
def test_a_generation_is_never_below_the_one_that_is_told(told: tuple[str, dict[str, Any]]) -> None:
    """Whoever holds it or nobody: one that is lower would let an outlived run write."""
    for lease in (Lease(generation=2), Lease(generation=2, holder=holder())):
        assert "has generation 2, and the records tell of 3" == heard(told).flaw_of(lease)


@pytest.mark.parametrize("end", ["release_lease", "stop"])
def test_a_lease_that_was_given_back_is_held_by_nobody(end: str) -> None:
    """Neither by another nor by the one that had it."""
    lease = heard(TAKEN, (end, {"generation": 3}))

    assert "" == lease.flaw_of(FREE)
    assert lease.flaw_of(HELD) == (
        "is held by ann@laptop with generation 3, and the records tell of nobody"
    )


def test_who_holds_it_is_who_the_last_record_tells() -> None:
    """Of another name or with another generation it is held past the records."""
    lease = heard(("acquire_lease", {"generation": 2, "holder": "bob@ci"}), TAKEN)

    assert "" == lease.flaw_of(HELD)
    for name, generation in (("bob@ci", 3), ("ann@laptop", 4)):
        assert lease.flaw_of(Lease(generation=generation, holder=holder(name=name))) == (
            f"is held by {name} with generation {generation},"
            " and the records tell of ann@laptop with 3"
        )


def test_an_import_leaves_the_holder_out_and_may_raise_the_generation() -> None:
    """A task that nobody holds is in order with that generation and with a higher one."""
    for generation in (3, 4, 9):
        assert "" == heard(TAKEN).flaw_of(Lease(generation=generation))


@pytest.mark.parametrize(
    "told",
    [
        ("recover", {"generation": 9}),
        ("acquire_lease", {}),
        ("acquire_lease", {"generation": 4}),
        ("acquire_lease", {"generation": "4", "holder": "ann@laptop"}),
        ("release_lease", {}),
    ],
)
def test_after_a_repair_or_a_record_of_an_older_mendloop_nothing_is_wrong(
    told: tuple[str, dict[str, Any]],
) -> None:
    """Nothing is known of the lease any more, until the next one tells of it."""
    for lease in (Lease(generation=1), Lease(generation=1, holder=holder(name="bob@ci"))):
        assert "" == heard(TAKEN, told).flaw_of(lease)
    assert heard(TAKEN, told, TAKEN).flaw_of(Lease(generation=1))


def test_what_changes_no_lease_leaves_known_who_holds_it() -> None:
    """A finding, an iteration and a stop of what nobody holds say nothing of it."""
    lease = heard(TAKEN, ("append_feedback", {"findings": ["c1"]}), ("stop", {"reason": "over"}))

    assert "" == lease.flaw_of(HELD)
    assert lease.flaw_of(Lease(generation=2))
