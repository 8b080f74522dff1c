from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mendloop.core.errors import RunError, WorkTreeBusy
from mendloop.runners.identity import identify_child, is_alive, this_process
from mendloop.runners.worktree import WorkTreeLock

IS_SOAK = bool(os.environ.get("MENDLOOP_SOAK"))
SINCE = datetime(2025, 7, 1, 12, 30, tzinfo=UTC)

# Holds a tree, with a child of its own, until it is killed.
HOLD = """
import subprocess, sys, time
from datetime import UTC, datetime
from pathlib import Path
from mendloop.runners.identity import identify_child, this_process
from mendloop.runners.worktree import WorkTreeLock

with WorkTreeLock(Path(sys.argv[1]), lock_dir=Path(sys.argv[2]), task_id="first", store="sqlite:a",
                  holder=this_process("ann@laptop", "t1"), since=datetime.now(UTC)) as lock:
    print(lock.previous and lock.previous.child.pid, flush=True)
    if "child" in sys.argv:
        child = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL)
        lock.record_child(identify_child(child.pid, "t1"))
        print(child.pid, flush=True)
    time.sleep(60)
"""

# Takes one tree after another from the run t1, each at the moment when all of its kind do.
TAKE_OVER = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from mendloop.core.errors import WorkTreeBusy
from mendloop.runners.identity import this_process
from mendloop.runners.worktree import WorkTreeLock

trees, locks, number = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
held = []
print("ready", flush=True)
for line in sys.stdin:
    name, moment = line.split()
    lock = WorkTreeLock(trees / name, lock_dir=locks, task_id="first", store="sqlite:a",
                        holder=this_process("x", number), since=datetime.now(UTC), fenced="t1")
    while time.monotonic() < float(moment):
        pass
    try:
        held.append(lock.__enter__())
        print("got it", flush=True)
    except WorkTreeBusy as error:
        print(error.holder, flush=True)
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A work tree."""
    folder = tmp_path / "tree"
    folder.mkdir()
    return folder


@pytest.fixture
def lock_dir(tmp_path: Path) -> Path:
    """The folder of the locks, not made yet."""
    return tmp_path / "state" / "trees"


def take(tree: Path, lock_dir: Path, task_id: str = "second") -> WorkTreeLock:
    return WorkTreeLock(
        tree,
        lock_dir=lock_dir,
        task_id=task_id,
        store="sqlite:/b",
        holder=this_process("bob@laptop", "t2"),
        since=SINCE,
    )


def test_a_second_run_is_refused_and_told_who_and_since_when(tree: Path, lock_dir: Path) -> None:
    """Two tasks on one folder: the second one hears of the first one's task, holder and time."""
    with take(tree, lock_dir, "first"), pytest.raises(WorkTreeBusy) as refusal:
        take(tree, lock_dir, "second").__enter__()

    assert (
        f"the work tree {tree} is held by the run of task first (store sqlite:/b) by bob@laptop, "
        f"process {os.getpid()}, since 2025-07-01T12:30:00+00:00"
    ) == str(refusal.value)
    assert "second" == refusal.value.task_id
    assert refusal.value.holder.startswith("the run of task first")


def test_two_names_of_a_folder_are_one_work_tree(tree: Path, lock_dir: Path) -> None:
    """A link to a folder is the folder."""
    link = tree.parent / "link"
    link.symlink_to(tree)

    with take(tree, lock_dir), pytest.raises(WorkTreeBusy):
        take(link, lock_dir).__enter__()
    with take(link, lock_dir), pytest.raises(WorkTreeBusy):
        take(tree / ".." / "tree", lock_dir).__enter__()


def test_two_folders_are_two_work_trees(tree: Path, lock_dir: Path) -> None:
    """Runs in different folders do not meet."""
    with take(tree, lock_dir), take(tree.parent, lock_dir) as other:
        assert other.previous is None


def test_a_clean_exit_leaves_no_record(tree: Path, lock_dir: Path) -> None:
    """After a run that left in order the next one finds nothing to end."""
    with take(tree, lock_dir) as lock:
        lock.record_child(identify_child(os.getpid(), "t2"))

    with take(tree, lock_dir) as lock:
        assert lock.previous is None


def test_a_killed_holder_frees_the_tree_and_names_its_child(
    start_python: Any, tree: Path, lock_dir: Path, kill_later: list[int]
) -> None:
    """After kill -9 the next run gets the tree at once, though the old child still runs."""
    holder = start_python(HOLD, str(tree), str(lock_dir), "child")
    assert b"None\n" == holder.stdout.readline()
    child_pid = int(holder.stdout.readline())
    kill_later.append(child_pid)
    with pytest.raises(WorkTreeBusy):
        take(tree, lock_dir).__enter__()

    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()

    with take(tree, lock_dir) as lock:
        assert lock.previous is not None
        assert ("first", "sqlite:a") == (lock.previous.task_id, lock.previous.store)
        assert False is is_alive(lock.previous.holder)
        child = lock.previous.child
        assert child is not None
        assert (child_pid, True) == (child.pid, is_alive(child))


@pytest.fixture
def child_pid(start_python: Any, tree: Path, lock_dir: Path, kill_later: list[int]) -> int:
    """The child of a run that was killed."""
    first = start_python(HOLD, str(tree), str(lock_dir), "child")
    first.stdout.readline()
    child_pid = int(first.stdout.readline())
    kill_later.append(child_pid)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    return child_pid


def test_a_child_is_not_forgotten_when_the_successor_dies_too(
    start_python: Any, tree: Path, lock_dir: Path, child_pid: int
) -> None:
    """Until the old child has been ended, the third run still learns of it."""
    second = start_python(HOLD, str(tree), str(lock_dir))
    assert child_pid == int(second.stdout.readline())
    os.kill(second.pid, signal.SIGKILL)
    second.wait()

    with take(tree, lock_dir) as lock:
        assert lock.previous is not None
        assert lock.previous.child is not None
        assert child_pid == lock.previous.child.pid


def test_a_child_is_not_forgotten_when_the_successor_is_refused(
    tree: Path, lock_dir: Path, child_pid: int
) -> None:
    """A run that leaves before it has ended the old child leaves that to the next one."""
    with take(tree, lock_dir):
        pass

    with take(tree, lock_dir) as lock:
        assert lock.previous is not None
        assert lock.previous.child is not None
        assert child_pid == lock.previous.child.pid
        lock.record_child(None)
    with take(tree, lock_dir) as lock:
        assert lock.previous is None


def test_a_child_of_the_holder_does_not_hold_the_tree(
    start: Any, tree: Path, lock_dir: Path
) -> None:
    """What a run starts does not inherit the lock."""
    with take(tree, lock_dir):
        start("sleep", "60", close_fds=False)

    with take(tree, lock_dir):
        pass


def test_the_record_shrinks_and_grows_with_the_child(tree: Path, lock_dir: Path) -> None:
    """A record over a longer one is read as itself."""
    child = msgspec.structs.replace(identify_child(os.getpid(), "t"), boot_id="b" * 500)

    with take(tree, lock_dir) as lock:
        (path,) = lock_dir.glob("*.lock")
        lock.record_child(child)
        long = path.read_bytes()
        lock.record_child(None)
        short = path.read_bytes()

    assert "b" * 500 == msgspec.json.decode(long)["child"]["boot_id"]
    assert msgspec.json.decode(short)["child"] is None


@pytest.mark.parametrize("cut", [1, 40, -1])
def test_a_torn_record_is_unknown(tree: Path, lock_dir: Path, cut: int) -> None:
    """A record that was not written whole is as none, and hinders nobody."""
    with take(tree, lock_dir) as lock:
        lock.record_child(None)
        (path,) = lock_dir.glob("*.lock")
        whole = path.read_bytes()
    path.write_bytes(whole[:cut])

    with take(tree, lock_dir) as lock:
        assert lock.previous is None


@pytest.mark.parametrize("rest", [b"", b"}}}\n", b"\xff\x00"])
def test_the_rest_of_a_longer_record_does_not_matter(
    tree: Path, lock_dir: Path, rest: bytes
) -> None:
    """A crash between writing and cutting leaves the new record readable."""
    with take(tree, lock_dir):
        (path,) = lock_dir.glob("*.lock")
        whole = path.read_bytes()
    path.write_bytes(whole + rest)

    with take(tree, lock_dir) as lock:
        assert lock.previous is not None
        assert "second" == lock.previous.task_id


def test_a_missing_tree_is_a_run_error(tree: Path, lock_dir: Path) -> None:
    """A folder that is not there is named."""
    with pytest.raises(RunError, match="no such work tree"):
        take(tree / "nowhere", lock_dir)


def test_a_lock_folder_that_cannot_be_made_is_a_run_error(tree: Path) -> None:
    """Where locks cannot be kept, no run begins."""
    (tree / "file").write_text("")

    with pytest.raises(RunError, match="cannot lock the work tree"):
        take(tree, tree / "file" / "trees").__enter__()


def test_many_at_once_one_wins(tree: Path, lock_dir: Path) -> None:
    """Of runs that begin at the same time one gets the tree."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tree), str(lock_dir)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(6)
    ]
    losers = []
    while len(losers) < 5:
        losers = [process for process in processes if process.poll() is not None]
    (winner,) = set(processes) - set(losers)

    assert winner.stdout is not None
    assert b"None\n" == winner.stdout.readline()
    winner.kill()
    for process in processes:
        process.communicate()


def test_names_that_are_not_utf8_are_recorded(tree: Path, lock_dir: Path) -> None:
    """The tree, the store and the holder may be any bytes: the record stays readable."""
    odd = tree / "caf\udce9"
    odd.mkdir()
    lock = WorkTreeLock(
        odd,
        lock_dir=lock_dir,
        task_id="first",
        store="sqlite:\udcff",
        holder=this_process("ann\udcff@laptop", "t1"),
        since=SINCE,
    )

    with lock, pytest.raises(WorkTreeBusy, match="ann\ufffd@laptop"):
        take(odd, lock_dir).__enter__()


def test_one_of_many_successors_gets_the_tree(start_python: Any, tmp_path: Path) -> None:
    """Of runs that take a tree from the same stopped one at the same moment, one has it then."""
    trees, locks = tmp_path / "trees", tmp_path / "locks"
    successors = [
        start_python(TAKE_OVER, str(trees), str(locks), str(number), stdin=subprocess.PIPE)
        for number in range(4)
    ]
    assert [b"ready\n"] * 4 == [process.stdout.readline() for process in successors]
    for name in map(str, range(200 if IS_SOAK else 40)):
        (trees / name).mkdir(parents=True)
        stopped = WorkTreeLock(
            trees / name,
            lock_dir=locks,
            task_id="first",
            store="sqlite:a",
            holder=this_process("ann@laptop", "t1"),
            since=SINCE,
        )
        with stopped:
            line = f"{name} {time.monotonic() + 0.02}\n".encode()
            for process in successors:
                process.stdin.write(line)
                process.stdin.flush()
            answers = [process.stdout.readline() for process in successors]

        assert 1 == answers.count(b"got it\n")
    for process in successors:
        process.stdin.close()


def test_a_run_that_is_stopped_in_its_turn_is_not_waited_for(tree: Path, lock_dir: Path) -> None:
    """Who stops at the very moment of taking a tree keeps it busy, and nobody hangs."""
    with take(tree, lock_dir):
        (turn,) = lock_dir.glob("*.turn")

    with turn.open("r+b") as stopped:
        fcntl.flock(stopped, fcntl.LOCK_EX)
        with pytest.raises(WorkTreeBusy, match="has not said who it is"):
            take(tree, lock_dir).__enter__()
    with take(tree, lock_dir):
        pass


def test_the_record_has_no_secret_in_it(tree: Path, tmp_path: Path) -> None:
    """Whoever holds the tree, and wherever its store is, a secret in a name is not written down."""
    secret = "ghp_" + "Aa1" * 12
    lock = WorkTreeLock(
        tree,
        lock_dir=tmp_path / "locks",
        task_id="first",
        store=f"sqlite:/home/{secret}/a.db",
        holder=this_process(f"ann {secret}", "t1"),
        since=SINCE,
    )

    with lock:
        record = "".join(path.read_text() for path in (tmp_path / "locks").iterdir())

    assert secret not in record
    assert "ann [redacted: github token]" in record
