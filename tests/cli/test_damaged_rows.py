"""One row of a SQLite file is damaged: each command goes past it, says so, and a repair mends it."""

from __future__ import annotations

import asyncio
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from cli_user import Quick, User
from rot import ANOTHER_TEXT, ROTS, rot, rows
from states import entry

from mendloop.clock import SystemClock
from mendloop.core.codec import rfc3339
from mendloop.core.names import AUDIT, CHUNK, HEAD, HEADLESS, QUARANTINE, QUEUE
from mendloop.core.quarantine import MADE_AT
from mendloop.manager import StateManager
from mendloop.service.queue import DeliveryQueue
from mendloop.stores.sqlite import open_sqlite

pytestmark = pytest.mark.damages

FINDINGS = 200
ROTTEN = "a byte of the body"


async def fill(path: Path) -> None:
    """Make three tasks with histories, an entry of the log, a queued item and a copy."""
    store = await open_sqlite(path)
    async with StateManager(store) as manager:
        for task_id in ("a", "b", "c"):
            await manager.create_task(task_id)
            for first in range(0, FINDINGS, 10):
                await manager.increment_iteration(task_id, max_iterations=1000)
                found = [entry(f"{task_id}{n}") for n in range(first, first + 10)]
                await manager.append_feedback(task_id, *found)
    queue = DeliveryQueue(store, store, clock=SystemClock())
    await queue.put("feedback", b'{"task_id":"a","findings":[]}')
    made_at = {MADE_AT: rfc3339(SystemClock().now())}
    for kind, key, task_id in (
        (QUARANTINE, "task-b-quarantine-0123456789abcdef", "b"),
        (HEADLESS, "task-z-state", "z"),
    ):
        await store.create(kind, key, b"{}", fields=made_at, labels={"task-id": task_id})
    await store.close()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with all of it."""
    path = tmp_path_factory.mktemp("filled") / "state.db"
    asyncio.run(fill(path))
    return path


@pytest.fixture
def tasks(filled: Path, quick: Quick, user: User) -> Quick:
    """The command line on a copy of the file, into which a fourth task came by an import."""
    user.state_folder.mkdir(parents=True)
    shutil.copy(filled, user.store)
    elsewhere = ("--store", "sqlite:other.db")
    assert 0 == quick("increment", "d", *elsewhere).code
    assert 0 == quick("export", "d", "d.jsonl", *elsewhere).code
    assert 0 == quick("import", "d.jsonl").code
    return quick


SPARED = (
    ("list",),
    ("show", "c"),
    ("history", "c"),
    ("explain", "c"),
    ("feedback", "list", "c"),
    ("audit", "c"),
    ("audit", "--log"),
    ("stats",),
    ("restore", "b", "--list"),
    ("increment", "c"),
)
"""These have nothing to say against any row but their own."""

OF_HISTORY = frozenset({HEAD, CHUNK})
KEPT_FOR_A_WHILE = frozenset({QUARANTINE, HEADLESS, AUDIT})
EVERY_ROT = [(kind, how) for kind in (HEAD, CHUNK) for how in ROTS] + [
    (kind, how)
    for kind in (QUEUE, QUARANTINE, HEADLESS, AUDIT)
    for how in (ROTTEN, "no UTF-8 in the fields", "the digest")
]


def others(path: Path, *but: str) -> dict[tuple[str, str], tuple[Any, ...]]:
    """All rows but those whose key begins so."""
    return {name: row for name, row in rows(path).items() if not name[1].startswith(but)}


def damaged(path: Path, kind: str, how: str) -> str:
    """Damage a row of *kind*, of task b where it is of one; returns its key."""
    return rot(path, kind, how, key="task-b-%" if kind in OF_HISTORY else "%")


@pytest.mark.parametrize(("kind", "how"), EVERY_ROT)
def test_every_command_goes_past_a_damaged_row(
    kind: str, how: str, tasks: Quick, user: User
) -> None:
    """What has to say so says so; no byte of the row or of any that is not written to is another."""
    key = damaged(user.store, kind, how)
    raw = rows(user.store)[kind, key]
    before = others(user.store, "task-c-")

    assert {0} == {tasks(*command).code for command in SPARED}
    doctor = tasks("doctor")
    cleanup = tasks("cleanup")
    exported = tasks("export", "--all", "all.jsonl")
    verified = tasks("audit", "--verify")

    is_seen_by_chain = kind == HEAD or (kind == CHUNK and "body" in how)
    assert 17 == doctor.code
    assert f"the row of {kind} '{key}' in {user.store} is damaged" in doctor.out
    assert (13 if kind in KEPT_FOR_A_WHILE else 0) == cleanup.code
    assert (12 if kind in {*OF_HISTORY, QUARANTINE} else 0) == exported.code
    assert "4 tasks" in exported.out
    assert (17 if is_seen_by_chain else 0) == verified.code
    assert raw == rows(user.store)[kind, key]
    assert before == others(user.store, "task-c-")


@pytest.mark.parametrize(("kind", "how"), EVERY_ROT)
def test_a_repair_mends_a_damaged_row_and_touches_no_other(
    kind: str, how: str, tasks: Quick, user: User
) -> None:
    """A copy has what is left of it byte for byte; then nothing is wrong, and all goes on."""
    key = damaged(user.store, kind, how)
    raw = rows(user.store)[kind, key]
    task = "task-b-" if kind in OF_HISTORY else key
    before = others(user.store, task)
    foretold = tasks("doctor", "--repair", "--dry-run")
    assert raw == rows(user.store)[kind, key]

    repaired = tasks("doctor", "--repair", "-o", "json")

    assert 17 == foretold.code
    (row,) = repaired.json()["tasks"]
    assert (17 if row["lost"] else 0) == repaired.code
    copies = [name.removeprefix("quarantine.") for name in row["quarantined"]]
    after = rows(user.store)
    assert raw[-1] in {after[QUARANTINE, copy][-1] for copy in copies}
    assert before == {name: after[name] for name in before}
    assert {(QUARANTINE, copy) for copy in copies} >= others(
        user.store, task
    ).keys() - before.keys()
    assert "nothing is wrong\n" == tasks("doctor").out
    assert 0 == tasks("audit", "--verify").code
    assert 0 == tasks("cleanup").code
    assert 0 == tasks("increment", "b", "--max-iterations", "99").code


@pytest.mark.parametrize("how", ROTS)
def test_a_damaged_state_is_not_written_to_before_a_repair(
    how: str, tasks: Quick, user: User
) -> None:
    """Exit code 12 names the row; a write keeps a copy, and the repair then lowers no counter."""
    key = damaged(user.store, HEAD, how)
    raw = rows(user.store)[HEAD, key]

    shown, written = tasks("show", "b"), tasks("increment", "b")
    (copy,) = tasks("restore", "b", "--list", "-o", "json").json()["copies"][:1]

    assert (12, 12) == (shown.code, written.code)
    told = f"the state of task b cannot be read: the row of head '{key}' in {user.store} is damaged"
    assert told in shown.err
    assert f"a copy kept as {copy['name']}; `mendloop doctor b` tells what to do" in written.err
    assert raw == rows(user.store)[HEAD, key]
    assert tasks("doctor", "b", "--repair").code in {0, 17}
    assert "b: iteration 21 began\n" == tasks("increment", "b", "--max-iterations", "99").out


@pytest.mark.parametrize("how", ["no UTF-8 in the fields", "other labels", "the digest"])
def test_a_state_that_is_as_it_was_committed_loses_nothing(
    how: str, tasks: Quick, user: User
) -> None:
    """Where what is damaged stands beside the state, all of it comes back."""
    before = tasks("feedback", "list", "b", "-o", "json").out
    damaged(user.store, HEAD, how)

    assert 0 == tasks("doctor", "b", "--repair").code
    assert before == tasks("feedback", "list", "b", "-o", "json").out


def test_a_text_that_was_changed_under_the_digest_is_not_passed_over(
    tasks: Quick, user: User
) -> None:
    """What reads as a state, and is not the one that was committed, is told as lost and kept as a copy."""
    damaged(user.store, HEAD, ANOTHER_TEXT)

    repaired = tasks("doctor", "b", "--repair")

    assert 17 == repaired.code
    assert (
        "lost: a part of its state, which can be read and is not what was written" in repaired.out
    )
    assert "it holds" in tasks("feedback", "list", "b").out


def test_a_run_that_holds_a_damaged_task_writes_no_more_after_a_repair(
    tasks: Quick, user: User
) -> None:
    """Which number its lease had is not known for sure: so that is raised above any."""
    begun_at = int(time.time())
    damaged(user.store, HEAD, "the digest")

    tasks("doctor", "b", "--repair")

    assert tasks("show", "b", "-o", "json").json()["mendloop"]["lease"]["generation"] >= begun_at


@pytest.mark.parametrize("how", ROTS)
def test_a_bundle_takes_the_place_of_a_damaged_state(how: str, tasks: Quick, user: User) -> None:
    """It does only where it is told to, also where the damaged bytes are those of the bundle."""
    assert 0 == tasks("export", "b", "b.jsonl").code
    key = damaged(user.store, HEAD, how)
    before = rows(user.store)

    refused = tasks("import", "b.jsonl")
    assert before == rows(user.store)
    replaced = tasks("import", "b.jsonl", "--replace-damaged")

    assert 11 == refused.code
    assert f"the row of head '{key}'" in refused.err
    assert 0 == replaced.code
    kept = [row[-1] for name, row in rows(user.store).items() if name[0] == QUARANTINE]
    assert before[HEAD, key][-1] in kept
    assert "nothing is wrong\n" == tasks("doctor").out


def test_a_copy_of_a_damaged_state_is_put_back(tasks: Quick, user: User) -> None:
    """After a repair, and where a bundle has brought it into another store."""
    damaged(user.store, HEAD, "the digest")
    assert 12 == tasks("export", "--all", "all.jsonl").code
    assert 0 == tasks("doctor", "--repair").code
    elsewhere = ("--store", "sqlite:rescued.db")
    (copy,) = (
        copy
        for copy in tasks("restore", "b", "--list", "-o", "json").json()["copies"]
        if "is damaged" in copy["reason"]
    )

    here = tasks("restore", "b", "--from", copy["name"])
    imported = tasks("import", "all.jsonl", *elsewhere)
    there = tasks("restore", "b", "--from", copy["name"], *elsewhere)

    assert (0, 0) == (here.code, imported.code)
    assert "lost: what stood in the head alone, if anything came since the copy" in there.out
    for store in ((), elsewhere):
        assert 0 == tasks("doctor", *store).code
        assert "b: iteration 21 began\n" == tasks("increment", "b", *store).out


def test_a_damaged_copy_is_not_put_back(tasks: Quick, user: User) -> None:
    """It is refused by name, and the state stays as it is."""
    key = damaged(user.store, QUARANTINE, ROTTEN)
    before = others(user.store)

    refused = tasks("restore", "b", "--from", f"quarantine.{key}")

    assert 12 == refused.code
    assert f"the row of quarantine '{key}'" in refused.err
    assert before == others(user.store)


@pytest.mark.parametrize("kind", [HEAD, CHUNK])
def test_a_repair_that_is_killed_before_it_writes_is_done_by_the_next(
    kind: str, tasks: Quick, user: User
) -> None:
    """The row stays as it is with a copy of it; the next repair goes on, and makes no second one."""
    key = damaged(user.store, kind, ROTTEN)
    raw = rows(user.store)[kind, key]
    user.environment["MENDLOOP_CRASH_AT"] = "repair-decided"
    killed = user.start("doctor", "b", "--repair", start_new_session=True)
    killed.communicate()
    del user.environment["MENDLOOP_CRASH_AT"]
    assert -signal.SIGKILL == killed.returncode
    assert raw == rows(user.store)[kind, key]

    again = tasks("doctor", "b", "--repair")

    assert again.code in {0, 17}
    kept = [row for name, row in rows(user.store).items() if name[0] == QUARANTINE]
    assert 1 == [row[-1] for row in kept].count(raw[-1])
    assert 0 == tasks("doctor").code
