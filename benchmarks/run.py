"""
The speed that the project holds itself to: ratios, each against a ceiling of the same run.

Rounds of the measured thing and of its ceiling take turns, so that a noisy machine disturbs both;
the median of the rounds is printed. Exit code 0: a missed aim is printed, not hidden.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import tempfile
import time
import venv
from functools import partial
from pathlib import Path

import apsw
from measure import ROUNDS, alternate, finding, increments, new_task, report, timed

from mendloop.core.codec import encode_state
from mendloop.manager import StateManager
from mendloop.stores.sqlite import open_sqlite

PROJECT = Path(__file__).parent.parent


def main() -> None:
    """Measure all, and print a line for each."""
    print(f"{'what':66} {'ratio':>8}  aim")
    with tempfile.TemporaryDirectory(prefix="mendloop-bench-") as folder:
        asyncio.run(measure_store(Path(folder)))
        measure_start(Path(folder))


async def measure_store(folder: Path) -> None:
    """Measure increments through the manager on SQLite."""
    store = await open_sqlite(folder / "state.db")
    async with StateManager(store, by="bench", door="bench") as manager:
        await against_bare_loop(manager, folder)
        await concurrent_against_sequential(manager)
        await large_history(manager)
        await many_iterations(manager)
    await store.close()


async def against_bare_loop(manager: StateManager, folder: Path) -> None:
    """Compare with compare-and-set on the bare driver: same durability, same document size."""
    count = 200
    await new_task(manager, "bare")
    await increments(manager, "bare", 2 * count)
    state = await manager.get_state("bare")
    assert state is not None
    bare = BareLoop(folder / "bare.db", len(encode_state(state)))

    async def ours() -> None:
        await increments(manager, "bare", count)

    async def theirs() -> None:
        bare.run(count)

    our_seconds, bare_seconds = await alternate(ours, theirs)
    ratio = bare_seconds / our_seconds
    size = len(bare.body)
    report(f"increments: rate / bare loop's, {size} bytes", ratio, ">= 0.5", is_met=ratio >= 0.5)


class BareLoop:
    """Compare-and-set over apsw and nothing else, in the store's own journal mode."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        """Keep one document of *size_bytes*."""
        self.body = b"x" * size_bytes
        self._connection = apsw.Connection(str(path))
        self._connection.execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL")
        self._connection.execute("CREATE TABLE document(key TEXT PRIMARY KEY, revision, body)")
        self._connection.execute("INSERT INTO document VALUES('a', 0, ?)", (self.body,))

    def run(self, count: int) -> None:
        """Read and write *count* times."""
        execute = self._connection.execute
        for _ in range(count):
            execute("BEGIN IMMEDIATE")
            ((revision, body),) = execute("SELECT revision, body FROM document WHERE key='a'")
            execute(
                "UPDATE document SET revision=?, body=? WHERE key='a' AND revision=?",
                (revision + 1, body, revision),
            )
            execute("COMMIT")


async def concurrent_against_sequential(manager: StateManager) -> None:
    """Compare 64 increments at once with 64 one after another."""
    count = 64
    await new_task(manager, "group")

    async def at_once() -> None:
        await asyncio.gather(*(manager.increment_iteration("group") for _ in range(count)))

    async def in_turn() -> None:
        await increments(manager, "group", count)

    together, apart = await alternate(at_once, in_turn)
    ratio = apart / together
    report("64 increments at once: rate / one after another", ratio, ">= 10", is_met=ratio >= 10)


async def large_history(manager: StateManager) -> None:
    """Compare an increment with 5,000 findings with one with 10."""
    for task_id, count in (("small", 10), ("large", 5000)):
        await new_task(manager, task_id)
        await manager.append_feedback(task_id, *(finding(number) for number in range(count)))

    async def large() -> None:
        await increments(manager, "large", 20)

    async def small() -> None:
        await increments(manager, "small", 20)

    with_many, with_few = await alternate(large, small)
    ratio = with_many / with_few
    report("increment: cost with 5000 findings / with 10", ratio, "<= 1.5", is_met=ratio <= 1.5)


async def many_iterations(manager: StateManager) -> None:
    """Compare an increment after 2,000 iterations with the first ones."""
    first, count = [], 8
    for number in range(ROUNDS * 4):
        task_id = f"first-{number}"
        await new_task(manager, task_id)
        first.append(await timed(partial(increments, manager, task_id, count)))
    await new_task(manager, "old")
    await increments(manager, "old", 2000)
    late = []
    for number in range(ROUNDS * 4):
        late.append(await timed(lambda: increments(manager, "old", count)))
        task_id = f"again-{number}"
        await new_task(manager, task_id)
        first.append(await timed(partial(increments, manager, task_id, count)))
    ratio = statistics.median(late) / statistics.median(first)
    report("increment: cost after 2000 / of the first", ratio, "<= 1.5", is_met=ratio <= 1.5)


def measure_start(folder: Path) -> None:
    """Compare starting the command line with starting Python, as a user has them installed."""
    home = folder / "installed"
    venv.create(home, with_pip=True)
    subprocess.run([home / "bin" / "pip", "install", "--quiet", PROJECT], check=True)
    mendloop, python = str(home / "bin" / "mendloop"), str(home / "bin" / "python")
    small = f"sqlite:{folder / 'few.db'}"
    subprocess.run(
        [mendloop, "increment", "one", "--store", small],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    for name, arguments, aim in (
        ("--version", ["--version"], 9),
        ("list", ["list", "--store", small], 15),
    ):
        command, bare = [mendloop, *arguments], [python, "-c", "pass"]
        pairs = [(run_seconds(command), run_seconds(bare)) for _ in range(2 * ROUNDS + 1)][1:]
        ratio = statistics.median(a for a, _ in pairs) / statistics.median(b for _, b in pairs)
        report(f"mendloop {name}: time / python -c pass", ratio, f"<= {aim}", is_met=ratio <= aim)


def run_seconds(command: list[str]) -> float:
    """Seconds that a process takes from start to end."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
