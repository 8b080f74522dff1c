"""Runs that are interrupted, paused, stopped or shut out from other processes."""

from __future__ import annotations

import os
import signal
import subprocess
from datetime import datetime
from pathlib import Path

import pytest
from cli_user import User, Wait

SLOW_FIX = ("--fix", "echo $$ > fixer.pid; exec sleep 60")
DEAF_FIX = ("--fix", "trap '' TERM; echo $$ > fixer.pid; while :; do sleep 0.2; done")
REVIEW = ("--review", "sh review.sh", "--format", "jsonl")


def _pid(user: User, wait_until: Wait) -> int:
    path = user.tree / "fixer.pid"
    wait_until(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())


def _is_running(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def _end(process: subprocess.Popen[bytes]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_child_and_gives_the_lease_back(
    todo: User, loop_arguments: tuple[str, ...], wait_until: Wait, number: int, code: int
) -> None:
    """It says where it stopped and how to go on; the same command then does."""
    process = todo.start("run", "demo", *REVIEW, *SLOW_FIX)
    pid = _pid(todo, wait_until)
    process.send_signal(number)
    ended, out, err = _end(process)

    assert code == ended
    assert not _is_running(pid)
    assert "stopped at iteration 1, fixing" in err
    assert "`mendloop run demo" in err
    assert "Traceback" not in out + err
    assert "holder" not in todo.state("demo")["mendloop"]["lease"]
    assert 0 == todo("run", "demo", *loop_arguments).code
    assert 3 == todo.state("demo")["iteration"]


def test_a_second_interrupt_ends_at_once(todo: User, wait_until: Wait) -> None:
    """A fixer that ignores SIGTERM is killed by the second Ctrl-C, not after its grace."""
    process = todo.start("run", "demo", *REVIEW, *DEAF_FIX)
    pid = _pid(todo, wait_until)
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    process.send_signal(signal.SIGINT)
    process.wait(3)

    assert 130 == process.returncode
    assert not _is_running(pid)


def test_an_interrupt_is_an_object_in_json(todo: User, wait_until: Wait) -> None:
    """With -o json the interruption is an object on standard error."""
    process = todo.start("run", "demo", *REVIEW, *SLOW_FIX, "-o", "json")
    _pid(todo, wait_until)
    process.send_signal(signal.SIGINT)
    code, _, err = _end(process)

    assert 130 == code
    assert '"error": "Interrupted"' in err.splitlines()[-1]


def test_a_run_ignores_what_its_shell_made_it_ignore(todo: User, wait_until: Wait) -> None:
    """Under nohup the end of the terminal does not end the run."""
    process = todo.start(
        *("run", "demo", *REVIEW, "--fix", "echo $$ > fixer.pid; sleep 1; sh fix.sh"),
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    _pid(todo, wait_until)
    process.send_signal(signal.SIGHUP)
    code, _, _ = _end(process)

    assert 0 == code


def test_a_pause_from_another_process_lets_the_step_end(todo: User, wait_until: Wait) -> None:
    """The step in progress is taken in, no other starts, and the run exits 9."""
    fix = "echo $$ > fixer.pid; until test -e ../go; do sleep 0.1; done; sh fix.sh"
    process = todo.start("run", "demo", *REVIEW, "--fix", fix)
    _pid(todo, wait_until)
    assert 0 == todo("pause", "demo", "--reason", "lunch", "--by", "alice").code
    (todo.folder / "go").touch()
    code, out, _ = _end(process)

    assert 9 == code
    assert "paused by alice: lunch" in out
    assert "mendloop resume demo" in out
    assert "two\nthree\n" == (todo.tree / "todo.txt").read_text()
    assert "Paused" == todo.state("demo")["mendloop"]["phase"]


def test_a_stop_from_another_process_ends_the_child(todo: User, wait_until: Wait) -> None:
    """The run sees it within seconds, ends its child, exits 8, and counts the time until then."""
    process = todo.start("run", "demo", *REVIEW, *SLOW_FIX)
    pid = _pid(todo, wait_until)
    assert 0 == todo("stop", "demo", "--reason", "wrong branch").code
    code, out, err = _end(process)

    assert 8 == code
    assert not _is_running(pid)
    assert "terminated: wrong branch" in out
    assert "Traceback" not in err
    told = todo("explain", "demo", "-o", "json").json()["iterations"][-1]
    began, ended = map(datetime.fromisoformat, (told["started_at"], told["moments"][-1]["at"]))
    assert pytest.approx(told["seconds"]) == (ended - began).total_seconds()
    assert 8 == todo("run", "demo", *REVIEW, *SLOW_FIX).code


def test_a_second_run_of_a_tree_is_refused(todo: User, wait_until: Wait) -> None:
    """Exit code 10: another task in the same folder; who holds it and since when is said."""
    process = todo.start("run", "demo", *REVIEW, *SLOW_FIX, "--by", "alice")
    _pid(todo, wait_until)
    refused = todo("run", "other", *REVIEW, *SLOW_FIX)

    assert 10 == refused.code
    assert "task demo" in refused.err
    assert f"alice, process {process.pid}, since " in refused.err
    assert process.poll() is None


def test_a_second_run_of_a_task_is_refused(todo: User, wait_until: Wait, tmp_path: Path) -> None:
    """Exit code 10: the same task from another folder; who runs it and since when is said."""
    process = todo.start("run", "demo", *REVIEW, *SLOW_FIX, "--by", "alice")
    _pid(todo, wait_until)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    refused = todo("run", "demo", *REVIEW, *SLOW_FIX, "-C", str(elsewhere))

    assert 10 == refused.code
    assert f"run by alice, pid {process.pid} since " in refused.err
    assert f"alice, pid {process.pid}" in todo("list").out
    assert process.poll() is None


def test_a_killed_runs_fixer_is_ended_by_the_next(
    todo: User, loop_arguments: tuple[str, ...], wait_until: Wait
) -> None:
    """A run that was killed leaves its fixer; the next run ends that first, and says so."""
    process = todo.start("run", "demo", *REVIEW, *SLOW_FIX)
    pid = _pid(todo, wait_until)
    process.kill()
    process.wait()
    assert _is_running(pid)
    assert ", gone" in todo("list").out
    ran = todo("run", "demo", *loop_arguments)

    assert 0 == ran.code
    assert not _is_running(pid)
    assert f"ended what an earlier run had left running: process {pid}" in ran.out


def test_a_loop_of_ones_own_goes_on_after_a_killed_run(todo: User, wait_until: Wait) -> None:
    """`increment` takes the task from a dead run at once, ends what that has left, and is told of."""
    process = todo.start("run", "demo", *REVIEW, *SLOW_FIX)
    pid = _pid(todo, wait_until)
    assert 10 == todo("increment", "demo").code
    process.kill()
    process.wait()
    incremented = todo("increment", "demo", "-o", "json")

    assert (0, "") == (incremented.code, incremented.err)
    assert 2 == incremented.json()["iteration"]
    assert not _is_running(pid)
    lease = todo.state("demo")["mendloop"]["lease"]
    assert ("holder" not in lease, str(todo.tree)) == (True, lease["tree"])
    records = todo("audit", "demo", "-o", "json").json()["records"]
    taken, left, _ = [(r["do"], r["door"], r["facts"]) for r in records[-3:]]
    assert ("acquire_lease", "cli", 2) == (*taken[:2], taken[2]["generation"])
    assert ("release_lease", "cli", 2) == (*left[:2], left[2]["generation"])


def test_a_reader_that_goes_away_does_not_end_the_loop(
    todo: User, loop_arguments: tuple[str, ...]
) -> None:
    """`mendloop run | head -1`: the loop is work, and ends with its own exit code."""
    reader, writer = os.pipe()
    process = todo.start("run", "demo", *loop_arguments, stdout=writer)
    os.close(writer)
    os.read(reader, 1)
    os.close(reader)
    _, err = process.communicate(timeout=60)

    assert (0, b"") == (process.returncode, err)
    assert "Completed" == todo.state("demo")["status"]
