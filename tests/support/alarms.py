"""Waiting for alerts of a Prometheus, and judging when they came."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeAlias

from prometheus import Prometheus, quickened, read_rules
from prometheus.rules import rules_in, seconds_of
from prometheus.server import INTERVAL_SECONDS

__all__ = ["Alarms"]

_Alerts: TypeAlias = dict[str, dict[str, Any]]

_PATIENCE_SECONDS = 60.0
_LOOKED_BACK_SECONDS = 600
_STEP_MILLISECONDS = 100


class Alarms:
    """
    The alerts of one Prometheus, whose times are divided by 60.

    Args:
        prometheus: It runs.
    """

    def __init__(self, prometheus: Prometheus) -> None:
        self._prometheus = prometheus

    async def until_firing(self, namespace: str, *names: str) -> None:
        """Wait until all of these fire, and make sure that each says in words what is the matter."""
        firing = await self._until(namespace, lambda firing: set(names) <= set(firing))
        for name in names:
            told = firing[name]["annotations"]
            assert namespace in told["summary"], told
            assert not {"<error", "<no value>", "NaN"} & {*" ".join(told.values()).split()}, told

    async def until_silent(self, namespace: str, *names: str) -> None:
        """Wait until none of these fires."""
        await self._until(namespace, lambda firing: not set(names) & set(firing))

    async def ever(self, namespace: str) -> set[str]:
        """Names of all alerts that fired for a namespace."""
        selector = f'ALERTS{{namespace="{namespace}",alertstate="firing"}}'
        series = await asyncio.to_thread(
            self._prometheus.query, f"last_over_time({selector}[{_LOOKED_BACK_SECONDS}s])"
        )
        return {one["metric"]["alertname"] for one in series}

    async def lateness(self, namespace: str, name: str) -> float:
        """
        How many seconds after its condition had held for its time it fired first, at the latest.

        A condition holds from the scrape on that shows it, not from the evaluation that finds it.
        """
        expression = rules_in(quickened())[name]["expr"]
        fires = f'ALERTS{{alertname="{name}",alertstate="firing"}}'
        held, firing = [
            await asyncio.to_thread(self._prometheus.instants, ranged, namespace=namespace)
            for ranged in (
                f"({expression})[{_LOOKED_BACK_SECONDS}s:{_STEP_MILLISECONDS}ms]",
                f"{fires}[{_LOOKED_BACK_SECONDS}s]",
            )
        ]
        held_seconds = seconds_of(read_rules()[name]) / 60
        return max(
            fired[0] - held_seconds - _last_unbroken([at for at in held[who] if at <= fired[0]])
            for who, fired in firing.items()
        )

    async def _until(self, namespace: str, is_so: Callable[[_Alerts], bool]) -> _Alerts:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            firing = await self._firing(namespace)
            if is_so(firing):
                return firing
            assert time.monotonic() < deadline, f"{namespace}: these fire: {', '.join(firing)}"
            await asyncio.sleep(INTERVAL_SECONDS / 2)

    async def _firing(self, namespace: str) -> _Alerts:
        alerts = await asyncio.to_thread(self._prometheus.alerts)
        return {
            alert["labels"]["alertname"]: alert
            for alert in alerts
            if alert["state"] == "firing" and alert["labels"].get("namespace") == namespace
        }


def _last_unbroken(instants: list[float]) -> float:
    """The first of the last instants that follow each other step by step."""
    begun = instants[-1]
    for at in reversed(instants):
        if begun - at > 1.5 * _STEP_MILLISECONDS / 1000:
            break
        begun = at
    return begun
