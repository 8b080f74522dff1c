"""The commands that take tasks away and bring them back."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from cli_user import Quick, User

from mendloop.core.names import HEAD, head_name
from mendloop.stores.sqlite import open_sqlite

SHORT = ("--retention", "0.001", "--grace", "0.001")


def test_a_deleted_task_is_hidden_and_comes_back(quick: Quick) -> None:
    """It is in no list but with --deleted, says who and why and what to do, and refuses the rest."""
    quick("increment", "demo")
    assert 11 == quick("delete", "demo", "--reason", "x").code
    quick("stop", "demo")
    deleted = quick("delete", "demo", "--reason", "a duplicate", "--by", "ann")
    assert "demo is deleted; `mendloop restore demo` brings it back\n" == deleted.out
    assert [] == quick("list", "-o", "json").json()["tasks"]
    (row,) = quick("list", "--deleted", "-o", "json").json()["tasks"]
    assert "Failed (deleted)" == row["state"]
    shown = quick("show", "demo").out
    assert "deleted by ann" in shown
    assert "a duplicate" in shown
    assert "`mendloop restore demo` brings it back" in shown
    refused = quick("increment", "demo")
    assert 11 == refused.code
    assert "`mendloop restore demo`" in refused.err

    assert "demo is back as it was\n" == quick("restore", "demo").out
    assert 1 == len(quick("list", "-o", "json").json()["tasks"])
    assert 11 == quick("restore", "demo").code
    told = quick("history", "demo").out
    assert "deleted: a duplicate" in told
    assert "restored" in told


def test_a_cleanup_tells_what_it_did(quick: Quick) -> None:
    """A row for each task, a line for all; a dry run says what would be; twice removes for good."""
    for task in ("one", "two", "busy"):
        quick("increment", task)
    for task in ("one", "two"):
        quick("stop", task)
    quick("hold", "two", "--reason", "evidence")
    time.sleep(0.01)
    dry = quick("cleanup", "--dry-run", *SHORT)
    assert 0 == dry.code
    assert ["TASK  OUTCOME"] == dry.out.splitlines()[:1]
    assert "one   would be deleted, and can be restored" in dry.out
    assert "two   kept: it is held" in dry.out
    assert "busy  kept: in progress, and stale" in dry.out
    report = quick("cleanup", *SHORT, "-o", "json").json()
    assert (["one"], [], ["two"], ["busy"]) == tuple(
        report[name] for name in ("deleted", "removed", "held", "stale")
    )
    time.sleep(0.01)
    assert "one   removed for good" in quick("cleanup", *SHORT).out

    assert 3 == quick("restore", "one").code
    quick("hold", "two", "--release")
    assert ["two"] == quick("cleanup", *SHORT, "-o", "json").json()["deleted"]
    assert 0 == quick("cleanup", *SHORT).code


def test_a_young_task_stays(quick: Quick) -> None:
    """By default nothing goes before a week has passed, and a time that is none is refused."""
    quick("increment", "demo")
    quick("stop", "demo")

    assert [] == quick("cleanup", "-o", "json").json()["deleted"]
    assert 2 == quick("cleanup", "--retention", "soon").code


def cut(path: Path, task_id: str) -> int:
    """Cut off the end of a head, past mendloop; returns how many bytes are left."""

    async def run() -> int:
        store = await open_sqlite(path)
        head = await store.get(HEAD, head_name(task_id))
        assert head is not None
        await store.replace(head, head.body[:-1])
        await store.close()
        return len(head.body) - 1

    return asyncio.run(run())


def test_a_copy_is_listed_and_restored(user: User, quick: Quick) -> None:
    """The list names copy, of what, bytes and why; the restore says what it did, and once is enough."""
    quick("increment", "demo")
    assert "there are no copies of demo\n" == quick("restore", "demo", "--list").out
    size_bytes = cut(user.store, "demo")
    quick("doctor", "demo", "--repair")
    quick("increment", "demo")

    told = quick("restore", "demo", "--list").out
    [copy] = quick("restore", "demo", "--list", "-o", "json").json()["copies"]
    assert ["COPY", "OF", "MADE", "BYTES", "WHY"] == told.splitlines()[0].split()
    assert all(word in told for word in (copy["name"], "task-demo-state", str(size_bytes)))
    assert (size_bytes, "task-demo-state") == (copy["size_bytes"], copy["of"])

    restored = quick("restore", "demo", "--from", copy["name"])
    assert "demo is restored, at iteration 2; lost: nothing" in restored.out
    assert "a copy of what was there is kept as quarantine.task-demo-quarantine-" in restored.out
    assert 0 == restored.code
    assert f"restored from {copy['name']} at iteration 2" in quick("history", "demo").out
    again = quick("restore", "demo", "--from", copy["name"])
    assert (0, True) == (again.code, "already" in again.out)
    assert 3 == quick("increment", "demo", "-o", "json").json()["iteration"]


def test_what_is_no_copy_of_the_task_is_refused(quick: Quick) -> None:
    """A missing copy is exit code 3, a name of something else 11, both options at once 2."""
    quick("increment", "demo")
    name = "quarantine.task-demo-quarantine-0123456789abcdef"
    missing = quick("restore", "demo", "--from", name)
    assert (3, True) == (missing.code, "`mendloop restore demo --list`" in missing.err)
    assert 11 == quick("restore", "other", "--from", name).code
    assert 11 == quick("restore", "demo", "--from", "task-demo-state").code
    assert 2 == quick("restore", "demo", "--from", name, "--list").code
    assert 1 == quick("show", "demo", "-o", "json").json()["iteration"]
