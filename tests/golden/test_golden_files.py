"""
Every layout that was ever written is read, and a newer one is left as it is.

The files are never made anew: v1.json is as the specification's own writer lays it out,
schema-1.json and layout-1.db are as mendloop 0.1.0 wrote them.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mendloop.core.codec import decode_state, encode_state
from mendloop.core.errors import ReadOnlyState
from mendloop.core.model import Settings
from mendloop.core.names import HEAD, head_name
from mendloop.core.run import Lease
from mendloop.core.vocabulary import Status
from mendloop.manager import StateManager
from mendloop.stores.sqlite import open_sqlite

HERE = Path(__file__).parent


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
        ):
            with pytest.raises(ReadOnlyState) as refusal:
                await change
            assert refusal.value.raw == raw
    after = await store.get(HEAD, head_name("42"))
    await store.close()

    assert after == before


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
