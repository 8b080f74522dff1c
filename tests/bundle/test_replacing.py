"""A bundle takes the place of a state that is damaged, where it is told to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from porter import Porter, documents

from mendloop.core.bundle import Verdict
from mendloop.core.diagnosis import SymptomKind
from mendloop.core.errors import StateExists
from mendloop.core.names import HEAD, head_name
from mendloop.manager import StateManager
from mendloop.stores.port import Document, Store

OpenStore = Callable[[str], Awaitable[Store]]

NEWER = (Path(__file__).parents[1] / "golden" / "v2.json").read_bytes()


async def damage(store: Store, task_id: str, change: Callable[[bytes], bytes]) -> Document:
    """Change a head past mendloop."""
    head = await store.get(HEAD, head_name(task_id))
    assert head is not None
    return await store.replace(
        head, change(head.body), fields=head.fields, labels=head.labels | {"task-id": task_id}
    )


@pytest.mark.parametrize(
    "kind", ["sqlite", pytest.param("configmap", marks=pytest.mark.kubernetes)]
)
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda body: body[: len(body) // 2], id="cut"),
        pytest.param(lambda _: b"", id="emptied"),
        pytest.param(lambda body: body.replace(b"job-1", b"job-7"), id="of another task"),
    ],
)
async def test_it_takes_the_place_of_a_damaged_state(
    open_store: OpenStore, porter: Porter, kind: str, change: Callable[[bytes], bytes]
) -> None:
    """What is damaged is kept byte for byte, all is as it was exported, and the log tells who did it."""
    store = await open_store(kind)
    await porter.fill(store, 3)
    bundle = await porter.export(store)
    broken = await damage(store, "job-1", change)
    [_, refused, _] = await porter.import_(store, bundle)

    outcomes = await porter.import_(store, bundle, is_replacing=True)
    again = await porter.import_(store, bundle, is_replacing=True)

    async with StateManager(store, by="ann") as manager:
        assert 12 == len(await manager.get_feedback_history("job-1"))
        assert (await manager.validate_state("job-1")).is_sound
        assert () == (await manager.verify_records("job-1")).flaws
        [copy] = await manager.list_copies("job-1")
        [entry] = (await manager.read_log()).entries
    kept = await store.get("quarantine", copy.name.removeprefix("quarantine."))
    assert "--replace-damaged copies it aside" in str(refused.error)
    wanted = [Verdict.PRESENT, Verdict.REPLACED, Verdict.PRESENT]
    assert wanted == [outcome.verdict for outcome in outcomes]
    assert [Verdict.PRESENT] * 3 == [outcome.verdict for outcome in again]
    assert kept is not None
    assert (broken.body, copy.name) == (kept.body, outcomes[1].copy)
    assert ("import", "job-1", "ann") == (entry.do, entry.task_id, entry.by)
    assert f"it was damaged, and replaced: a copy is kept as {copy.name}" == entry.why


@pytest.mark.damages
@pytest.mark.parametrize(
    ("task_id", "change"),
    [
        pytest.param("job-1", lambda _: NEWER.replace(b'"42"', b'"job-1"'), id="newer version"),
        pytest.param("job-0", None, id="another task of the id"),
    ],
)
async def test_what_is_not_damaged_stays(
    open_store: OpenStore,
    porter: Porter,
    task_id: str,
    change: Callable[[bytes], bytes] | None,
) -> None:
    """What a newer version wrote, and a sound state that is not the bundle's, are left as they are."""
    one, other = await open_store("one"), await open_store("other")
    await porter.fill(one, 2)
    bundle = await porter.export(one, task_id)
    await porter.fill(other, 2)
    if change is not None:
        await damage(other, task_id, change)
    before = await porter.export(other)
    [outcome] = await porter.import_(other, bundle, is_replacing=True)

    assert isinstance(outcome.error, StateExists)
    assert "--replace-damaged" not in str(outcome.error)
    assert documents(before) == documents(await porter.export(other))


@pytest.mark.damages
async def test_a_damaged_state_is_not_replaced_by_another(
    open_store: OpenStore, porter: Porter
) -> None:
    """A bundle that was made after the damage brings nothing better."""
    store = await open_store("one")
    await porter.fill(store, 1)
    await damage(store, "job-0", lambda body: body[:-1])
    bundle = await porter.export(store)
    broken = await damage(store, "job-0", lambda body: body[:-1])
    [outcome] = await porter.import_(store, bundle, is_replacing=True)

    left = await store.get(HEAD, head_name("job-0"))
    assert isinstance(outcome.error, StateExists)
    assert left is not None
    assert (broken.revision, broken.body) == (left.revision, left.body)


async def test_history_since_the_bundle_is_found(open_store: OpenStore, porter: Porter) -> None:
    """A repair goes on from the bundle with what was sealed since; no run of before writes any more."""
    store = await open_store("one")
    await porter.fill(store, 2)
    bundle = await porter.export(store)
    async with StateManager(store, by="ann") as manager:
        held = (await manager.require_state("job-1")).ledger.lease.generation
        for _ in range(20):
            await manager.increment_iteration("job-1", max_iterations=30)
        await manager.compress_feedback_history("job-1")
        reached = (await manager.require_state("job-1")).iteration
        await damage(store, "job-1", lambda body: body[:-1])
        await porter.import_(store, bundle, is_replacing=True)
        diagnosis = await manager.validate_state("job-1")
        replaced = await manager.require_state("job-1")
        recovery = await manager.recover_state("job-1")

    assert held + 1 < replaced.ledger.lease.generation
    assert SymptomKind.OLD_HEAD in {symptom.kind for symptom in diagnosis.symptoms}
    assert replaced.iteration < recovery.iteration <= reached
