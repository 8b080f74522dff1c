"""The example controller on a real API server: killed in every phase, in two replicas, to the end."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from controlplane.cluster import Cluster

from mendloop import (
    RemediationState,
    Settings,
    StateManager,
    Status,
    StopReason,
    load_access,
    open_configmaps,
)
from mendloop.core.model import Ledger

EXAMPLE = Path(__file__).parents[2] / "examples" / "reconcile.py"
PATIENCE_SECONDS = 120

# How many faults a task has left is in a file of its name; what it is called says how it behaves.
REVIEW = r"""
echo "$MENDLOOP_TASK" >> "$WORK/reviews"
left=$(cat "$WORK/$MENDLOOP_TASK" 2>/dev/null || echo 2)
case $MENDLOOP_TASK in
stuck*) left=1 ;;
limit*) echo "{\"severity\":\"Low\",\"issue_type\":\"Bug\",\"description\":\"fault -$left\"}"; left=0 ;;
budget*) sleep 0.3 ;;
esac
while [ "$left" -gt 0 ]; do
  echo "{\"severity\":\"High\",\"issue_type\":\"Bug\",\"description\":\"fault $left\"}"
  left=$((left - 1))
done
"""
FIX = r"""
echo "$MENDLOOP_TASK" >> "$WORK/fixes"
case $MENDLOOP_TASK in fails*) exit 3 ;; esac
left=$(cat "$WORK/$MENDLOOP_TASK" 2>/dev/null || echo 2)
echo $((left - 1)) > "$WORK/$MENDLOOP_TASK"
"""
KINDS = {
    "clean": (Settings(), StopReason.COMPLETED),
    "limit": (Settings(max_iterations=2), StopReason.MAX_ITERATIONS),
    "stuck": (Settings(), StopReason.NO_PROGRESS),
    "fails": (Settings(step_attempts=2), StopReason.STEP_FAILED),
    "budget": (Settings(budget_seconds=0.01), StopReason.BUDGET),
    "person": (Settings(), StopReason.TERMINATED),
}


class Replicas:
    """Processes of the example that work in one namespace."""

    def __init__(self, folder: Path, kubeconfig: Path, namespace: str) -> None:
        self.folder = folder
        self._arguments = [
            *(sys.executable, str(EXAMPLE), namespace),
            *(f"sh {self._script('review.sh', REVIEW)}", f"sh {self._script('fix.sh', FIX)}"),
        ]
        self._environment = os.environ | {"KUBECONFIG": str(kubeconfig), "WORK": str(folder)}
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, **environment: str) -> subprocess.Popen[bytes]:
        """Start one more."""
        with (self.folder / f"log-{len(self._started)}").open("wb") as log:
            started = subprocess.Popen(
                self._arguments,
                env=self._environment | environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.append(started)
        return started

    def end(self) -> None:
        """Kill those that are left, with the commands that they run."""
        for process in self._started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _script(self, name: str, content: str) -> Path:
        path = self.folder / name
        path.write_text(content)
        return path


@pytest.fixture
def kubeconfig(control_plane: Cluster, namespace: str, tmp_path: Path) -> Path:
    """The way to the shared control plane."""
    return control_plane.kubeconfig(tmp_path / "kubeconfig")


@pytest.fixture
def replicas(kubeconfig: Path, namespace: str, tmp_path: Path) -> Iterator[Replicas]:
    """Replicas of the controller; none is left running."""
    made = Replicas(tmp_path, kubeconfig, namespace)
    yield made
    made.end()


@pytest.fixture
async def manager(kubeconfig: Path, namespace: str) -> AsyncIterator[StateManager]:
    """A manager in the test's namespace."""
    store = open_configmaps(await load_access(kubeconfig=str(kubeconfig), namespace=namespace))
    async with StateManager(store, by="test") as manager:
        yield manager
    await store.close()


async def ended(manager: StateManager, task_id: str) -> RemediationState:
    """Wait until the task has ended."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        state = await manager.get_state(task_id)
        assert state is not None
        if state.status.is_ended:
            return state
        assert time.monotonic() < deadline, f"{task_id} does not end: {state}"
        await asyncio.sleep(0.1)


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for something that the replicas do."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def reason_of(state: RemediationState) -> Any:
    """Why it ended."""
    assert isinstance(state.mendloop, Ledger)
    return state.mendloop.stop_reason


async def assert_each_iteration_began_once(manager: StateManager, state: RemediationState) -> None:
    """The history holds one start of each iteration, in order, and none beside them."""
    changes = [change async for commit in manager.commits(state) for change in commit.changes]
    started = [c.facts["iteration"] for c in changes if c.do == "increment" and "limit" in c.facts]
    assert list(range(1, state.iteration + 1)) == started
    assert max(Counter(change.op_id for change in changes).values()) == 1


@pytest.mark.parametrize(
    "crash_at",
    [
        *(f"head-decided:{count}" for count in (1, 3, 6)),
        *(f"head-written:{count}" for count in (1, 2, 3, 4, 5, 6)),
        "lease-released",
    ],
)
async def test_state_survives_a_restart_of_the_controller(
    manager: StateManager, replicas: Replicas, crash_at: str
) -> None:
    """SIGKILL before and after each kind of write; a new process goes on to the same end."""
    await manager.create_task("clean-1")
    killed = replicas.start(MENDLOOP_CRASH_AT=crash_at)
    assert -signal.SIGKILL == await asyncio.to_thread(killed.wait, PATIENCE_SECONDS)
    replicas.start()
    state = await ended(manager, "clean-1")
    assert Status.COMPLETED is state.status
    assert ["fault 2", "fault 1"] == [entry.description for entry in state.feedback_history]
    await assert_each_iteration_began_once(manager, state)


@pytest.mark.parametrize("mark", ["reviews", "fixes"])
async def test_state_survives_a_kill_within_a_command(
    manager: StateManager, replicas: Replicas, mark: str
) -> None:
    """Killed while a reviewer or a fixer runs: the step is taken again, in the same iteration."""
    await manager.create_task("clean-1")
    killed = replicas.start()
    await until((replicas.folder / mark).exists)
    os.killpg(killed.pid, signal.SIGKILL)
    await asyncio.to_thread(killed.wait)
    replicas.start()
    state = await ended(manager, "clean-1")
    assert Status.COMPLETED is state.status
    await assert_each_iteration_began_once(manager, state)


async def test_two_replicas_drive_fifty_tasks_to_every_end(
    manager: StateManager, replicas: Replicas
) -> None:
    """Two replicas, killed at random: each iteration starts once, and every stop reason is seen."""
    chance = random.Random(11)
    tasks = {f"{kind}-{n}": KINDS[kind] for n in range(9) for kind in KINDS}
    tasks = dict(list(tasks.items())[:50])
    for task_id, (settings, _) in tasks.items():
        await manager.create_task(task_id, settings=settings)
        if task_id.startswith("person"):
            await manager.pause(task_id, reason="wait")
    running = [replicas.start(), replicas.start()]
    for _ in range(4):
        await asyncio.sleep(chance.uniform(0.5, 2))
        killed = running.pop(chance.randrange(2))
        os.killpg(killed.pid, signal.SIGKILL)
        running.append(replicas.start())
    for task_id in tasks:
        if task_id.startswith("person"):
            await manager.stop(task_id, reason="enough")
    seen = Counter[Any]()
    for task_id, (_, reason) in tasks.items():
        state = await ended(manager, task_id)
        await assert_each_iteration_began_once(manager, state)
        assert reason == reason_of(state), task_id
        seen[reason] += 1
    assert set(StopReason) == set(seen)
    assert all(process.poll() is None for process in running)
