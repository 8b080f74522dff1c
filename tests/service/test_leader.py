from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import msgspec
import pytest
from clocks import BehindClock, SteppedClock
from patience import eventually

from mendloop.clock import Clock, SystemClock
from mendloop.core.election import Held, LeaseRecord, Leases, Observation, released, taken
from mendloop.core.errors import StoreUnavailable
from mendloop.service.leader import ElectionTerms, Elector
from mendloop.stores.leases import LEASE, StoredLeases
from mendloop.stores.port import Store

_TERMS = ElectionTerms(lease_seconds=2, renew_seconds=1.2, retry_seconds=0.1)
_THEN = datetime(2026, 1, 1, tzinfo=UTC)
_RECORD = LeaseRecord(holder="b", duration_seconds=900, acquired_at=_THEN, renewed_at=_THEN)


class _Cut:
    """Leases that cannot be reached while `is_cut`."""

    def __init__(self, leases: Leases) -> None:
        self.is_cut = False
        self._leases = leases

    async def read(self) -> Held | None:
        self._check()
        return await self._leases.read()

    async def write(self, before: Held | None, record: LeaseRecord) -> Held:
        self._check()
        return await self._leases.write(before, record)

    def _check(self) -> None:
        if self.is_cut:
            raise StoreUnavailable("cut off")


class _Silent:
    """Leases that never answer."""

    async def read(self) -> Held | None:
        await asyncio.Event().wait()
        return None

    async def write(self, before: Held | None, record: LeaseRecord) -> Held:
        del before
        await asyncio.Event().wait()
        return Held(record, "")


class _Candidate:
    """One who takes part, and what it did."""

    def __init__(
        self, leases: Leases, name: str, log: list[tuple[str, str]], clock: Clock | None = None
    ) -> None:
        self.leases = _Cut(leases)
        self.elector = Elector(self.leases, name, clock=clock or SystemClock(), terms=_TERMS)
        self._name = name
        self._log = log

    async def work(self) -> None:
        self._log.append((self._name, "begins"))
        try:
            await asyncio.Event().wait()
        finally:
            self._log.append((self._name, "ends"))

    @asynccontextmanager
    async def taking_part(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.elector.run(self.work))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_one_leads_and_another_follows_when_it_ends(store: Store) -> None:
    """Who gives the lease back is followed at once, and no two work at the same time."""
    log: list[tuple[str, str]] = []
    first, second = (_Candidate(StoredLeases(store, "lead"), name, log) for name in "ab")
    async with second.taking_part():
        async with first.taking_part():
            await eventually(lambda: first.elector.is_leader or second.elector.is_leader)
            leader = first if first.elector.is_leader else second
            await asyncio.sleep(1.5)
            assert leader.elector.is_leader
            assert 1 == len(log)
        await eventually(lambda: second.elector.is_leader, seconds=5)
    names = [name for name, _ in log]
    assert names == [name for pair in zip(names[::2], names[::2], strict=True) for name in pair]
    assert ["begins", "ends"] * (len(log) // 2) == [what for _, what in log]


async def test_a_leader_that_is_cut_off_stops_before_another_begins(store: Store) -> None:
    """Who cannot renew stops its work within the lease; the other begins after it."""
    log: list[tuple[str, str]] = []
    first, second = (_Candidate(StoredLeases(store, "lead"), name, log) for name in "ab")
    async with first.taking_part():
        await eventually(lambda: first.elector.is_leader)
        async with second.taking_part():
            await asyncio.sleep(0.3)
            first.leases.is_cut = True
            await eventually(lambda: ("b", "begins") in log, seconds=12)
            assert [("a", "begins"), ("a", "ends"), ("b", "begins")] == log
            assert not first.elector.is_leader
            first.leases.is_cut = False
            await asyncio.sleep(1)
            assert not first.elector.is_leader


async def test_leases_that_do_not_answer_are_told_as_that(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Where no answer comes, while it leads and when it ends, the log says so and after how long."""
    candidate = _Candidate(_Silent(), "a", [])
    async with candidate.taking_part():
        await eventually(lambda: bool(caplog.messages), seconds=5)
    assert [
        "the lease of the leader cannot be reached: no answer came within 0.4 s",
        "the lease could not be given back, and is waited for: no answer came within 0.4 s",
    ] == list(dict.fromkeys(caplog.messages))


@pytest.mark.parametrize("damaged", [b"{", b'{"holder": "\xff"}', b'{"more": ' + b"[" * 9999])
async def test_a_damaged_record_is_made_anew(store: Store, damaged: bytes) -> None:
    """Where nobody can read who leads, whoever comes does; no person has to help."""
    await StoredLeases(store, "lead").write(None, _RECORD)
    document = await store.get(LEASE, "lead")
    assert document is not None
    await store.replace(document, damaged)
    one = _Candidate(StoredLeases(store, "lead"), "a", [])
    async with one.taking_part():
        await eventually(lambda: one.elector.is_leader)


async def test_a_clock_that_is_off_by_an_hour_changes_nothing(store: Store) -> None:
    """Where the leader's or the follower's day is an hour off, it is neither robbed nor waited for longer."""
    even = SystemClock()

    async def follow(key: str, leads: Clock, follows: Clock) -> None:
        log: list[tuple[str, str]] = []
        leases = StoredLeases(store, key)
        first = _Candidate(leases, "a", log, leads)
        second = _Candidate(leases, "b", log, follows)
        async with first.taking_part():
            await eventually(lambda: first.elector.is_leader)
            async with second.taking_part():
                await asyncio.sleep(_TERMS.lease_seconds + 0.5)
                assert [("a", "begins")] == log
                first.leases.is_cut = True
                await eventually(lambda: ("b", "begins") in log, seconds=_TERMS.lease_seconds + 5)
                assert [("a", "begins"), ("a", "ends"), ("b", "begins")] == log

    async with asyncio.TaskGroup() as pairs:
        for number, odd in enumerate((BehindClock(3600), BehindClock(-3600))):
            pairs.create_task(follow(f"lead-{number}", odd, even))
            pairs.create_task(follow(f"follow-{number}", even, odd))


def test_a_lease_is_judged_by_the_contender_s_own_clock() -> None:
    """Whatever the record's times say, a lease is over when it was seen not to move for its time."""
    clock = SteppedClock()
    record = taken(None, "a", duration_seconds=15, now=clock.now())
    seen = Observation(record, 100.0)
    assert not seen.is_free_for("b", now_seconds=115.0)
    assert seen.is_free_for("b", now_seconds=115.1)
    assert seen.is_free_for("a", now_seconds=100.0)
    renewed = taken(record, "a", duration_seconds=15, now=clock.now())
    assert 0 == renewed.transitions
    assert not seen.then(renewed, now_seconds=114.0).is_free_for("b", now_seconds=120.0)
    assert 1 == taken(renewed, "b", duration_seconds=15, now=clock.now()).transitions


async def test_a_lease_for_years_is_waited_for_a_minute(store: Store) -> None:
    """Where other hands name a leader that is not there, nobody waits for as long as they say."""
    record = msgspec.structs.replace(_RECORD, duration_seconds=2**31 - 1)
    await StoredLeases(store, "lead").write(None, record)
    seen = Observation(record, 100.0)
    assert not seen.is_free_for("a", now_seconds=160.0)
    one = Elector(StoredLeases(store, "lead"), "a", clock=SteppedClock(), terms=_TERMS)
    running = asyncio.create_task(one.run(asyncio.Event().wait))
    await eventually(lambda: one.is_leader)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.kubernetes
async def test_a_lease_object_is_what_kubernetes_expects(
    request: pytest.FixtureRequest,
) -> None:
    """In a cluster the record is a Lease with MicroTimes of six digits, and each write moves it."""
    from rights import grant

    from controlplane import Cluster
    from mendloop.kube.access import load_access
    from mendloop.kube.api import Api
    from mendloop.kube.leases import KubernetesLeases

    cluster: Cluster = request.getfixturevalue("control_plane")
    namespace: str = request.getfixturevalue("namespace")
    folder = request.getfixturevalue("tmp_path")
    token = grant(cluster, namespace)
    config = cluster.kubeconfig(folder / "config", token=token, namespace=namespace)
    api = Api(await load_access(kubeconfig=str(config)))
    try:
        leases = KubernetesLeases(api, "lead")
        log: list[tuple[str, str]] = []
        one = _Candidate(leases, "a", log)
        async with one.taking_part():
            await eventually(lambda: one.elector.is_leader)
            path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/lead"
            lease = cluster.request("GET", path)
            assert "a" == lease["spec"]["holderIdentity"]
            assert len("2026-01-01T00:00:00.000000Z") == len(lease["spec"]["renewTime"])
            await asyncio.sleep(0.5)
            assert lease["spec"]["renewTime"] < cluster.request("GET", path)["spec"]["renewTime"]
        assert "" == cluster.request("GET", path)["spec"].get("holderIdentity", "")
    finally:
        await api.close()


async def test_names_with_secrets_stay_two_and_are_not_stored(store: Store) -> None:
    """Two replicas whose names differ only in a secret never lead at once, and nobody reads it."""
    log: list[tuple[str, str]] = []
    secrets = ["ghp_" + part * 12 for part in ("Aa1", "Bb2")]
    first, second = (_Candidate(StoredLeases(store, "lead"), name, log) for name in secrets)
    async with first.taking_part():
        await eventually(lambda: first.elector.is_leader)
        async with second.taking_part():
            await asyncio.sleep(1)
            assert first.elector.is_leader
            assert not second.elector.is_leader
            held = await StoredLeases(store, "lead").read()
    assert held is not None
    assert held.record.holder.startswith("[redacted: github token]#")


def test_a_lease_that_was_given_back_is_free_at_once() -> None:
    """Who comes next does not wait for a leader that has ended."""
    given_back = released(_RECORD, now=_THEN)

    assert Observation(given_back, 5.0).is_free_for("a", now_seconds=5.0)
    assert not Observation(_RECORD, 5.0).is_free_for("a", now_seconds=5.0)


async def test_work_that_ends_is_begun_again(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether it has failed or is done: the log tells of a failure, and the leader goes on leading."""
    begun = 0

    async def work() -> None:
        nonlocal begun
        begun += 1
        if begun == 1:
            raise ZeroDivisionError

    elector = Elector(StoredLeases(store, "lead"), "a", clock=SystemClock(), terms=_TERMS)
    running = asyncio.create_task(elector.run(work))
    await eventually(lambda: begun >= 3)
    assert elector.is_leader
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert ["what the leader does has failed, and begins again"] == caplog.messages


async def test_who_ends_gives_back_no_lease_but_its_own(store: Store) -> None:
    """Another one that has taken it meanwhile keeps it."""
    leases, log = StoredLeases(store, "lead"), list[tuple[str, str]]()
    candidate = _Candidate(leases, "a", log)
    async with candidate.taking_part():
        await eventually(lambda: candidate.elector.is_leader)
        candidate.leases.is_cut = True
        await asyncio.sleep(0.2)
        held = await leases.write(await leases.read(), _RECORD)
        candidate.leases.is_cut = False
    now = await leases.read()
    assert now is not None
    assert held.record == now.record == _RECORD


class _Slow(_Cut):
    """Leases that take three seconds to be written, and cannot be reached from then on."""

    def __init__(self, leases: Leases, clock: SteppedClock) -> None:
        super().__init__(leases)
        self._clock = clock

    async def write(self, before: Held | None, record: LeaseRecord) -> Held:
        written = await super().write(before, record)
        self._clock.pass_seconds(3)
        self.is_cut = True
        return written


async def test_a_lease_counts_from_when_it_was_asked_for_and_not_from_the_answer(
    store: Store,
) -> None:
    """Others count from the record: what an answer takes is no time more in which to lead."""
    clock = SteppedClock()
    leases = _Slow(StoredLeases(store, "lead"), clock)
    worked_seconds: list[float] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            worked_seconds.append(clock.monotonic_seconds())

    asked_seconds = clock.monotonic_seconds()
    elector = Elector(leases, "a", clock=clock, terms=ElectionTerms())
    running = asyncio.create_task(elector.run(work))
    await eventually(lambda: worked_seconds != [])
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert 10 < worked_seconds[0] - asked_seconds < 13
