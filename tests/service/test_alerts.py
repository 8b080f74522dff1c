from __future__ import annotations

import asyncio
import random
import string
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from alarms import Alarms
from audited import check_namespace
from clocks import BehindClock
from fault_proxy import THROTTLED, UNAVAILABLE, WRITES, FaultProxy, always, first_of, never
from prometheus import Prometheus, read_rules
from prometheus.server import INTERVAL_SECONDS
from rights import grant
from served import Replica, Served, get_json

from controlplane import Cluster
from mendloop.core.names import HEAD, head_name
from mendloop.core.text import no_redaction
from mendloop.kube.access import load_access
from mendloop.quarantine import Quarantine
from mendloop.stores.configmap import open_configmaps
from mendloop.stores.sqlite import open_sqlite

_ALL_VERBS = WRITES | {"get", "list", "watch"}
_DAY_SECONDS = 86_400.0
_FINDING = {"severity": "High", "issue_type": "Bug", "description": "it breaks"}
_DAMAGED = ("1", "2", "3", "4", "5")
_PAUSE_SECONDS = 0.3


class _Drill:
    """One service, what it is sent all the time, and the alerts of it."""

    def __init__(self, namespace: str, served: Served, *, config: str = "") -> None:
        self.namespace = namespace
        self.served = served
        self._config = config
        self._number = 0

    def start(self) -> Replica:
        """Start a replica; it is not waited for."""
        file = self.served.folder / "serve.toml"
        file.write_text(self._config)
        return self.served.start("--config", str(file))

    def post(self, task_id: str, **changes: Any) -> int:
        """Send a finding that was not sent before; returns the status of the answer."""
        self._number += 1
        finding = _FINDING | {"comment_id": f"c-{self._number}"} | changes
        body = {"task_id": task_id, "findings": [finding]}
        return self.served.post(self.served.replicas[0], body)[0]

    @asynccontextmanager
    async def load(self, *task_ids: str) -> AsyncIterator[None]:
        """Send a finding of each of these tasks again and again."""

        async def send() -> None:
            while True:
                for task_id in task_ids:
                    await asyncio.to_thread(self.post, task_id)
                await asyncio.sleep(_PAUSE_SECONDS)

        sending = asyncio.create_task(send())
        try:
            yield
            assert not sending.done()
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    def call(self, *arguments: str) -> None:
        """Call the command line on its store, as whoever is on call does."""
        done = subprocess.run(
            [sys.executable, "-m", "mendloop", "--store", self.served.spec, *arguments],
            env=self.served.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert 0 == done.returncode, done.stderr


def _on_sqlite(folder: Path, namespace: str, config: str = "") -> _Drill:
    served = Served(f"sqlite:{folder / namespace}.db", folder / namespace, {})
    return _Drill(namespace, served, config=config)


def _on_cluster(
    folder: Path, name: str, cluster: Cluster, reached: Cluster, config: str = ""
) -> _Drill:
    """One that reaches its cluster as *reached*: itself, or as a proxy shows it."""
    namespace = cluster.namespace()
    token = grant(cluster, namespace)
    file = reached.kubeconfig(folder / f"{name}.config", token=token, namespace=namespace)
    served = Served("kubernetes", folder / name, {"KUBECONFIG": str(file)})
    return _Drill(namespace, served, config=config)


async def _damaged_states(drill: _Drill, alarms: Alarms) -> None:
    """States are overwritten by a database tool, and what comes for them waits; they are repaired."""
    for task_id in _DAMAGED:
        assert 202 == await asyncio.to_thread(drill.post, task_id)
    await asyncio.sleep(2)
    store = await open_sqlite(drill.served.spec.removeprefix("sqlite:"))
    for task_id in _DAMAGED:
        head = await store.get(HEAD, head_name(task_id))
        assert head is not None
        await store.replace(head, head.body + b"}")
    await store.close()
    names = ("MendloopTaskUnreadable", "MendloopOperationsFailing")
    waits, *others = _DAMAGED
    async with drill.load(waits):
        await alarms.until_firing(drill.namespace, *names)
        await asyncio.to_thread(drill.call, "doctor", *others, "--repair")
        await alarms.until_firing(drill.namespace, "MendloopRecoveriesFrequent")
        await alarms.until_firing(drill.namespace, "MendloopQueueStuck")
    await asyncio.to_thread(drill.call, "doctor", "--repair")
    names = (*names, "MendloopQueueStuck", "MendloopRecoveriesFrequent")
    await alarms.until_silent(drill.namespace, *names)


async def _full_store(drill: _Drill, alarms: Alarms) -> None:
    """Findings fill the store, and nobody works on the task; it is stopped, and cleaned up."""
    await asyncio.to_thread(drill.call, "increment", "1")
    dice = random.Random(1)
    for _ in range(40):
        text = "".join(dice.choices(f"{string.ascii_lowercase} ", k=8000))
        await asyncio.to_thread(drill.post, "1", description=text)
    names = ("MendloopStoreNearLimit", "MendloopTaskStuck")
    await alarms.until_firing(drill.namespace, *names)
    await asyncio.to_thread(drill.call, "stop", "1", "--reason", "nobody works on it")
    await alarms.until_silent(drill.namespace, *names)


async def _busy_server(drill: _Drill, alarms: Alarms, proxy: FaultProxy) -> None:
    """The API server puts everything off, and the Lease cannot be written; then both can be."""
    proxy.choose = first_of(
        always(THROTTLED, verbs=_ALL_VERBS, path="/configmaps"),
        always(UNAVAILABLE, verbs=_ALL_VERBS, path="/leases"),
    )
    names = ("MendloopThrottled", "MendloopNoLeader")
    await alarms.until_firing(drill.namespace, *names)
    proxy.choose = never
    await alarms.until_silent(drill.namespace, *names)


async def _foreign_state(
    drill: _Drill, alarms: Alarms, proxy: FaultProxy, cluster: Cluster
) -> None:
    """Nothing can be deleted, and another program has filled a state; the one is mended, the other goes."""
    path = f"/api/v1/namespaces/{drill.namespace}/configmaps"
    state = {
        "metadata": {
            "name": head_name("9"),
            "labels": {"app": "remediation-state", "task-id": "9"},
        },
        "data": {"state.json": "{}", "notes": "n" * 900_000},
    }
    cluster.request("POST", path, state)
    names = ("MendloopCleanupFailing", "MendloopCleanupLate", "MendloopStateNearLimit")
    await alarms.until_firing(drill.namespace, *names)
    proxy.choose = never
    cluster.request("DELETE", f"{path}/{head_name('9')}")
    await alarms.until_silent(drill.namespace, *names)


async def _lost_server(drill: _Drill, alarms: Alarms, proxy: FaultProxy) -> None:
    """
    Nobody reaches the API server while findings are sent; then it is back.

    Leader and follower live on, and their probes say why they are not ready.
    """
    names = ("MendloopDown", "MendloopReplicaUnready", "MendloopDeliveriesUnstored")
    async with drill.load("1"), proxy.outage():
        await alarms.until_firing(drill.namespace, *names)
        for replica in drill.served.replicas:
            status, told = await asyncio.to_thread(get_json, f"{replica.admin}/readyz")
            assert (503, "failing") == (status, told["status"])
            assert proxy.cluster.url in told["reason"]
            assert 200 == (await asyncio.to_thread(get_json, f"{replica.admin}/healthz"))[0]
    await alarms.until_silent(drill.namespace, *names)
    for replica in drill.served.replicas:
        await asyncio.to_thread(replica.wait_until_ready)


@pytest.mark.damages
async def test_each_alert_fires_on_the_real_fault_and_clears(
    control_plane: Cluster,
    prometheus_folder: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    """Each alert fires within two evaluations once its fault has lasted, and clears after it; none else."""
    async with AsyncExitStack() as opened:
        busy, foreign, lost = [
            await opened.enter_async_context(FaultProxy(control_plane)) for _ in range(3)
        ]
        quick = '[store]\nweigh_interval = "1s"\n[cleanup]\ninterval = "2s"\n'
        over = 'retention = "1s"\ngrace = "1s"\n[github]\nmax_age = "1s"\n'
        clean = _on_sqlite(tmp_path, "clean")
        sound = _on_cluster(tmp_path, "sound", control_plane, control_plane)
        damaged = _on_sqlite(tmp_path, "damaged")
        full = _on_sqlite(
            tmp_path,
            "full",
            quick.replace("[store]", "[store]\nlimit = 150000")
            + over
            + '[tasks]\nstuck_after = "1s"\n',
        )
        throttled = _on_cluster(tmp_path, "throttled", control_plane, busy.cluster)
        left = _on_cluster(
            tmp_path, "left", control_plane, foreign.cluster, quick + 'quarantine = "1s"\n'
        )
        away = _on_cluster(tmp_path, "away", control_plane, lost.cluster)
        await _leave_a_copy(left)
        foreign.choose = always(UNAVAILABLE, verbs={"delete"})
        drills = (clean, sound, damaged, full, throttled, left, away)
        for drill in drills:
            opened.callback(drill.served.end)
            drill.start()
        away.start()
        for drill in drills:
            for replica in drill.served.replicas:
                await asyncio.to_thread(replica.wait_until_ready)
        targets = {
            drill.namespace: [r.admin.removeprefix("http://") for r in drill.served.replicas]
            for drill in drills
        }
        prometheus = Prometheus(prometheus_folder, tmp_path / "prometheus", targets)
        alarms = Alarms(await asyncio.to_thread(opened.enter_context, prometheus))
        async with (
            clean.load("1", "2"),
            sound.load("1", "2"),
            asyncio.TaskGroup() as group,
        ):
            group.create_task(_damaged_states(damaged, alarms))
            group.create_task(_full_store(full, alarms))
            group.create_task(_busy_server(throttled, alarms, busy))
            group.create_task(_foreign_state(left, alarms, foreign, control_plane))
            group.create_task(_lost_server(away, alarms, lost))

        fired = {drill.namespace: await alarms.ever(drill.namespace) for drill in drills}
        assert set() == fired[clean.namespace] == fired[sound.namespace]
        assert set(read_rules()) == set().union(*fired.values())
        for namespace, names in fired.items():
            for name in names:
                late_seconds = await alarms.lateness(namespace, name)
                assert late_seconds <= 2 * INTERVAL_SECONDS, (namespace, name)
    for drill in drills:
        assert [] == drill.served.leaks()
    for drill in (throttled, left, away):
        config = control_plane.kubeconfig(tmp_path / "after", namespace=drill.namespace)
        await check_namespace(request, f"configmap:{config}")


async def _leave_a_copy(drill: _Drill) -> None:
    """Leave a copy of a damaged state, so old that the next cleanup deletes it."""
    store = open_configmaps(await load_access(kubeconfig=drill.served.environment["KUBECONFIG"]))
    head = await store.create(HEAD, head_name("8"), b"{}", labels={"task-id": "8"})
    clock = BehindClock(_DAY_SECONDS)
    await Quarantine(store, clock=clock, redact=no_redaction).set_aside("8", head, reason="cut")
    await store.delete(head)
    await store.close()
