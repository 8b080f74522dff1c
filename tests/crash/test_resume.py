"""A run that is killed anywhere is gone on with, and ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from mendloop.core.codec import decode_state, digest
from mendloop.crashpoints import CRASH_POINTS
from mendloop.runners.identity import start_ticks

IS_SOAK = os.environ.get("MENDLOOP_SOAK", "0") == "1"
SEEDS = range(20 if IS_SOAK else 2)
RECOVERY_SECONDS = 5.0

MET_ONCE = {"task-created", "lease-acquired", "loop-finished", "lease-released"}
"""Points that an undisturbed run passes once; it passes the others at least twice."""

IN_A_RUN = CRASH_POINTS[: CRASH_POINTS.index("lease-released") + 1]

TIMES = {"timestamp", "last_update", "at", "started_at", "budget_from", "begun_at"}
OPERATION_IDS = {"op_id", "id", "incarnation", "keys"}
PACKED = {"digest", "size_bytes", "link", "head"}


ACQUIRE, RELEASE = LEASE = ("acquire_lease", "release_lease")
"""A run that was killed is taken over, which an undisturbed one is not: one more of these."""

NUMBERED = {"lease", "commit", "commits", "chain", "log"}
"""What of the state moves with the number of records."""


def without_times_ids_and_lease(project: Any) -> dict[str, Any]:
    """
    Tell the state and every record, without what may differ: times, operation ids, lease.

    A commit's digest is over a state with times in it, its link and a chunk's digest are over commits:
    the last state's are verified, then all are left out as the times that they stand for, and so are sizes of what
    times are spelled in and the operation ids' own digests. A task's incarnation is the id of its first commit, which
    a long run has sealed. Who took the task and gave it back is left out with the numbers that it moves; see
    `check_leases`.
    """
    state = project.state()
    decoded = decode_state(json.dumps(state).encode())
    ledger = state["mendloop"]
    assert ledger["commits"][-1]["digest"] == digest(decoded)
    assert ledger["chain"] == {"count": ledger["commit"], "head": ledger["commits"][-1]["link"]}
    first = ledger["commits"][0]
    assert first["number"] > 1 or first["id"] == ledger["incarnation"]
    records = project.records()
    assert [record["to_commit"] for record in records] == list(range(1, ledger["commit"] + 1))
    bare = {key: value for key, value in ledger.items() if key not in NUMBERED}
    stripped: dict[str, Any] = _strip(state | {"mendloop": bare})
    return stripped | {"records": [_strip(r, "record") for r in records if r["do"] not in LEASE]}


def check_leases(project: Any) -> None:
    """Each generation that was given out has one record, and was given back or taken over in it."""
    given: list[int] = []
    held = 0
    for record in project.records():
        facts = record["facts"]
        if record["do"] == ACQUIRE:
            assert ("taken_from" in facts) == bool(held)
            held = facts["generation"]
            given.append(held)
        elif record["do"] == RELEASE:
            assert held == facts["generation"]
            held = 0
    lease = project.state()["mendloop"]["lease"]

    assert given == list(range(1, lease["generation"] + 1))
    assert bool(held) == ("holder" in lease)


def _strip(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {
            name: _strip(member, name)
            for name, member in value.items()
            if name not in TIMES | OPERATION_IDS | PACKED
            and not (key == "record" and name in {"from_commit", "to_commit"})
        }
    if isinstance(value, list):
        return [_strip(member) for member in value]
    return "time" if key.startswith("iteration_") and key.endswith("_started") else value


def test_the_comparison_sees_more_than_nothing(make_project: Callable[..., Any]) -> None:
    """Two undisturbed runs on different faults differ in what is compared."""
    one, other = make_project(faults=7), make_project(faults=6)
    assert one.run().returncode == 0
    assert other.run().returncode == 0

    assert without_times_ids_and_lease(one) != without_times_ids_and_lease(other)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("point", IN_A_RUN)
def test_a_killed_run_ends_like_an_undisturbed_one(
    point: str, seed: int, make_project: Callable[..., Any]
) -> None:
    """SIGKILL of the process group at each point: the next run resumes, and nothing differs."""
    draw = random.Random(f"{point} {seed}")
    faults, fixes = draw.randint(4, 9), draw.randint(2, 3)
    place = 1 if point in MET_ONCE else draw.randint(1, 2)
    undisturbed, project = (make_project(faults=faults, fixes=fixes) for _ in range(2))
    assert undisturbed.run().returncode == 0

    crashed = project.run(crash_at=f"{point}:{place}")

    assert crashed.returncode == -signal.SIGKILL, f"{point} was not reached: {crashed.stderr}"
    before = project.state() if point != "head-decided" or place > 1 else {"iteration": 0}
    started = time.monotonic()
    resumed = project.run("-o", "json")
    assert resumed.returncode == 0, resumed.stderr
    assert time.monotonic() - started < RECOVERY_SECONDS
    assert _first_iteration(resumed.stdout) == before["iteration"]
    expected = without_times_ids_and_lease(undisturbed)
    assert without_times_ids_and_lease(project) == expected
    check_leases(project)


def _first_iteration(lines: str) -> int:
    """The iteration at which a run went on, or at which it found the task ended."""
    events = [json.loads(line) for line in lines.splitlines()]
    return int(next(e for e in events if e["event"] in {"run_started", "finished"})["iteration"])


@pytest.mark.parametrize(
    "point", ["step-begun", "command-recorded", "reports-read", "head-written"]
)
def test_recovering_twice_at_once_does_it_once(
    point: str, make_project: Callable[..., Any]
) -> None:
    """Two runs that both want to go on: one does, the other says who, or finds it done."""
    undisturbed, project = make_project(), make_project()
    assert undisturbed.run().returncode == 0
    assert project.run(crash_at=f"{point}:2").returncode == -signal.SIGKILL

    both = [
        subprocess.Popen(
            project.command(),
            env=project.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(2)
    ]
    codes = sorted(process.wait(timeout=60) for process in both)

    assert codes in ([0, 0], [0, 10])
    expected = without_times_ids_and_lease(undisturbed)
    assert without_times_ids_and_lease(project) == expected
    check_leases(project)


SLOW = """
import os, pathlib, runpy, sys, time
log = pathlib.Path(sys.argv[1]).with_name("spans.log")
with log.open("a") as spans:
    spans.write(f"begin {os.getpid()}\\n")
time.sleep(float(os.environ.get("SLOW_SECONDS", "0")))
try:
    runpy.run_path(str(pathlib.Path(__file__).with_name("%s")), run_name="__main__")
finally:
    with log.open("a") as spans:
        spans.write(f"end {os.getpid()}\\n")
"""


@pytest.mark.parametrize("tool", ["reviewer", "fixer"])
def test_what_a_killed_run_left_running_is_ended(
    tool: str, make_project: Callable[..., Any]
) -> None:
    """A reviewer or fixer that outlives its run never runs beside the next one's."""
    undisturbed, project = make_project(), make_project()
    for each in (undisturbed, project):
        setattr(each, tool, each.tool("slow.py", SLOW % f"{tool}.py"))
    assert undisturbed.run().returncode == 0
    spans = project.log.with_name("spans.log")
    process = subprocess.Popen(
        project.command(),
        env=project.environment(SLOW_SECONDS="30"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    _wait_for(lambda: spans.exists() and "begin" in spans.read_text())
    left = int(spans.read_text().split()[1])
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert start_ticks(left) is not None

    resumed = project.run()

    assert resumed.returncode == 0, resumed.stderr
    assert start_ticks(left) is None
    lines = [line.split() for line in spans.read_text().splitlines()]
    assert lines[0] == ["begin", str(left)]
    assert all(
        a[0] == "begin" and b == ["end", a[1]]
        for a, b in zip(lines[1::2], lines[2::2], strict=True)
    )
    expected = without_times_ids_and_lease(undisturbed)
    assert without_times_ids_and_lease(project) == expected
    check_leases(project)


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_crash_between_chunk_and_head_loses_nothing(make_project: Callable[..., Any]) -> None:
    """Killed after history was sealed and before the head points at it: the next try succeeds."""
    project = make_project()
    increment = [
        *(sys.executable, "-m", "mendloop", "increment", "job", "--store", project.store),
        *("--max-iterations", "1000", "-o", "json"),
    ]
    numbers: list[int] = []
    is_killed = False
    for _ in range(100):
        done = subprocess.run(
            increment,
            env=project.environment(MENDLOOP_CRASH_AT="" if is_killed else "chunk-written"),
            capture_output=True,
            timeout=60,
            start_new_session=True,
            check=False,
        )
        if done.returncode == -signal.SIGKILL:
            is_killed = True
        else:
            numbers.append(json.loads(done.stdout)["iteration"])

    assert is_killed
    assert numbers == list(range(1, 100))
