"""Tasks move from store to store with nothing lost."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from faulty_store import DOWN, FULL, Fault, FaultyStore, in_turn
from logbooks import logbook_of
from passing_store import PassingStore
from porter import Porter, documents, kinds
from states import entry, holder, state

from mendloop.core import commands
from mendloop.core.bundle import Verdict
from mendloop.core.codec import decode_head, encode_state
from mendloop.core.errors import (
    BeingDeleted,
    LeaseHeld,
    StateExists,
    StateNotFound,
    StoreFull,
    StoreUnavailable,
)
from mendloop.core.model import FeedbackEntry, Settings
from mendloop.core.names import AUDIT, CHUNK, HEAD, QUARANTINE, head_name
from mendloop.core.quarantine import copy_key
from mendloop.exporting import Exporter
from mendloop.importing import Importer
from mendloop.manager import StateManager
from mendloop.stores.port import Store

OpenStore = Callable[[str], Awaitable[Store]]

NEWER = (Path(__file__).parents[1] / "golden" / "v2.json").read_bytes()


async def told(store: Store, task_id: str) -> tuple[list[FeedbackEntry], list[int]]:
    """The whole history of a task."""
    async with StateManager(store) as manager:
        found = await manager.require_state(task_id)
        findings = list(await manager.get_feedback_history(task_id))
        return findings, [commit.number async for commit in manager.commits(found)]


@pytest.mark.parametrize(
    ("here", "there"),
    [
        pytest.param("sqlite", "other"),
        pytest.param("sqlite", "configmap", marks=pytest.mark.kubernetes),
        pytest.param("configmap", "sqlite", marks=pytest.mark.kubernetes),
    ],
)
async def test_an_export_of_the_import_is_equal(
    open_store: OpenStore,
    porter: Porter,
    here: str,
    there: str,
    scaled: Callable[[int, int], int],
) -> None:
    """Every document arrives byte for byte, and the history is read back where it is then."""
    one, other = await open_store(here), await open_store(there)
    count = scaled(1000, 100)
    await porter.fill(one, count)
    bundle = await porter.export(one)
    outcomes = await porter.import_(other, bundle)
    again = await porter.export(other)

    assert [Verdict.CREATED] * count == [outcome.verdict for outcome in outcomes]
    assert documents(bundle) == documents(again)
    assert {CHUNK, HEAD} == {kind for _, kind in kinds(bundle)}
    for task_id in ("job-0", "job-1", "job-31"):
        assert await told(one, task_id) == await told(other, task_id)


@pytest.mark.damages
async def test_what_cannot_be_read_is_moved_as_it_is(open_store: OpenStore, porter: Porter) -> None:
    """A newer state, a damaged one, a copy in quarantine, and a history without its head."""
    one, other = await open_store("one"), await open_store("other")
    labels = {"task-id": "42", "team": "x"}
    await one.create(HEAD, head_name("42"), NEWER, fields={"iteration": "3"}, labels=labels)
    await one.create(HEAD, head_name("cut"), b'{"task_id":"cut"', labels={"task-id": "cut"})
    key = copy_key("cut", b"\xff\x00", {})
    await one.create(QUARANTINE, key, b"\xff\x00", labels={"task-id": "cut"})
    alone = copy_key("gone", b"x", {})
    await one.create(QUARANTINE, alone, b"x", labels={"task-id": "gone"})
    await porter.fill(one, 2)
    lost = await one.get(HEAD, head_name("job-1"))
    assert lost is not None
    await one.delete(lost)
    bundle = await porter.export(one)
    await porter.import_(other, bundle)

    assert documents(bundle) == documents(await porter.export(other))
    assert {("job-1", CHUNK), ("cut", QUARANTINE), ("gone", QUARANTINE)} < set(kinds(bundle))
    assert ("job-1", HEAD) not in kinds(bundle)
    arrived = await other.get(HEAD, head_name("42"))
    assert arrived is not None
    assert (NEWER, {"iteration": "3"}, labels) == (arrived.body, arrived.fields, arrived.labels)


async def test_a_run_does_not_hold_the_task_in_the_other_store(
    open_store: OpenStore, porter: Porter
) -> None:
    """The holder stays behind, and nothing else of the head: another run may begin at once."""
    one, other = await open_store("one"), await open_store("other")
    acquire = commands.AcquireLease(
        holder=holder(), ttl_seconds=30, boottime_seconds=1, tree="/home/ann/tree"
    )
    await porter.fill(one, 1)
    async with StateManager(one) as manager:
        await manager.submit("job-0", acquire)
    bundle = await porter.export(one)
    await porter.import_(other, bundle)
    [again] = await porter.import_(other, bundle)
    async with StateManager(other) as manager:
        lease = (await manager.require_state("job-0")).ledger.lease
        taken = await manager.submit(
            "job-0",
            commands.AcquireLease(holder=holder("t2"), ttl_seconds=30, boottime_seconds=1),
        )
    [late] = await porter.import_(other, bundle)

    assert (None, 1, "/home/ann/tree") == (lease.holder, lease.generation, lease.tree)
    assert {"generation": 2} == taken
    assert Verdict.PRESENT is again.verdict
    assert "is newer: it is at commit 4, the bundle at 3" in str(late.error)


async def test_a_task_that_was_taken_in_both_stores_is_not_the_same(
    open_store: OpenStore, porter: Porter
) -> None:
    """Two runs changed nothing else in it, and yet its records tell of two histories."""
    one, other = await open_store("one"), await open_store("other")
    await porter.fill(one, 1)
    await porter.import_(other, await porter.export(one))
    for store in (one, other):
        async with StateManager(store) as manager:
            command = commands.AcquireLease(holder=holder(), ttl_seconds=30, boottime_seconds=1)
            await manager.submit("job-0", command)
    [outcome] = await porter.import_(other, await porter.export(one))

    assert "both went on by themselves after commit 2" in str(outcome.error)


async def test_an_older_state_is_brought_up_to_date(open_store: OpenStore, porter: Porter) -> None:
    """An import on top of an earlier one brings what came since."""
    one, other = await open_store("one"), await open_store("other")
    await porter.fill(one, 2)
    await porter.import_(other, await porter.export(one))
    async with StateManager(one) as manager:
        for number in range(40):
            await manager.append_feedback("job-1", entry(f"later-{number}"))
    bundle = await porter.export(one)
    outcomes = await porter.import_(other, bundle)

    assert [Verdict.PRESENT, Verdict.UPDATED] == [outcome.verdict for outcome in outcomes]
    assert documents(bundle) == documents(await porter.export(other))
    assert await told(one, "job-1") == await told(other, "job-1")


@pytest.mark.parametrize(
    "how",
    [
        *("newer", "another", "forked", "foreign", "held"),
        pytest.param("unreadable", marks=pytest.mark.damages),
    ],
)
async def test_newer_or_other_state_is_not_overwritten(
    open_store: OpenStore, porter: Porter, how: str
) -> None:
    """It is refused by name and stays byte for byte; the other task of the bundle is imported."""
    one, other = await open_store("one"), await open_store("other")
    await porter.fill(one, 2)
    if how not in {"another", "unreadable", "foreign"}:
        await porter.import_(other, await porter.export(one, "job-0"))
    async with StateManager(one) as mine, StateManager(other) as theirs:
        if how in {"forked", "held"}:
            for _ in range(30):
                await mine.append_feedback("job-0", entry(f"x{_}"))
        if how == "held":
            acquire = commands.AcquireLease(holder=holder(), ttl_seconds=9, boottime_seconds=1)
            await theirs.submit("job-0", acquire)
        elif how in {"unreadable", "foreign"}:
            raw = b"{}" if how == "unreadable" else encode_state(state("job-0"))
            await other.create(HEAD, head_name("job-0"), raw)
        else:
            await theirs.increment_iteration("job-0", max_iterations=9)
    before = await other.get(HEAD, head_name("job-0"))
    outcomes = await porter.import_(other, await porter.export(one))

    assert LeaseHeld if how == "held" else StateExists is type(outcomes[0].error)
    assert outcomes[0].error is not None
    assert "job-0" in str(outcomes[0].error)
    assert [None, Verdict.CREATED] == [outcome.verdict for outcome in outcomes]
    assert before == await other.get(HEAD, head_name("job-0"))


async def test_a_newer_state_is_told_before_anything_is_written(
    open_store: OpenStore, porter: Porter
) -> None:
    """Who checks a bundle is told which task is ahead of it, and by which commits."""
    one, other = await open_store("one"), await open_store("other")
    await porter.fill(one, 2)
    bundle = await porter.export(one)
    await porter.import_(other, bundle)
    async with StateManager(other) as manager:
        await manager.append_feedback("job-0", entry("later"))
        ahead = (await manager.require_state("job-0")).ledger.commit
    refused = await Importer(other, logbook_of(other, "import")).check(io.BytesIO(bundle))

    assert ["job-0"] == list(refused)
    told = f"is newer: it is at commit {ahead}, the bundle at {ahead - 1}"
    assert told in str(refused["job-0"])


async def test_another_state_is_told_from_one_that_went_on(
    open_store: OpenStore, porter: Porter
) -> None:
    """Another task of the same id, and the same one at another commit of that number, are both named so."""
    one, other = await open_store("one"), await open_store("other")
    await porter.fill(one, 2)
    await porter.import_(other, await porter.export(one, "job-0"))
    async with StateManager(one) as mine, StateManager(other) as theirs:
        for manager in (mine, theirs):
            await manager.increment_iteration("job-0", max_iterations=9)
        await theirs.append_feedback("job-0", entry("theirs"))
        await mine.append_feedback("job-0", entry("mine"))
        await theirs.create_task("job-1")
        commit = (await mine.require_state("job-0")).ledger.commit
    bundle = io.BytesIO(await porter.export(one))
    refused = await Importer(other, logbook_of(other, "import")).check(bundle)

    assert ["job-0", "job-1"] == list(refused)
    at = f"the store is at commit {commit}, the bundle at {commit}"
    assert at in str(refused["job-0"])
    assert "another of the same id" in str(refused["job-1"])


@pytest.mark.damages
async def test_a_document_of_that_name_with_other_bytes_is_not_taken_for_it(
    open_store: OpenStore, porter: Porter
) -> None:
    """Its task is refused by that name and stays away; the document that is there stays, and the other task comes."""
    one, other = await open_store("one"), await open_store("other")
    await porter.fill(one, 2)
    labels = {"task-id": "job-1"}
    chunk = (await one.list(CHUNK, labels=labels)).documents[0]
    await other.create(CHUNK, chunk.key, b"other bytes", labels=labels)
    [sound, odd] = await porter.import_(other, await porter.export(one))
    there = await other.get(CHUNK, chunk.key)

    assert (Verdict.CREATED, None) == (sound.verdict, odd.verdict)
    assert isinstance(odd.error, StateExists)
    assert chunk.key in str(odd.error)
    assert there is not None
    assert b"other bytes" == there.body
    assert await other.get(HEAD, head_name("job-1")) is None


async def test_no_task_comes_that_could_not_be_told(open_store: OpenStore, porter: Porter) -> None:
    """Where the log does not take the entry, the task is not there; the same import again brings it."""
    one, inner = await open_store("one"), await open_store("other")
    await porter.fill(one, 1)
    bundle = await porter.export(one)
    with pytest.raises(StoreUnavailable):
        await porter.import_(FaultyStore(inner, in_turn([DOWN], kind=AUDIT)), bundle)
    assert await inner.get(HEAD, head_name("job-0")) is None
    [outcome] = await porter.import_(inner, bundle)

    assert Verdict.CREATED is outcome.verdict


async def test_a_task_that_the_store_refuses_is_not_told_as_imported(
    open_store: OpenStore, porter: Porter
) -> None:
    """Its entry is taken back, the other task of the bundle comes, and the same import again brings it."""
    one, inner = await open_store("one"), await open_store("other")
    await porter.fill(one, 2)
    leaving = Fault(is_done=False, error=lambda: BeingDeleted("it is being deleted"))
    outcomes = await porter.import_(
        FaultyStore(inner, in_turn([leaving], kind=HEAD)), await porter.export(one)
    )

    assert [None, Verdict.CREATED] == [outcome.verdict for outcome in outcomes]
    assert isinstance(outcomes[0].error, BeingDeleted)
    told = (await inner.list(AUDIT)).documents
    assert ["job-1"] == [entry.labels["task-id"] for entry in told]
    [again, _] = await porter.import_(inner, await porter.export(one))
    assert Verdict.CREATED is again.verdict


@pytest.mark.parametrize(
    ("in_bundle", "in_store"), [(2, 7), (7, 2), (3, 3), (2, 150), (60, 150), (150, 60)]
)
async def test_a_task_that_went_on_in_both_is_told_as_such(
    open_store: OpenStore, porter: Porter, in_bundle: int, in_store: int
) -> None:
    """Whichever went on further: neither is called newer, the last commit of both is named, and a way on."""
    one, other = await open_store("one"), await open_store("other")
    await porter.fill(one, 1)
    await porter.import_(other, await porter.export(one))
    at = {}
    for store, count in ((one, in_bundle), (other, in_store)):
        async with StateManager(store) as manager:
            common = (await manager.require_state("job-0")).ledger.commit
            for number in range(count):
                await manager.append_feedback("job-0", entry(f"x{number}"))
            at[store] = (await manager.require_state("job-0")).ledger.commit
    before = await other.get(HEAD, head_name("job-0"))

    [outcome] = await porter.import_(other, await porter.export(one))

    told = str(outcome.error)
    assert type(outcome.error) is StateExists
    assert "newer" not in told
    since = f"after commit {common}, the last that both have"
    assert f"{since if min(in_bundle, in_store) < 10 else 'long ago'}: " in told
    assert f"the store is at commit {at[other]}, the bundle at {at[one]}" in told
    assert "import the bundle into an empty store" in told
    assert before == await other.get(HEAD, head_name("job-0"))


async def test_a_task_that_went_on_in_the_store_alone_is_newer(
    open_store: OpenStore, porter: Porter
) -> None:
    """Also where the commit that the bundle stands at is sealed by now."""
    one, other = await open_store("one"), await open_store("other")
    await porter.fill(one, 1)
    await porter.import_(other, await porter.export(one))
    async with StateManager(other) as manager:
        for number in range(60):
            await manager.append_feedback("job-0", entry(f"x{number}"))

    [outcome] = await porter.import_(other, await porter.export(one))

    assert "and is newer: " in str(outcome.error)


async def test_a_task_that_is_not_there_is_named(open_store: OpenStore) -> None:
    """An export of it is refused before anything is written."""
    with pytest.raises(StateNotFound, match="nowhere"):
        await Exporter(await open_store("one")).check(["nowhere"])


async def test_an_import_that_failed_is_gone_on_with(open_store: OpenStore, porter: Porter) -> None:
    """After a full disk the same import again brings what is missing, and nothing twice."""
    one, inner = await open_store("one"), await open_store("other")
    await porter.fill(one, 6)
    bundle = await porter.export(one)
    for kind, passed in ((CHUNK, 0), (CHUNK, 2), (HEAD, 0), (HEAD, 4)):
        other = FaultyStore(inner, in_turn([None] * passed + [FULL], kind=kind))
        with pytest.raises(StoreFull):
            await porter.import_(other, bundle)
        for task_id, of_kind in kinds(await porter.export(inner)):
            assert of_kind != HEAD or await told(one, task_id) == await told(inner, task_id)
    await porter.import_(inner, bundle)

    assert documents(bundle) == documents(await porter.export(inner))


class _Stirred(PassingStore):
    """A store in which somebody writes whenever a chunk is read."""

    def __init__(self, store: Store, stir: Callable[[], Awaitable[None]]) -> None:
        super().__init__(store)
        self._stir = stir

    async def before(self, operation: str, kind: str) -> None:
        if (operation, kind) == ("get", CHUNK):
            await self._stir()


async def test_an_export_under_writes_is_whole(open_store: OpenStore, porter: Porter) -> None:
    """Where chunks are replaced while they are read, the head in the bundle has all it points at."""
    one, other = await open_store("one"), await open_store("other")
    written = 0
    async with StateManager(one) as manager:
        await manager.create_task("busy", settings=Settings(max_iterations=1000))
        await manager.append_feedback(
            "busy", *(entry(f"c{n}", description="x" * 900) for n in range(40))
        )
        await manager.compress_feedback_history("busy")

        async def stir() -> None:
            nonlocal written
            if written < 200:
                await manager.append_feedback(
                    "busy", *(entry(f"w{written + n}", description="x" * 900) for n in range(40))
                )
                await manager.compress_feedback_history("busy")
                written += 40

        bundle = await porter.export(_Stirred(one, stir), "busy")
    await porter.import_(other, bundle)
    findings, commits = await told(other, "busy")
    head = await other.get(HEAD, head_name("busy"))
    assert head is not None

    assert written == 200
    lines = [msgspec.json.decode(line)["document"] for line in documents(bundle)]
    assert len(lines) == len({(line["kind"], line["key"]) for line in lines})
    assert () == porter.exported.problems
    assert decode_head("busy", head.body).findings_total == len(findings)
    assert len(findings) > 40
    assert commits == list(range(1, len(commits) + 1))


async def test_a_missing_chunk_is_told_and_the_rest_is_written(
    open_store: OpenStore, porter: Porter
) -> None:
    """What is damaged is moved as it is, and the export says what is lacking."""
    one = await open_store("one")
    await porter.fill(one, 2)
    page = await one.list(CHUNK, labels={"task-id": "job-1"})
    await one.delete(page.documents[0])
    bundle = await porter.export(one)

    assert [page.documents[0].key in str(problem) for problem in porter.exported.problems] == [True]
    assert [HEAD, HEAD] == [kind for _, kind in kinds(bundle) if kind == HEAD]


async def test_a_lost_chunk_of_a_busy_task_is_told(open_store: OpenStore, porter: Porter) -> None:
    """The export ends, however often the task is written meanwhile, and names what is lacking."""
    one = await open_store("one")
    await porter.fill(one, 2)
    page = await one.list(CHUNK, labels={"task-id": "job-1"})
    await one.delete(page.documents[0])
    count = 0
    async with StateManager(one) as manager:

        async def stir() -> None:
            nonlocal count
            count += 1
            await manager.increment_iteration("job-1", max_iterations=1000)

        bundle = await porter.export(_Stirred(one, stir), "job-1")

    assert [page.documents[0].key in str(problem) for problem in porter.exported.problems] == [True]
    assert [HEAD] == [kind for _, kind in kinds(bundle) if kind == HEAD]
    assert 1 <= count <= 4 * len(page.documents)


async def test_a_task_that_is_removed_meanwhile_is_told(
    open_store: OpenStore, porter: Porter
) -> None:
    """The bundle has what was still there, and the export says that the state is not in it."""
    one = await open_store("one")
    await porter.fill(one, 2)

    async def remove() -> None:
        for kind in (CHUNK, HEAD):
            for document in (await one.list(kind)).documents:
                await one.delete(document)

    bundle = await porter.export(_Stirred(one, remove), "job-1")

    (problem,) = porter.exported.problems
    assert isinstance(problem, StateNotFound)
    assert "job-1 was removed while it was written" in str(problem)
    assert [] == kinds(bundle)


async def test_two_imports_at_once_are_one(open_store: OpenStore, porter: Porter) -> None:
    """Whoever comes second finds it there."""
    one, other = await open_store("one"), await open_store("other")
    await porter.fill(one, 20)
    bundle = await porter.export(one)
    told_by = await asyncio.gather(*(porter.import_(other, bundle) for _ in range(3)))

    verdicts = [outcome.verdict for outcomes in told_by for outcome in outcomes]
    assert 60 == verdicts.count(Verdict.CREATED) + verdicts.count(Verdict.PRESENT)
    assert documents(bundle) == documents(await porter.export(other))
