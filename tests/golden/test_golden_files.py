"""
Every layout that was ever written is read, and a newer one is left as it is.

The files are never made anew: v1.json is as the specification's own writer lays it out, schema-1.json
and layout-1.db are as mendloop 0.1.0 wrote them, and the bundles hold whole tasks of a later schema each.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest
from porter import Porter, documents
from states import entry, holder
from states import state as specified

from mendloop.cli.main import run
from mendloop.core.codec import decode_state, encode_state
from mendloop.core.commands import AcquireLease
from mendloop.core.diagnosis import SymptomKind
from mendloop.core.errors import HistoryDamaged, ReadOnlyState
from mendloop.core.model import Settings
from mendloop.core.names import CHUNK, HEAD, QUARANTINE, head_name
from mendloop.core.run import Lease
from mendloop.core.vocabulary import Status
from mendloop.manager import StateManager
from mendloop.stores.sqlite import open_sqlite

HERE = Path(__file__).parent

_FEEDBACK = ("--severity", "High", "--issue-type", "Bug", "--description", "d")


def test_a_state_of_the_specification_is_read() -> None:
    """All eight fields come out, and nothing of ours is made up."""
    state = decode_state((HERE / "v1.json").read_bytes())

    assert (state.task_id, state.iteration, state.status) == ("42", 3, Status.IN_PROGRESS)
    assert [entry.resolved for entry in state.feedback_history] == [True, False]
    assert state.metadata["pr_number"] == "117"
    assert not state.mendloop


def test_a_state_of_the_specification_stands_as_one_that_nothing_is_kept_of() -> None:
    """Its ledger is there to be read, with every default, and writing the state adds none."""
    state = decode_state((HERE / "v1.json").read_bytes())

    assert (Settings(), Lease(), ()) == (
        state.ledger.settings,
        state.ledger.lease,
        state.ledger.rounds,
    )
    assert b'"mendloop"' not in encode_state(state)


def test_times_of_the_specification_are_kept_to_the_last_digit() -> None:
    """A finding's time is written back as it was read, nanoseconds and offset too."""
    written = encode_state(decode_state((HERE / "v1.json").read_bytes()))

    assert b'"2025-08-14T09:12:44.123456789Z"' in written
    assert b'"2025-08-14T10:02:07+02:00"' in written


def test_a_state_of_schema_1_is_written_back_as_it_is() -> None:
    """Reading and writing our own first schema changes no byte."""
    raw = (HERE / "schema-1.json").read_bytes()

    assert encode_state(decode_state(raw)) == raw


@pytest.mark.parametrize(("schema", "chained"), [(2, 0), (3, 40)])
async def test_whole_tasks_of_a_schema_are_read_back_and_gone_on_with(
    tmp_path: Path, schema: int, chained: int
) -> None:
    """Head and sealed history arrive as they are, all of it is read, and the next change is made."""
    raw = (HERE / f"schema-{schema}.jsonl").read_bytes()
    store = await open_sqlite(tmp_path / "state.db")
    porter = Porter()
    assert [None, None] == [outcome.error for outcome in await porter.import_(store, raw)]
    again = await porter.export(store)
    async with StateManager(store) as manager:
        state = await manager.require_state("long")
        findings = await manager.get_feedback_history("long")
        commits = [commit.number async for commit in manager.commits(state)]
        before = await manager.verify_records("long")
        number = await manager.increment_iteration("long")
        after = await manager.verify_records("long")
    await store.close()

    assert documents(raw) == documents(again)
    assert (schema, 40, 39) == (state.ledger.schema, len(findings), number)
    assert list(range(1, 41)) == commits
    assert ((), chained) == (before.flaws, before.chained)
    assert ((), chained + 1) == (after.flaws, after.chained)


@pytest.mark.other_hands
async def test_a_state_of_the_specification_is_taken_on(tmp_path: Path) -> None:
    """The counter goes on from where the other writer left it, and its findings are still there."""
    store = await open_sqlite(tmp_path / "state.db")
    await store.create(HEAD, head_name("42"), (HERE / "v1.json").read_bytes())
    async with StateManager(store) as manager:
        number = await manager.increment_iteration("42")
        history = await manager.get_feedback_history("42")
    await store.close()

    assert number == 4
    assert [entry.pr_comment_id for entry in history] == ["2187453321", "2187460098"]


@pytest.mark.damages
async def test_a_newer_state_is_refused_and_left_alone(tmp_path: Path) -> None:
    """Each way to change it is refused, and not one byte is another."""
    raw = (HERE / "v2.json").read_bytes()
    store = await open_sqlite(tmp_path / "state.db")
    before = await store.create(HEAD, head_name("42"), raw)
    async with StateManager(store) as manager:
        for change in (
            manager.increment_iteration("42"),
            manager.pause("42", reason="r"),
            manager.resume("42"),
            manager.stop("42", reason="r"),
            manager.create_task("42"),
            manager.append_feedback("42", entry("c1")),
            manager.create_or_update_state(specified("42")),
            manager.compress_feedback_history("42"),
            manager.submit("42", AcquireLease(holder=holder(), ttl_seconds=30, boottime_seconds=1)),
        ):
            with pytest.raises(ReadOnlyState) as refusal:
                await change
            assert refusal.value.raw == raw
    after = await store.get(HEAD, head_name("42"))
    await store.close()

    assert after == before


@pytest.mark.damages
def test_a_newer_state_is_shown_by_the_command_line_and_never_changed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`show` gives its bytes on, every command that writes is refused with code 12."""
    raw = (HERE / "v2.json").read_bytes()
    place = ("--store", f"sqlite:{tmp_path / 'state.db'}")
    exported = (*place, "export", "42")
    tree = tmp_path / "tree"
    tree.mkdir()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))

    async def put() -> None:
        store = await open_sqlite(tmp_path / "state.db")
        await store.create(HEAD, head_name("42"), raw)
        await store.close()

    asyncio.run(put())
    run([*exported, str(tmp_path / "before")])
    for command in (
        ("increment", "42"),
        ("pause", "42", "--reason", "r"),
        ("resume", "42"),
        ("stop", "42"),
        ("feedback", "add", "42", *_FEEDBACK),
        ("run", "42", "--review", "true", "--fix", "true", "-C", str(tree)),
    ):
        assert 12 == run([*command, *place]), command
        assert "upgrade to change it" in capfd.readouterr().err
    run([*exported, str(tmp_path / "after")])
    capfd.readouterr()
    code = run(["show", "42", *place, "-o", "json"])

    assert json.loads(raw) == json.loads(capfd.readouterr().out)
    assert 0 == code
    before, after = ((tmp_path / name).read_bytes().splitlines() for name in ("before", "after"))
    assert before[1] == after[1]
    assert json.loads(before[1])["document"]["text"].encode() == raw


async def test_a_store_of_layout_1_is_read_and_gone_on_with(tmp_path: Path) -> None:
    """The first file layout opens, lists, reads its history back and takes writes."""
    shutil.copy(HERE / "layout-1.db", tmp_path / "state.db")
    store = await open_sqlite(tmp_path / "state.db")
    async with StateManager(store) as manager:
        page = await manager.list_tasks()
        long = await manager.get_state("long")
        assert long is not None
        commits = [commit.number async for commit in manager.commits(long)]
        number = await manager.increment_iteration("long")
    await store.close()

    assert [task.task_id for task in page.tasks] == ["job", "long"]
    assert commits == list(range(1, 61))
    assert number == 61


async def test_a_chunk_of_schema_1_that_was_changed_is_not_read(tmp_path: Path) -> None:
    """Its digest stands in the head: what still is JSON is told as damaged, and repaired by its rows."""
    shutil.copy(HERE / "layout-1.db", tmp_path / "state.db")
    store = await open_sqlite(tmp_path / "state.db")
    chunk = (await store.list(CHUNK)).documents[0]
    await store.delete(chunk)
    changed = chunk.body.replace(b'"iteration":7', b'"iteration":9')
    await store.create(CHUNK, chunk.key, changed, labels=chunk.labels)
    async with StateManager(store) as manager:
        long = await manager.require_state("long")
        with pytest.raises(HistoryDamaged, match="commits 1 to 16"):
            _ = [commit async for commit in manager.commits(long)]
        symptoms = (await manager.validate_state("long")).symptoms
        recovery = await manager.recover_state("long")
        copies = [document.body for document in (await store.list(QUARANTINE)).documents]
        number = await manager.increment_iteration("long")
    await store.close()

    assert changed != chunk.body
    assert [SymptomKind.BROKEN_CHUNK] == [symptom.kind for symptom in symptoms]
    assert changed in copies
    assert 61 == recovery.iteration + 1 == number
