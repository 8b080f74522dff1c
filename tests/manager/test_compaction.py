"""Whatever leaves the head is read back as it was, and the worst open findings never leave it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cleanups import documents
from compactions import OPERATIONS, run_operations
from faulty_store import FULL, Fault, FaultyStore, in_turn
from hypothesis import given, settings
from patience import eventually
from states import entry

from mendloop.core.codec import encode_state
from mendloop.core.commits import sealed_keys
from mendloop.core.compaction import HEAD_FINDINGS_BYTES
from mendloop.core.errors import StateError, ValidationError
from mendloop.core.model import Settings
from mendloop.core.names import CHUNK
from mendloop.core.vocabulary import Life, Severity, Status
from mendloop.findings import Which
from mendloop.manager import StateManager
from mendloop.stores.port import Store
from mendloop.stores.sqlite import open_sqlite

Manage = Callable[..., StateManager]


@settings(max_examples=5 * settings().max_examples)
@given(operations=OPERATIONS)
def test_what_was_put_in_is_read_back_in_order(
    operations: list[tuple[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Any sequence of appends, edits, resolutions and compactions; the worst open are in the head."""

    async def run(path: Path) -> None:
        store = await open_sqlite(path)
        try:
            await run_operations(store, store, operations)
        finally:
            await store.close()

    asyncio.run(run(tmp_path_factory.mktemp("compaction") / "state.db"))


async def test_the_head_stays_small_however_many_findings_there_are(
    store: FaultyStore, manager: StateManager, scaled: Callable[[int, int], int]
) -> None:
    """All are read back in order, page by page; the head is bounded, and all are known again."""
    count = scaled(20_000, 2_000)
    await manager.create_task("t")
    for first in range(0, count, 50):
        await manager.append_feedback(
            "t", *(entry(f"c{n}", severity=Severity.CRITICAL) for n in range(first, first + 50))
        )
    state = await manager.require_state("t")
    assert len(encode_state(state)) < HEAD_FINDINGS_BYTES + 20_000
    assert count == state.open_total == state.findings_total
    names: list[str] = []
    cursor = None
    while True:
        page = await manager.find("t", Which(severity=Severity.CRITICAL), limit=700, cursor=cursor)
        names += [found.pr_comment_id for found in page.entries]
        cursor = page.cursor
        if cursor is None:
            break
    assert [f"c{n}" for n in range(count)] == names
    again = StateManager(store)
    for number in range(0, count, count // 20):
        known = await again.append_feedback("t", entry(f"c{number}", severity=Severity.CRITICAL))
        assert (0, 1) == (known["new"], known["known"])
    assert count == (await again.require_state("t")).findings_total


async def test_a_repeat_is_known_after_two_reads_at_most(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """With nothing at hand: the finding of a redelivery, and the answer to an old operation id."""
    await manager.create_task("t", settings=Settings(max_iterations=10_000))
    for first in range(0, 3000, 10):
        await manager.append_feedback(
            "t", *(entry(f"c{n}") for n in range(first, first + 10)), op_id=f"op{first}"
        )
    reads: list[str] = []
    get = store.get

    async def counting(kind: str, key: str) -> Any:
        reads.append(kind)
        return await get(kind, key)

    store.get = counting  # type: ignore[method-assign]
    for number in (0, 740, 1500, 2950, 2999):
        reads.clear()
        await manage(store).append_feedback("t", entry(f"c{number}"))
        assert reads.count("chunk") <= 2
        reads.clear()
        told_again = await manage(store).append_feedback(
            "t", entry("never"), op_id=f"op{number // 10 * 10}"
        )
        assert 10 == told_again["new"]
        assert reads.count("chunk") <= 2


@pytest.mark.parametrize(("kind", "which"), [("chunk", 0), ("chunk", 1), ("head", 0)])
async def test_a_failed_compaction_loses_nothing(
    store: FaultyStore, manager: StateManager, manage: Manage, kind: str, which: int
) -> None:
    """The disk fills up at one of the documents of a compaction: the next one succeeds."""
    await manager.create_task("t")
    for first in range(0, 700, 20):
        await manager.append_feedback("t", *(entry(f"c{n}") for n in range(first, first + 20)))
    store.choose = in_turn([None] * which + [FULL], kind=kind)
    with pytest.raises(StateError):
        await manager.compress_feedback_history("t")
    read = await manage(store).get_feedback_history("t")
    assert [f"c{n}" for n in range(700)] == [found.pr_comment_id for found in read]
    store.choose = in_turn([])
    assert 700 == await manage(store).compress_feedback_history("t")
    read = await manager.get_feedback_history("t")
    assert [f"c{n}" for n in range(700)] == [found.pr_comment_id for found in read]


async def test_of_two_compactions_at_once_one_wins(place: Store, manage: Manage) -> None:
    """The other has its chunks written, is refused its head, and finds nothing left to seal; on both stores."""
    gate = asyncio.Event()
    paused = FaultyStore(place, in_turn([Fault(is_done=False, error=None, until=gate)]))
    winner, loser = manage(place), manage(paused, deadline_seconds=60.0)
    await winner.create_task("t")
    await winner.append_feedback("t", *(entry(f"c{n}") for n in range(300)))
    await winner.append_feedback("t", entry("c300"))
    losing = asyncio.create_task(loser.compress_feedback_history("t"))
    await eventually(lambda: paused.calls["replace head"] > 0)
    written = paused.calls["create chunk"]
    await winner.compress_feedback_history("t")
    won = (await winner.require_state("t")).ledger.findings
    gate.set()
    await losing

    state = await manage(place).require_state("t")
    changes = [change.do async for commit in winner.commits(state) for change in commit.changes]
    assert (2, 2) == (paused.calls["replace head"], changes.count("compress"))
    assert 0 < written == paused.calls["create chunk"]
    assert won == state.ledger.findings
    read = await manage(place).get_feedback_history("t")
    assert [f"c{n}" for n in range(301)] == [found.pr_comment_id for found in read]
    assert (301, 301) == (state.findings_total, state.open_total)
    await winner.cleanup_old_states()
    stored = {key for _, key, _ in await documents(place, CHUNK)}
    assert sealed_keys(state) == stored


async def test_a_reader_is_never_torn(store: FaultyStore, manage: Manage) -> None:
    """Who reads while chunks are made anew and removed gets every finding, in order."""
    writer, reader = manage(store), manage(store)
    await writer.create_task("t")

    async def write() -> None:
        for first in range(0, 3000, 25):
            await writer.append_feedback("t", *(entry(f"c{n}") for n in range(first, first + 25)))

    writing = asyncio.create_task(write())
    count = 0
    while not writing.done():
        read = [found.pr_comment_id for found in await reader.get_feedback_history("t")]
        assert [f"c{n}" for n in range(len(read))] == read
        assert len(read) >= count
        count = len(read)
        await asyncio.sleep(0)
    await writing


async def test_a_sealed_finding_is_judged_by_its_name(manager: StateManager) -> None:
    """An open one by how its id begins, one that is not open by its whole id; counts stay exact."""
    await manager.create_task("t")
    for first in range(0, 300, 50):
        await manager.append_feedback("t", *(entry(f"c{n:03}") for n in range(first, first + 50)))
    await manager.compress_feedback_history("t")
    in_head = {found.pr_comment_id for found in (await manager.require_state("t")).feedback_history}
    assert "c150" not in in_head
    told = await manager.judge("t", Life.DISMISSED, "c150", reason="generated", op_id="op")
    assert told == await manager.judge("t", Life.DISMISSED, "c150", reason="again", op_id="op")
    state = await manager.require_state("t")
    assert (299, 300) == (state.open_total, state.findings_total)
    page = await manager.find("t", Which(life=Life.DISMISSED))
    assert ["c150"] == [found.pr_comment_id for found in page.entries]
    assert page.entries == await manager.get_feedback_history("t", Which(life=Life.DISMISSED))
    with pytest.raises(ValidationError, match=r"'c15' may be any of 10 findings"):
        await manager.judge("t", Life.DEFERRED, "c15", reason="later")
    await manager.append_feedback("t", entry("other"))
    await manager.judge("t", Life.DEFERRED, "oth", reason="later")
    await manager.compress_feedback_history("t")
    await manager.judge("t", Life.REOPENED, "c150", reason="it is real")
    assert 300 == (await manager.require_state("t")).open_total
    assert 301 == len(await manager.get_feedback_history("t"))


async def test_a_whole_state_can_hold_what_was_sealed(manager: StateManager) -> None:
    """A sealed finding that is brought back in is replaced, not doubled; the others count on."""
    await manager.create_task("t")
    await manager.append_feedback("t", *(entry(f"c{n}") for n in range(300)))
    await manager.compress_feedback_history("t")
    state, read = await manager.require_state("t"), await manager.get_feedback_history("t")
    replace = msgspec.structs.replace
    assert "c150" not in {found.pr_comment_id for found in state.feedback_history}
    brought = (*state.feedback_history, replace(read[150], resolved=True))
    await manager.create_or_update_state(replace(state, feedback_history=brought))
    after = await manager.require_state("t")
    assert (299, 300) == (after.open_total, after.findings_total)
    names = [found.pr_comment_id for found in await manager.get_feedback_history("t")]
    assert [f"c{n}" for n in range(300)] == names

    resolved = tuple(replace(found, resolved=True) for found in after.feedback_history)
    ended = replace(after, status=Status.COMPLETED, feedback_history=resolved)
    with pytest.raises(
        ValidationError, match=f"{sum(after.ledger.findings.open)} findings are open"
    ):
        await manager.create_or_update_state(ended)


async def test_a_write_is_answered_though_what_it_left_behind_cannot_be_removed(
    store: FaultyStore, manage: Manage
) -> None:
    """The store falls silent while an old tail is removed: nobody is told that nothing was written."""
    silence = asyncio.Event()
    hang = Fault(is_done=True, error=None, until=silence)
    store.choose = lambda operation, kind: (
        hang if (operation, kind) == ("delete", "chunk") else None
    )
    manager = manage(store, deadline_seconds=0.2)
    await manager.create_task("t")
    for number in range(120):
        assert 1 == (await manager.append_feedback("t", entry(f"c{number}")))["new"]
    assert store.calls["delete chunk"] > 0
    silence.set()
    await manager.close()
    names = [found.pr_comment_id for found in await manager.get_feedback_history("t")]
    assert [f"c{number}" for number in range(120)] == names
