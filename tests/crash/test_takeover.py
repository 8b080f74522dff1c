"""One run at a time: a second is refused, a dead one is succeeded, a stopped one can write no more."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mendloop.runners.identity import start_ticks

LEASE_SECONDS = 2.0

SLOW_FIRST = """
import os, pathlib, runpy, sys, time
log = pathlib.Path(sys.argv[1]).with_name("begun.log")
is_first = not log.exists()
with log.open("a") as begun:
    begun.write(f"{os.getpid()}\\n")
if is_first:
    time.sleep(60)
runpy.run_path(str(pathlib.Path(__file__).with_name("fixer.py")), run_name="__main__")
"""


@contextmanager
def run_in_its_fix(project: Any, *options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A run whose first fixer sleeps, and the number of that fixer."""
    project.fixer = project.tool("slow.py", SLOW_FIRST)
    begun = project.log.with_name("begun.log")
    process = subprocess.Popen(
        project.command(*options),
        env=project.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        wait_for(lambda: begun.exists() and begun.read_text().endswith("\n"))
        yield process, int(begun.read_text().split()[0])
    finally:
        process.kill()
        process.communicate()


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait for what is to happen within a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_second_run_is_told_who_and_since_when(make_project: Callable[..., Any]) -> None:
    """The task is run already: exit code 10, and the holder is named."""
    project = make_project()
    with run_in_its_fix(project) as (holder, _):
        second = project.run()

        assert second.returncode == 10
        assert f"pid {holder.pid}" in second.stderr
        assert "since 20" in second.stderr


def test_two_tasks_in_one_folder_are_refused(make_project: Callable[..., Any]) -> None:
    """Another task on the same work tree: exit code 10, and it is as if nobody had asked."""
    project = make_project()
    with run_in_its_fix(project) as (holder, _):
        command = ["other" if word == "job" else word for word in project.command()]
        second = subprocess.run(
            command, env=project.environment(), capture_output=True, text=True, check=False
        )

        assert second.returncode == 10
        assert "work tree" in second.stderr
        assert str(holder.pid) in second.stderr
        assert ["job"] == project.tasks()


def test_a_dead_holder_is_succeeded_at_once(make_project: Callable[..., Any]) -> None:
    """The holder is killed: the next run takes over without waiting, and goes on in its iteration."""
    project = make_project()
    with run_in_its_fix(project) as (holder, fixer):
        os.killpg(holder.pid, signal.SIGKILL)
        holder.wait()
        started = time.monotonic()
        successor = project.run()

        assert successor.returncode == 0, successor.stderr
        assert time.monotonic() - started < LEASE_SECONDS + 5
        assert start_ticks(fixer) is None


def test_a_stopped_holder_loses_the_task_and_cannot_write(
    make_project: Callable[..., Any],
) -> None:
    """SIGSTOP past the lease, a successor, SIGCONT: the old run writes nothing any more."""
    project = make_project()
    with run_in_its_fix(project, "--lease", f"{LEASE_SECONDS:g}s") as (holder, fixer):
        os.kill(holder.pid, signal.SIGSTOP)
        time.sleep(LEASE_SECONDS + 0.5)
        successor = project.run()
        assert successor.returncode == 0, successor.stderr
        assert start_ticks(fixer) is None
        after, steps = project.state(), project.steps()

        os.kill(holder.pid, signal.SIGCONT)
        _, said = holder.communicate(timeout=60)

        assert holder.returncode == 0, "it finds that the other has completed the task"
        assert "Traceback" not in said
        assert project.state() == after
        assert project.steps() == steps


def test_each_generation_of_killed_runs_is_on_record_once(
    make_project: Callable[..., Any],
) -> None:
    """Runs killed one after another: each take-over has its record, which says from whom."""
    project = make_project()
    for point in ("lease-acquired", "step-begun", "command-ended", "review-recorded", "step-begun"):
        assert project.run(crash_at=point).returncode == -signal.SIGKILL
    assert project.run().returncode == 0
    records = project.records()
    taken = [record["facts"] for record in records if record["do"] == "acquire_lease"]

    assert [1, 2, 3, 4, 5, 6] == [facts["generation"] for facts in taken]
    assert [None, *["tester"] * 5] == [facts.get("taken_from") for facts in taken]
    assert {("tester", "run")} == {(record["by"], record["door"]) for record in records}
    assert 1 == sum(record["do"] == "release_lease" for record in records)
