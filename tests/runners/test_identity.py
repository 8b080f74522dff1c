from __future__ import annotations

import os
import shutil
import time
from typing import Any

import msgspec
import pytest

from mendloop.runners import processes
from mendloop.runners.identity import (
    boot_id,
    end_leftover,
    identify_child,
    is_alive,
    pid_namespace,
    start_ticks,
    this_process,
)


@pytest.fixture
def sleeper(start: Any, token: str) -> Any:
    """A process without the token."""
    return start("sleep", "60")


def test_this_process_is_alive(token: str) -> None:
    """The holder that this process names itself by is seen to run."""
    holder = this_process("ann@laptop", token)

    assert ("ann@laptop", token, os.getpid()) == (holder.name, holder.token, holder.pid)
    assert is_alive(holder) is True


def test_a_child_is_alive_until_it_ends(sleeper: Any, token: str) -> None:
    """A child is alive, and dead as soon as it has ended, reaped or not."""
    child = identify_child(sleeper.pid, token)
    assert is_alive(child) is True

    sleeper.kill()
    while start_ticks(sleeper.pid) is not None:
        time.sleep(0.01)

    assert is_alive(child) is False
    sleeper.wait()
    assert is_alive(child) is False


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"start_ticks": 1}, False),
        ({"pid": 2**40}, False),
        ({"boot_id": "another"}, None),
        ({"boot_id": ""}, None),
        ({"pid_namespace": "pid:[1]"}, None),
    ],
)
def test_only_what_can_be_told_is_told(changes: dict[str, Any], answer: bool | None) -> None:
    """A reused number is dead; of another boot or namespace nothing can be told."""
    holder = msgspec.structs.replace(this_process("a", "t"), **changes)

    assert answer is is_alive(holder)


def test_process_1_is_seen_although_it_is_not_ours() -> None:
    """A process of another user is alive, or cannot be told; it is never called dead."""
    init = msgspec.structs.replace(this_process("a", "t"), pid=1, start_ticks=start_ticks(1) or 0)

    assert is_alive(init) is not False


def test_names_are_stable() -> None:
    """Boot and namespace have one name each."""
    assert boot_id() == boot_id() != ""
    assert pid_namespace() == pid_namespace()


def test_a_reused_number_is_not_killed(sleeper: Any, token: str) -> None:
    """A stranger that got the number of an old child, and has no token, lives on."""
    child = msgspec.structs.replace(identify_child(sleeper.pid, token), start_ticks=1)

    assert [] == end_leftover(child)
    assert sleeper.poll() is None


def test_a_reused_group_is_not_killed(start: Any, token: str) -> None:
    """A stranger that leads a group with the number of an old child lives on."""
    stranger = start("sleep", "60", start_new_session=True)
    child = msgspec.structs.replace(identify_child(stranger.pid, token), start_ticks=1)

    assert [] == end_leftover(child)
    assert stranger.poll() is None


@pytest.mark.parametrize("change", [{"boot_id": "another"}, {"pid_namespace": "pid:[1]"}])
def test_nothing_of_another_machine_is_killed(
    sleeper: Any, change: dict[str, str], token: str
) -> None:
    """Numbers of another boot or namespace mean nothing here."""
    child = msgspec.structs.replace(identify_child(sleeper.pid, token), **change)

    assert [] == end_leftover(child)
    assert sleeper.poll() is None


def test_a_child_without_a_token_is_told_by_its_start(start: Any, sleeper: Any, token: str) -> None:
    """Number and start time together are proof; an empty token is no proof for anybody else."""
    bystander = start("sleep", "60", env={**os.environ, "MENDLOOP_RUN": ""})
    child = identify_child(sleeper.pid, "")

    assert [sleeper.pid] == end_leftover(child)
    assert bystander.poll() is None


def test_a_run_never_ends_itself_or_who_started_it(start_python: Any, token: str) -> None:
    """A process that carries the token of the run it cleans up after is spared, as are those above."""
    script = """
import subprocess, sys
from mendloop.runners.identity import end_leftover, identify_child
mate = subprocess.Popen(["sleep", "60"], start_new_session=True)
own = subprocess.Popen(["env", "-i", "sleep", "60"])
child = identify_child(mate.pid, sys.argv[1])
print(end_leftover(child) == [mate.pid], own.poll())
own.kill(), own.wait(), mate.wait()
"""
    process = start_python(script, token, env={**os.environ, "MENDLOOP_RUN": token})
    out, _ = process.communicate(timeout=30)

    assert b"True None\n" == out


def test_a_child_that_forks_while_it_is_ended_is_ended_whole(
    start: Any, gone: Any, token: str
) -> None:
    """Processes that appear between the looks are found by the next look."""
    line = "trap '' TERM; while :; do setsid sleep 60 & sleep 0.02; done"
    process = start(
        "/bin/sh", "-c", line, env={**os.environ, "MENDLOOP_RUN": token}, start_new_session=True
    )
    child = identify_child(process.pid, token)
    time.sleep(0.3)

    ended = end_leftover(child, grace_seconds=0.3)
    entry = f"MENDLOOP_RUN={token}"

    assert gone(process.pid)
    assert process.pid in ended
    assert [] == [pid for pid in processes.table() if processes.carries(pid, entry)]


@pytest.mark.skipif(shutil.which("ps") is None, reason="no ps here")
def test_ps_tells_what_proc_tells(start: Any) -> None:
    """Where there is no /proc, ps names the same processes, each with a start of its own."""
    process = start("sleep", "60", start_new_session=True)
    (told,) = processes.ask_ps("-p", str(process.pid))
    seen = processes.look(process.pid)

    assert seen is not None
    assert (seen.pid, seen.parent, seen.group) == (told.pid, told.parent, told.group)
    assert abs(time.time() - told.start_ticks) < 60
    assert process.pid in {one.pid for one in processes.ask_ps("-A")}


@pytest.mark.skipif(shutil.which("ps") is None, reason="no ps here")
def test_ps_leaves_out_what_is_gone(start: Any) -> None:
    """A process that ended is not told of, reaped or not."""
    process = start("true")
    while start_ticks(process.pid) is not None:
        time.sleep(0.01)

    assert [] == processes.ask_ps("-p", str(process.pid))
