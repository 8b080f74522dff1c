from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Any

import pytest

from mendloop.core.errors import RunError
from mendloop.runners.group import ProcessGroup

DEAF = "trap '' TERM INT HUP; echo $$ > pid; while :; do sleep 0.1; done"


async def test_a_command_over_its_time_is_ended(bench: Any, gone: Any) -> None:
    """A hanging command gets SIGTERM when its time is up, and the outcome says so."""
    outcome = await bench.run("sleep 60", timeout_seconds=0.3)

    assert "timed out after 0.3 s" == outcome.problem
    assert (True, signal.SIGTERM) == (outcome.is_timeout, outcome.signal)
    assert 0.3 <= outcome.duration_seconds < 30
    assert gone(bench.children[0].pid)


async def test_a_command_may_tidy_up_within_the_grace(bench: Any) -> None:
    """What a command prints and does on SIGTERM still counts; it has timed out all the same."""
    bench.runner._grace_seconds = 30
    outcome = await bench.run(
        "trap 'echo tidy; exit 0' TERM; echo begun; while :; do sleep 0.05; done",
        timeout_seconds=2,
    )

    assert b"begun\ntidy\n" == outcome.stdout.read_bytes()
    assert ("timed out after 2 s", 0) == (outcome.problem, outcome.exit_code)


async def test_a_command_deaf_to_sigterm_is_killed(bench: Any, gone: Any) -> None:
    """Who ignores SIGTERM gets SIGKILL after the grace, and its children as well."""
    outcome = await bench.run(f"({DEAF}) & {DEAF}", timeout_seconds=2)

    assert (True, signal.SIGKILL) == (outcome.is_timeout, outcome.signal)
    assert outcome.duration_seconds < 30
    assert gone(bench.read_pid("pid"))


async def test_a_background_process_that_holds_the_pipe_does_not_hang_the_step(
    bench: Any, gone: Any
) -> None:
    """A step ends soon after its leader, and what it left in the background ends with it."""
    outcome = await bench.run("sleep 60 & echo $! > pid; echo done")

    assert ("", b"done\n") == (outcome.problem, outcome.stdout.read_bytes())
    assert 1.9 < outcome.duration_seconds < 30
    assert gone(bench.read_pid("pid"))


async def test_a_silent_background_process_is_ended_at_once(bench: Any, gone: Any) -> None:
    """A background process that holds no pipe is not waited for, only ended."""
    outcome = await bench.run("sleep 60 >/dev/null 2>&1 & echo $! > pid")

    assert outcome.duration_seconds < 1.9, "it lingers for 2 s"
    assert gone(bench.read_pid("pid"))


async def test_late_output_of_the_background_is_kept(bench: Any) -> None:
    """What a background process prints within the linger is part of the output."""
    outcome = await bench.run("(sleep 0.4; echo late) & echo early")

    assert b"early\nlate\n" == outcome.stdout.read_bytes()


async def test_who_left_the_group_with_the_pipe_does_not_hang_the_step(
    bench: Any, gone: Any, kill_later: list[int]
) -> None:
    """A daemon of a step that ended by itself is left alone, also when it holds the pipe."""
    outcome = await bench.run("setsid sh -c 'echo $$ > pid; exec sleep 60' & echo done")
    pid = await bench.read_pid_later("pid")
    kill_later.append(pid)

    assert "" == outcome.problem
    assert outcome.duration_seconds < 30
    assert not gone(pid)


async def test_a_step_cut_off_takes_with_it_who_left_the_group(bench: Any, gone: Any) -> None:
    """When the time is up, nothing of the step goes on working in the tree."""
    await bench.run("setsid sh -c 'echo $$ > pid; exec sleep 60' & sleep 60", timeout_seconds=2)

    assert gone(bench.read_pid("pid"))


async def test_a_cancelled_caller_gets_its_cancellation_after_the_end(
    bench: Any, gone: Any
) -> None:
    """Cancellation propagates when the command and all it started are gone."""
    task = asyncio.create_task(bench.run(f"setsid sh -c 'echo $$ > away; exec sleep 60' & {DEAF}"))
    pids = [await bench.read_pid_later("pid"), await bench.read_pid_later("away")]

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert [True, True] == [gone(pid) for pid in pids]


async def test_a_second_cancellation_does_not_wait_for_the_grace(bench: Any, gone: Any) -> None:
    """An impatient caller gets SIGKILL instead of the grace, and leaves nothing."""
    bench.runner._grace_seconds = 30
    task = asyncio.create_task(bench.run(DEAF))
    pid = await bench.read_pid_later("pid")
    begun = time.monotonic()

    task.cancel()
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert time.monotonic() - begun < 15
    assert gone(pid)


async def test_a_cut_off_step_does_not_end_those_beside_it(bench: Any) -> None:
    """The time limit of one step is nothing to another one of the same run."""
    slow, good = await asyncio.gather(
        bench.run("sleep 60", timeout_seconds=0.2), bench.run("sleep 1; echo good")
    )

    assert slow.is_timeout
    assert ("", b"good\n") == (good.problem, good.stdout.read_bytes())


async def test_a_child_that_cannot_be_recorded_does_not_begin(bench: Any, gone: Any) -> None:
    """An error while recording reaches the caller, and the command never ran."""
    pids: list[int] = []

    async def on_start(child: Any) -> None:
        pids.append(child.pid)
        raise RunError("no room")

    bench.on_start = on_start
    with pytest.raises(RunError, match="no room"):
        await bench.run("touch began")

    assert gone(pids[0])
    assert [] == list(bench.cwd.iterdir())


async def test_the_exit_is_seen_without_process_descriptors(bench: Any) -> None:
    """Where the kernel has no process descriptors, the leader's exit is polled for."""

    class Polling(ProcessGroup):
        def _watch_exit(self) -> int:
            self._poll_exit()
            return -1

    group = Polling("sleep 0.2; exit 3", cwd=bench.cwd, environment=dict(os.environ))
    group.open_gate()
    await asyncio.wait_for(group.exited, 5)
    await group.end(grace_seconds=1)
    group.close()

    assert 3 == group.exit_status
