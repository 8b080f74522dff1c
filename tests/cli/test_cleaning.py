"""The commands that take tasks away and bring them back."""

from __future__ import annotations

import time

from cli_user import Quick

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
