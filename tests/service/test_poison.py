from __future__ import annotations

import asyncio

from served import Served

from mendloop.core.names import QUEUE
from mendloop.stores.port import Store

_FINDING = {"severity": "High", "issue_type": "Bug", "description": "an empty name fails"}
_DEEP = 50_000
_DAMAGE = {
    "no JSON": b"{",
    "no UTF-8": b'[{"id": "\xff"}]',
    "nested too deeply": b'[{"more": ' + b"[" * _DEEP + b"]" * _DEEP + b"}]",
    "of another shape": b'{"items": []}',
}


async def test_a_queued_document_that_is_damaged_holds_up_nothing(
    served: Served, store: Store
) -> None:
    """Whatever its bytes are, it is named in the log and stays, and what comes in is processed."""
    for number, body in enumerate(_DAMAGE.values()):
        await store.create(QUEUE, f"{number:013d}-damaged-1", body)
    replica = served.start()
    await asyncio.to_thread(replica.wait_until_ready)
    async with asyncio.timeout(30):
        while len(_named(replica.log())) < len(_DAMAGE):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.1)
    body = {"task_id": "7", "findings": [_FINDING]}
    assert 202 == (await asyncio.to_thread(served.post, replica, body))[0]
    async with asyncio.timeout(30):
        while len((await store.list(QUEUE)).documents) > len(_DAMAGE):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert 0 == await asyncio.to_thread(replica.end)
    assert list(_DAMAGE.values()) == [one.body for one in (await store.list(QUEUE)).documents]


def _named(log: list[dict[str, str]]) -> set[str]:
    return {event["event"] for event in log if "is damaged, and stays" in event["event"]}
