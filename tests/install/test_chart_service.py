"""The service as the chart starts it, with the account and the Role that the chart makes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from fault_proxy import FaultProxy
from installed import Installed
from patience import eventually
from served import Replica


def _is_removed(proxy: FaultProxy, task_id: str) -> bool:
    wanted = ("delete", f"task-{task_id}-state", 200)
    return wanted in {
        (each.request.verb, each.request.name, each.status) for each in proxy.exchanges
    }


def _says(replica: Replica, words: str) -> bool:
    return words in replica.log_path.read_text()


async def test_the_chart_grants_what_the_service_uses(
    installed: Installed, proxy: FaultProxy
) -> None:
    """A delivery is taken in, processed and cleaned up by a leader; nothing is refused, no right is idle."""
    replica = await asyncio.to_thread(installed.start, proxy.cluster)
    await asyncio.to_thread(replica.wait_until_ready)
    assert 202 == await asyncio.to_thread(installed.post, replica, "42")
    await eventually(partial(_is_removed, proxy, "42"), seconds=60)
    await eventually(lambda: replica.metric("mendloop_leader") == 1)
    assert 0 == await asyncio.to_thread(replica.end)
    refused = {exchange.request.resource for exchange in proxy.exchanges if exchange.status == 403}
    # Where nothing is listed it asks whether there is such a namespace, and can do without an answer.
    assert set() == refused - {"namespaces"}
    used = {
        (exchange.request.resource, exchange.request.verb)
        for exchange in proxy.exchanges
        if exchange.status != 403
    }
    assert installed.rights() == used


RIGHTS = (
    ("leases", "create"),  # first: later there is one
    ("leases", "patch"),
    ("configmaps", "watch"),
    ("configmaps", "delete"),
    ("leases", "get"),
    ("configmaps", "get"),
    ("configmaps", "list"),
    ("configmaps", "create"),
    ("configmaps", "patch"),
)


async def test_a_missing_right_is_named_in_the_log(
    installed: Installed, scaled: Callable[[int, int], int]
) -> None:
    """Without any one right of the Role the service says which it lacks."""
    assert set(RIGHTS) == installed.rights()
    for number, (what, verb) in enumerate(RIGHTS[: scaled(len(RIGHTS), 2)]):
        with installed.without(what, verb):
            replica = await asyncio.to_thread(installed.start)
            await asyncio.to_thread(replica.wait_until_listening)
            await asyncio.to_thread(installed.post, replica, str(number))
            wanted = f"kubectl auth can-i {verb} {what} -n {installed.namespace}"
            await eventually(partial(_says, replica, wanted), seconds=20)
            replica.kill()


def test_what_helm_test_runs_tells_a_good_service_from_a_bad_one(installed: Installed) -> None:
    """It ends with 0 while the service is ready and its doors are as they were given, and else with 1."""
    replica = installed.start()
    replica.wait_until_ready()
    asked = installed.ask(replica)
    assert (0, 4) == (asked.returncode, len(asked.stdout.splitlines())), asked.stdout
    assert 0 == replica.end()
    asked = installed.ask(replica)
    assert 1 == asked.returncode
    assert "/readyz: 0, and not 200" in asked.stdout
