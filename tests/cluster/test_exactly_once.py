"""Each number to one caller, each finding once, none lost: whatever fails between client and disk."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fault_proxy as faults
import msgspec
import pytest
from crew import Crew, Plan, Verdict, judge_tasks, open_spec
from fault_proxy import FaultProxy, StreamFault
from patience import eventually

from controlplane import ControlPlane, Judge
from mendloop.core.model import Settings
from mendloop.manager import StateManager

BACK_SECONDS = 10
_BREAKS = (
    faults.RESET_BEFORE_REQUEST,
    faults.RESET_AFTER_REQUEST,
    faults.LOST_ANSWER,
    faults.CUT_ANSWER,
)
_REFUSALS = (faults.BUSY, faults.INTERNAL_ERROR, faults.UNAVAILABLE, faults.THROTTLED)
_LATE = (faults.delayed(0.1), faults.SLOW_DRIP)
_TIMEOUTS = (faults.TIMED_OUT, faults.STORED_BUT_TIMED_OUT)


def trouble(seed: int) -> faults.Choose:
    """Something goes wrong with each tenth request, and with each second watch."""
    answered = (*_BREAKS, *_BREAKS, *_REFUSALS, *_LATE, *_TIMEOUTS)
    watches = tuple(faults.spoiled(fault, after_events=20) for fault in StreamFault)
    return faults.first_of(
        faults.in_turn([None] * 99 + [faults.SILENCE]),
        faults.in_turn([None] * 9 + [faults.SILENCE], verbs={"get"}),
        faults.at_random(answered, rate=0.1, seed=seed),
        faults.at_random((*_BREAKS, *_REFUSALS), rate=0.1, seed=seed + 1, verbs={"get", "list"}),
        faults.at_random((*watches, faults.gone()), rate=0.5, seed=seed + 2, verbs={"watch"}),
    )


class Work:
    """What four processes do, and what is said of it in the end."""

    def __init__(self, judge: Judge, folder: Path, plan: Plan) -> None:
        self.folder = folder
        self.writes = 4 * 2 * plan.sessions * plan.turns * plan.tasks
        self._plan = plan
        self._judge = judge

    async def begin(self, spec: str) -> None:
        """Make the tasks."""
        store = await open_spec(spec)
        async with StateManager(store, by="ann") as manager:
            for task_id in self._plan.task_ids:
                await manager.create_task(task_id, settings=Settings(max_iterations=100_000))
        await store.close()

    def crew(self, spec: str, **changes: Any) -> Crew:
        return Crew(msgspec.structs.replace(self._plan, spec=spec, **changes), self.folder)

    async def verdict(self, spec: str, crew: Crew) -> Verdict:
        records = await crew.finish()
        store = await open_spec(spec)
        async with StateManager(store, by="ann") as manager:
            verdict = await judge_tasks(manager, self._plan.task_ids, records, self._judge)
        await store.close()
        return verdict


@pytest.fixture
def work(judge: Judge, tmp_path: Path, scaled: Callable[[int, int], int]) -> Work:
    """2,000 increments and 2,000 findings on five tasks in a soak, a tenth on one otherwise."""
    return Work(judge, tmp_path, Plan(spec="", tasks=scaled(5, 1), turns=scaled(50, 25)))


async def test_lost_answers_are_settled_by_asking_again(
    proxy: FaultProxy, direct: str, proxied: str, work: Work
) -> None:
    """Resets, lost and late answers, refusals and broken watches: each write counts once."""
    await work.begin(direct)
    proxy.choose = trouble(seed=1)
    async with work.crew(proxied) as crew:
        verdict = await work.verdict(direct, crew)
    assert verdict.is_clean, verdict
    assert work.writes == verdict.acknowledged
    assert verdict.settled
    assert verdict.peeks
    met = {exchange.fault for exchange in proxy.exchanges if exchange.fault}
    assert {*_BREAKS, *_REFUSALS, *_LATE, *_TIMEOUTS, faults.SILENCE} <= met


async def test_an_outage_and_an_overload_are_ridden_out(
    proxy: FaultProxy, direct: str, proxied: str, work: Work, scaled: Callable[[int, int], int]
) -> None:
    """While the server is away or throttles it is asked rarely; work goes on soon afterwards."""
    seconds = scaled(60, 3)
    await work.begin(direct)
    async with work.crew(proxied, deadline_seconds=2) as crew:
        await crew.until_done(0.2)
        # What is stored before the outage is in doubt all through it, and longer than a call takes.
        proxy.choose = faults.first_of(
            faults.always(faults.LOST_ANSWER),
            faults.always(faults.RESET_BEFORE_REQUEST, verbs={"get"}),
        )
        before = proxy.count("patch")
        await eventually(lambda: proxy.count("patch") > before)
        await asyncio.sleep(0.2)  # for some more
        async with proxy.outage():
            proxy.choose = faults.never
            await asyncio.sleep(seconds)
        await crew.until_next(seconds=BACK_SECONDS)
        proxy.choose = faults.always(faults.THROTTLED, verbs={*faults.WRITES, "get"})
        await asyncio.sleep(1)  # what was under way has been answered
        before = proxy.count()
        await asyncio.sleep(seconds)
        asked = proxy.count() - before
        proxy.choose = faults.never
        await crew.until_next(seconds=BACK_SECONDS)
        verdict = await work.verdict(direct, crew)
    assert verdict.is_clean, verdict
    assert work.writes == verdict.acknowledged
    assert verdict.settled
    assert asked <= 2 * len(crew.plans) * seconds


async def test_killed_clients_and_servers_lose_and_double_nothing(
    own_control_plane: ControlPlane, work: Work
) -> None:
    """With kill -9 of clients, kube-apiserver and etcd while all work, each write counts once."""
    plane, dice = own_control_plane, random.Random(2)
    config = plane.kubeconfig(work.folder / "config", namespace=plane.namespace())
    spec = f"configmap:{config}"
    await work.begin(spec)
    async with work.crew(spec) as crew:
        for share, server in ((0.2, plane.apiserver), (0.5, plane.etcd)):
            await crew.until_done(share)
            server.kill()
            await crew.kill_one(dice)
            await asyncio.to_thread(server.start)
            await crew.until_done(share + 0.1)
            await crew.kill_one(dice)
        verdict = await work.verdict(spec, crew)
    assert verdict.is_clean, verdict
    assert work.writes == verdict.acknowledged + verdict.in_doubt
    assert verdict.in_doubt <= 2 * crew.kills


async def test_killed_clients_of_a_file_lose_and_double_nothing(work: Work) -> None:
    """On the SQLite store, with kill -9 of clients while all work, each write counts once."""
    spec, dice = f"sqlite:{work.folder / 'state.db'}", random.Random(3)
    await work.begin(spec)
    async with work.crew(spec) as crew:
        for share in (0.1, 0.3, 0.5, 0.7):
            await crew.until_done(share)
            await crew.kill_one(dice)
        verdict = await work.verdict(spec, crew)
    assert verdict.is_clean, verdict
    assert work.writes == verdict.acknowledged + verdict.in_doubt
    assert verdict.in_doubt <= 2 * crew.kills


@pytest.mark.parametrize("kind", ["configmap", "sqlite"])
async def test_a_lost_update_is_found_by_both_checkers(direct: str, work: Work, kind: str) -> None:
    """Clients that read and then write over whatever is there by then are found out, on each store."""
    spec = direct if kind == "configmap" else f"sqlite:{work.folder / 'state.db'}"
    await work.begin(spec)
    async with work.crew(f"unversioned-{spec}") as crew:
        verdict = await work.verdict(spec, crew)
    assert verdict.ours
    assert verdict.theirs
    assert [found for found in verdict.faults if " was given " in found]
    assert [found for found in verdict.faults if found.endswith("was acknowledged and is lost")]
