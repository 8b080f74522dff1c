"""The chain of a task's records: whole after any commands, and broken by any change of a record."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import pytest
from any_command import COMMANDS
from chains import Keeper, placed
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from states import any_struct, entry, holder

from mendloop.core import commands
from mendloop.core.chain import link_of
from mendloop.core.codec import digest, encode
from mendloop.core.migrations import migrated
from mendloop.core.model import Commit, RemediationState
from mendloop.core.run import Lease
from mendloop.core.verifying import FlawKind, Verdict

_FINDINGS = st.builds(
    lambda name, size: commands.AppendFeedback(
        entries=tuple(entry(f"{name}{n}", description="x" * 900) for n in range(size))
    ),
    st.sampled_from("abcd"),
    st.integers(1, 30),
)


@given(st.lists(COMMANDS | _FINDINGS | st.just(commands.Compress()), min_size=1, max_size=60))
def test_records_are_whole_after_any_commands(asked: list[commands.Command]) -> None:
    """Whatever is asked, sealed and compressed, one record a commit hangs on the chain, from the first."""
    keeper = Keeper()
    for number, command in enumerate(asked):
        before = keeper.commit
        keeper.apply(command, op_id=f"op {number}")
        assert keeper.commit - before in {0, 1}
    if keeper.state is None:
        return
    verdict = keeper.verdict()

    assert () == verdict.flaws
    assert () == verdict.notes
    assert keeper.commit == verdict.records == verdict.chained


@pytest.fixture(scope="module")
def long() -> Keeper:
    """A task with records in the state, in the tail and in a chunk."""
    keeper = Keeper()
    keeper.apply(commands.Create(), op_id="create")
    for number in range(320):
        keeper.apply(commands.Pause(reason=f"p{number}"), op_id=f"pause {number}")
        keeper.apply(commands.Resume(), op_id=f"resume {number}")
    assert 3 == len(keeper.places())
    return keeper


def _altered(commit: Commit) -> Commit:
    return replace(commit, changes=(replace(commit.changes[0], by="mallory"),))


@pytest.mark.parametrize("place", [0, 1, 2], ids=["chunk", "tail", "head"])
@pytest.mark.parametrize("where", [0, 1, 7, -1])
def test_a_changed_record_is_named(long: Keeper, place: int, where: int) -> None:
    """One name altered: that record alone is told, with its place."""
    commits = long.places()[place][1]
    number = commits[where].number
    commits[where] = _altered(commits[where])
    verdict = long.verdict(place, commits)

    assert [(FlawKind.CHANGED, number, number)] == _told(verdict)
    assert [long.places()[place][0]] == [flaw.place for flaw in verdict.flaws]


@pytest.mark.parametrize("place", [0, 1, 2], ids=["chunk", "tail", "head"])
@pytest.mark.parametrize("where", [0, 1, 5, -1])
def test_a_record_whose_link_was_made_anew_is_found(long: Keeper, place: int, where: int) -> None:
    """Who changes a record and its link has the next one not go on from it."""
    every = long.every()
    commits = long.places()[place][1]
    number = commits[where].number
    before = every[number - 2].link if number > 1 else ""
    changed = _altered(commits[where])
    commits[where] = replace(changed, link=link_of(before, changed))
    verdict = long.verdict(place, commits)

    named = number + 1 if number < long.commit else number
    assert [(FlawKind.CHANGED, named, named)] == _told(verdict)
    assert number == long.commit or f"after record {number}" in verdict.flaws[0].what


@pytest.mark.parametrize("place", [0, 1, 2], ids=["chunk", "tail", "head"])
@pytest.mark.parametrize("where", [0, 1, 5, -2])
def test_a_removed_record_is_named(long: Keeper, place: int, where: int) -> None:
    """One record gone: its number is told, whatever stands on both sides."""
    commits = long.places()[place][1]
    gone = commits.pop(where)
    verdict = long.verdict(place, commits)

    assert [(FlawKind.MISSING, gone.number, gone.number)] == _told(verdict)
    assert [long.places()[place][0]] == [flaw.place for flaw in verdict.flaws]


@pytest.mark.parametrize("place", [0, 1, 2], ids=["chunk", "tail", "head"])
def test_records_in_another_order_are_named(long: Keeper, place: int) -> None:
    """Two records swapped: both are told, and no other."""
    commits = long.places()[place][1]
    commits[1], commits[2] = commits[2], commits[1]
    verdict = long.verdict(place, commits)

    expected = sorted((FlawKind.MOVED, c.number, c.number) for c in commits[1:3])
    assert expected == _told(verdict)


def test_a_record_in_the_place_of_another_is_named(long: Keeper) -> None:
    """Renamed to each other's numbers, two records are those that were changed."""
    commits = long.places()[0][1]
    one, other = commits[4], commits[5]
    commits[4], commits[5] = replace(other, number=5), replace(one, number=6)
    verdict = long.verdict(0, commits)

    assert {(FlawKind.CHANGED, 5, 5), (FlawKind.CHANGED, 6, 6)} <= set(_told(verdict))


@pytest.mark.parametrize("count", [1, 3])
def test_a_cut_tail_is_named(long: Keeper, count: int) -> None:
    """The latest records gone: the state knows how many there were."""
    commits = long.places()[2][1][:-count]
    verdict = long.verdict(2, commits)

    first = long.commit - count + 1
    assert [(FlawKind.CUT, first, long.commit)] == _told(verdict)


def test_a_cut_beginning_is_named(long: Keeper) -> None:
    """The oldest records gone: the chain began with the first."""
    verdict = long.verdict(0, long.places()[0][1][3:])

    assert [(FlawKind.MISSING, 1, 3)] == _told(verdict)


def _without_chain(state: RemediationState) -> RemediationState:
    return replace(state, mendloop=replace(state.ledger, chain=None))


def _counted_down(state: RemediationState) -> RemediationState:
    ledger = state.ledger
    assert ledger.chain is not None
    return replace(state, mendloop=replace(ledger, chain=replace(ledger.chain, count=7)))


def _other_head(state: RemediationState) -> RemediationState:
    ledger = state.ledger
    assert ledger.chain is not None
    return replace(state, mendloop=replace(ledger, chain=replace(ledger.chain, head="0" * 32)))


def _raised(state: RemediationState) -> RemediationState:
    return replace(state, iteration=state.iteration + 1)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (_without_chain, FlawKind.CUT),
        (_counted_down, FlawKind.CUT),
        (_other_head, FlawKind.CHANGED),
        (_raised, FlawKind.OUTSIDE),
    ],
)
def test_a_state_that_disagrees_with_its_records_is_told(
    long: Keeper, change: Callable[[RemediationState], RemediationState], kind: FlawKind
) -> None:
    """What the state says of its chain, and the state itself, are compared with the last record."""
    assert long.state is not None

    assert [kind] == [flaw.kind for flaw in long.verdict(state=change(long.state)).flaws]


def _keeper(*asked: commands.Command) -> Keeper:
    keeper = Keeper()
    for number, command in enumerate((commands.Create(), *asked)):
        keeper.apply(command, op_id=f"op {number}")
    return keeper


def _leased(keeper: Keeper, lease: Lease) -> RemediationState:
    assert keeper.state is not None
    return replace(keeper.state, mendloop=replace(keeper.state.ledger, lease=lease))


def _take(name: str, abandoned: tuple[int, int] | None = None) -> commands.AcquireLease:
    who = replace(holder(name), name=name)
    return commands.AcquireLease(
        holder=who, ttl_seconds=30.0, boottime_seconds=1.0, abandoned=abandoned
    )


_GIVE_BACK = commands.ReleaseLease(generation=1)
_BEA = replace(holder("x"), name="bea")
_STOPPED = (_take("ann"), commands.Stop(reason="r"))


@pytest.mark.parametrize(
    ("asked", "lease", "what"),
    [
        ((_take("ann"),), Lease(generation=1, holder=_BEA), "the records tell of ann with 1"),
        ((_take("ann"),), Lease(generation=2, holder=_BEA), "the records tell of ann with 1"),
        ((_take("ann"), _GIVE_BACK), Lease(generation=1, holder=_BEA), "tell of nobody"),
        (_STOPPED, Lease(generation=2, holder=_BEA), "tell of nobody"),
        (_STOPPED, Lease(generation=1), "has generation 1, and the records tell of 2"),
        ((_take("ann"), _take("bea", (1, 0))), Lease(generation=1), "the records tell of 2"),
    ],
)
def test_a_lease_that_no_record_tells_of_is_named(
    asked: tuple[commands.Command, ...], lease: Lease, what: str
) -> None:
    """Another holder than the one who took it last, one after it was given back, a lowered number."""
    keeper = _keeper(*asked)
    [flaw] = keeper.verdict(state=_leased(keeper, lease)).flaws

    assert (FlawKind.OUTSIDE, keeper.commit) == (flaw.kind, flaw.first)
    assert what in flaw.what
    assert () == keeper.verdict().flaws


@pytest.mark.parametrize(
    ("asked", "lease"),
    [
        ((_take("ann"),), Lease(generation=1)),
        ((_take("ann"),), Lease(generation=1_800_000_000)),
        ((_take("ann"), commands.Recover(repaired=("r",), lost=(), quarantined=())), Lease()),
        ((), Lease(generation=7, holder=_BEA)),
        ((), Lease(generation=7)),
    ],
    ids=["imported", "raised by an import", "after a repair", "taken by an older", "given back"],
)
def test_a_lease_that_no_record_can_tell_of_is_not_named(
    asked: tuple[commands.Command, ...], lease: Lease
) -> None:
    """An import and a repair change it, and an older mendloop told nothing of leases."""
    keeper = _keeper(*asked)

    assert () == keeper.verdict(state=_leased(keeper, lease)).flaws


def test_a_lease_is_not_judged_by_records_with_a_gap() -> None:
    """What was missing may have told of it: the missing record is named, and the lease is not."""
    keeper = _keeper(_take("ann"), _GIVE_BACK, _take("ann"), commands.Pause(reason="r"))
    commits = keeper.every()
    del commits[3]
    [flaw] = keeper.verdict(0, commits).flaws

    assert (FlawKind.MISSING, 4) == (flaw.kind, flaw.first)


def test_a_chain_that_was_begun_anew_is_told(long: Keeper) -> None:
    """Who takes the chain out of the state has the next record stand alone, and it is named."""
    keeper = long.copy()
    assert keeper.state is not None
    keeper.state = _without_chain(keeper.state)
    keeper.apply(commands.Pause(reason="p"), op_id="after")
    verdict = keeper.verdict()

    assert [(FlawKind.CHANGED, keeper.commit, keeper.commit)] == _told(verdict)
    assert "nothing says why" in verdict.flaws[0].what


def test_a_link_that_was_taken_away_is_named(long: Keeper) -> None:
    """A record without its link is no record of an older mendloop where others have theirs."""
    commits = long.places()[0][1]
    commits[0] = replace(commits[0], link="")
    first = _told(long.verdict(0, commits))
    commits = long.places()[0][1]
    commits[9] = replace(commits[9], link="")
    later = _told(long.verdict(0, commits))

    assert [(FlawKind.CHANGED, 1, 1)] == first
    assert [(FlawKind.CHANGED, 10, 10)] == later


def test_a_chain_begins_where_an_older_mendloop_ended() -> None:
    """Records without a link are no flaw, and the one that begins the chain is told."""
    keeper = Keeper()
    keeper.apply(commands.Create(), op_id="create")
    keeper.apply(commands.Pause(reason="p"), op_id="pause")
    assert keeper.state is not None
    ledger = replace(keeper.state.ledger, schema=2, min_writer=2, chain=None)
    old = replace(keeper.state, mendloop=ledger)
    commits = tuple(replace(c, link="", digest=digest(old)) for c in ledger.commits)
    keeper.state = replace(old, mendloop=replace(ledger, commits=commits))
    before = keeper.verdict()
    keeper.apply(commands.Resume(), op_id="resume")
    after = keeper.verdict()

    assert ((), (2, 0)) == (before.flaws, (before.records, before.chained))
    assert ((), (3, 1)) == (after.flaws, (after.records, after.chained))
    assert "begins with record 3" in after.notes[0]
    assert 3 == migrated(ledger).schema == keeper.state.ledger.min_writer


def test_a_link_can_be_made_by_anybody(long: Keeper) -> None:
    """It is SHA-256 of the link before, a line feed, and the record as sorted JSON without its link."""
    before, commit = long.every()[11:13]
    content = json.loads(encode(commit))
    link = content.pop("link")
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    made = hashlib.sha256(f"{before.link}\n{text}".encode()).hexdigest()
    assert link == made[:32]


@given(any_struct(Commit))
def test_a_link_survives_the_store(commit: Commit) -> None:
    """What was written and read back has the link that was made of it."""
    read = placed(encode(commit))

    assert link_of("before", commit) == link_of("before", read)
    assert link_of("other", commit) != link_of("before", commit)


def _told(verdict: Verdict) -> list[tuple[FlawKind, int, int]]:
    return sorted((flaw.kind, flaw.first, flaw.last) for flaw in verdict.flaws)


def test_a_number_that_cannot_be_is_told_at_once(long: Keeper) -> None:
    """A record of number four billion, and a repair that names as many lost ones, take no time."""
    commits = long.places()[2][1]
    told = replace(commits[-1].changes[0], do="recover", facts={"missing": [[7, 2**32], "no span"]})
    repair = replace(commits[-1], number=2**32 - 1, changes=(told,))
    commits[-1] = replace(repair, link=link_of("", repair))
    verdict = long.verdict(2, commits)

    assert [(FlawKind.CUT, 2**32 - 1, 2**32 - 1)] == _told(verdict)
    assert f"records {long.commit} to {2**32 - 2} were lost" in verdict.notes[-1]


def test_who_takes_records_out_cannot_say_so_in_the_next_one(long: Keeper) -> None:
    """A record behind a gap proves nothing, and so excuses nothing: a forged repair in it neither."""
    commits = long.places()[0][1]
    forged = replace(commits[9].changes[0], do="recover", facts={"missing": [[5, 9]]})
    commits[9] = replace(commits[9], changes=(forged,))
    del commits[4:9]
    once = _told(long.verdict(0, commits))
    commits[4] = replace(commits[4], link=link_of("", commits[4]))
    twice = _told(long.verdict(0, commits))

    assert [(FlawKind.MISSING, 5, 9)] == once
    assert [(FlawKind.CHANGED, 11, 11)] == twice


@pytest.mark.parametrize(
    ("told", "is_excused"),
    [((5, 9), True), ((4, 10), True), ((5, 8), False), ((6, 9), False), ((9, 9), False)],
)
def test_a_repair_excuses_what_it_names_and_no_more(
    long: Keeper, told: tuple[int, int], *, is_excused: bool
) -> None:
    """Of records that are missing each has to be among those that a repair could not bring back."""
    keeper = long.copy()
    repair = commands.Recover(repaired=("x",), lost=(), quarantined=(), missing=(told,))
    keeper.apply(repair, op_id="repair")
    commits = keeper.places()[0][1]
    del commits[4:9]

    assert ([] if is_excused else [(FlawKind.MISSING, 5, 9)]) == _told(keeper.verdict(0, commits))
