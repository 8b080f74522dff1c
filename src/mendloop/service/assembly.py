"""The service as a whole: what runs, in which order it begins, and in which it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import msgspec

from mendloop.clock import Clock
from mendloop.config import parse_duration
from mendloop.core.election import Leases
from mendloop.core.errors import ValidationError
from mendloop.core.model import Settings
from mendloop.manager import StateManager
from mendloop.service.collectors import TaskCounts
from mendloop.service.feedback import FeedbackDoor, FeedbackWork
from mendloop.service.github import GithubDoor
from mendloop.service.github_work import GithubWork
from mendloop.service.health import Health
from mendloop.service.housekeeping import Housekeeping
from mendloop.service.leader import Elector
from mendloop.service.measured import MeasuredStore
from mendloop.service.metrics import Metrics
from mendloop.service.queue import DeliveryQueue, Item
from mendloop.service.server import Door, Listener, admin_app, intake_app
from mendloop.service.settings import Secrets, ServiceSettings
from mendloop.service.tasks import TaskWatch
from mendloop.service.traces import TracedTelemetry
from mendloop.service.worker import Process, Worker
from mendloop.stores.port import Store

__all__ = ["Address", "Service"]

_log = logging.getLogger(__name__)

_FINISH_SECONDS = 8.0
_LET_GO_SECONDS = 3.0

_FIRST_AT_ONCE = 32
_LATER_AT_ONCE = 4
"""What is processed asks little at once, so that a delivery does not wait behind it to be stored."""


class Address(msgspec.Struct, frozen=True):
    """Where to listen; port 0 lets the system choose."""

    host: str
    port: int


class Service:
    """
    One replica.

    Attributes:
        metrics: What it counts.
        health: What probes are told.
        intake: Where senders come.
        admin: Where probes and Prometheus come.
        closed_doors: Paths that nobody can use, since no secret is given for them.
    """

    def __init__(
        self,
        store: Store,
        leases: Leases,
        metrics: Metrics,
        *,
        name: str,
        clock: Clock,
        settings: ServiceSettings,
        secrets: Secrets,
        intake: Address,
        admin: Address,
    ) -> None:
        """
        Put the parts together; nothing runs yet.

        Args:
            store: Stays the caller's to close.
            leases: Where the leader is elected.
            metrics: Are kept, and shown.
            name: Of this replica, and of no other.
            clock: The time.
            settings: From the configuration file.
            secrets: Of the doors; one without any is closed.
            intake: Where senders come.
            admin: Where probes and Prometheus come.
        """
        self._clock = clock
        self._settings = settings
        self.metrics = metrics
        first = MeasuredStore(store, metrics, at_once=_FIRST_AT_ONCE)
        measured = MeasuredStore(store, metrics, at_once=_LATER_AT_ONCE)
        self._manager = StateManager(
            measured,
            by=f"mendloop@{name}",
            door="service",
            clock=clock,
            telemetry=TracedTelemetry(metrics),
        )
        self._tasks = TaskWatch(self._manager, clock, metrics.recovered)
        metrics.registry.register(TaskCounts(self._tasks.counts))
        self._queue = DeliveryQueue(first, measured, clock=clock)
        self.health = Health(first, self._tasks, self._queue, clock=clock)
        made_with = Settings(max_iterations=settings.tasks.max_iterations)
        self._works: dict[str, Process] = {
            FeedbackDoor.name: FeedbackWork(self._manager, made_with).process,
            GithubDoor.name: GithubWork(self._manager, made_with, settings.github).process,
        }
        self._worker = Worker(self._queue, self._process, metrics=metrics, clock=clock)
        self._elector = Elector(leases, name, clock=clock)
        self._parts: list[asyncio.Task[None]] = []
        self._house = Housekeeping(
            self._manager,
            measured,
            self._tasks,
            name=name,
            metrics=metrics,
            clock=clock,
            settings=settings,
        )
        self._set_gauges()
        doors = self._doors(secrets)
        self.closed_doors = {GithubDoor.path, FeedbackDoor.path} - {door.path for door in doors}
        app = intake_app(doors, metrics=metrics, health=self.health)
        self.intake = Listener(app, intake.host, intake.port)
        admin_side = admin_app(metrics=metrics, health=self.health)
        self.admin = Listener(admin_side, admin.host, admin.port)

    def _doors(self, secrets: Secrets) -> list[Door]:
        doors: list[Door] = []
        if secrets.github:
            github = self._settings.github
            door = GithubDoor(self._queue, secrets.github, table=github, clock=self._clock)
            doors.append(door)
        if secrets.feedback:
            doors.append(FeedbackDoor(self._queue, secrets.feedback))
        return doors

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """
        Run while inside.

        On the way out it is unready first, takes nothing in any more, finishes what it has begun or
        leaves it to others, and gives the lead back.

        Raises:
            OSError: An address cannot be listened on.
        """
        workers = [
            self._start("the pulse", self.health.beat()),
            self._start("the probe of the store", self.health.probe()),
            self._start("the watch of the tasks", self._tasks.run()),
            self._start("the queue's worker", self._worker.run()),
            self._start("the look at the queue", self._worker.adopt()),
        ]
        leading = self._start("the election", self._elector.run(self._house.run))
        try:
            await self.admin.start()
            await self.intake.start()
            yield
        finally:
            self.health.is_stopping = True
            await self._stop(workers, leading)

    async def until_broken(self) -> None:
        """
        Wait for ever, or until a part has ended that the service cannot do without.

        Raises:
            Exception: What has ended it, which is logged too: only a new start helps.
        """
        ended, _ = await asyncio.wait(self._parts, return_when=asyncio.FIRST_COMPLETED)
        for part in ended:
            _log.critical("%s has ended, and so does the service", part.get_name())
            part.result()
            raise RuntimeError(f"{part.get_name()} has ended")

    async def _stop(self, workers: list[asyncio.Task[None]], leading: asyncio.Task[None]) -> None:
        leading.cancel()
        await self.intake.stop_accepting()
        try:
            async with asyncio.timeout(_FINISH_SECONDS):
                await self.intake.close()
                await self._queue.close()
                await self._worker.finish()
        except TimeoutError:
            _log.warning("what is still queued is left to other replicas, or to the next start")
        try:
            async with asyncio.timeout(_LET_GO_SECONDS):
                await self._let_go(workers, leading)
        except TimeoutError:
            # What was acknowledged is stored, and what may have been stored is found again.
            _log.warning("the store does not answer, and is not waited for")

    async def _let_go(self, workers: list[asyncio.Task[None]], leading: asyncio.Task[None]) -> None:
        for worker in workers:
            worker.cancel()
        await self._worker.hand_back()
        await asyncio.gather(leading, *workers, return_exceptions=True)
        await self._manager.close()
        await self.admin.close()

    def _start(self, name: str, work: object) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work, name=name)  # type: ignore[arg-type]
        self.health.depends_on(task)
        self._parts.append(task)
        return task

    async def _process(self, item: Item) -> str:
        work = self._works.get(item.door)
        if work is None:
            raise ValidationError(f"nothing is known of the door {item.door!a}")
        return await work(item)

    def _set_gauges(self) -> None:
        """Have these told as they are when they are asked for."""
        metrics, tasks, elector = self.metrics, self._tasks, self._elector
        stuck_seconds = parse_duration(self._settings.tasks.stuck_after)
        metrics.stuck.set_function(lambda: tasks.stuck(stuck_seconds))
        metrics.unreadable.set_function(lambda: len(tasks.unreadable))
        metrics.leader.set_function(lambda: elector.is_leader)
        metrics.has_leader.set_function(lambda: elector.is_leader or elector.has_leader)
        metrics.ready.set_function(lambda: not self.health.readiness())
