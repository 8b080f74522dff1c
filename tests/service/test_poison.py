from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import msgspec
from served import Served, until_processed

from mendloop.core.names import QUEUE
from mendloop.service.queue import Item
from mendloop.stores.port import Store

_FINDING = {"severity": "High", "issue_type": "Bug", "description": "an empty name fails"}
_SECRET = "ghp_" + "a1B2" * 9
_DEEP = 50_000
_DAMAGE = {
    "no JSON": b"{",
    "no UTF-8": b'[{"id": "\xff"}]',
    "nested too deeply": b'[{"more": ' + b"[" * _DEEP + b"]" * _DEEP + b"}]",
    "of another shape": b'{"items": []}',
}


async def test_the_name_of_a_door_that_is_not_there_is_no_label(
    served: Served, store: Store
) -> None:
    """An item of other hands is refused and let go, and no text of it is in the metrics or the log."""
    item = Item(
        id="1", door=_SECRET, received_at=datetime.now(UTC), content=msgspec.Raw(b"{}"), trace="-"
    )
    await store.create(QUEUE, "0000000000001-other-1", msgspec.json.encode((item,)))
    replica = served.start()
    await asyncio.to_thread(replica.wait_until_ready)
    await until_processed(store)
    told = {"door": "unknown", "outcome": "refused"}
    name = "mendloop_processed_items_total"
    assert 1 == await asyncio.to_thread(replica.metric, name, **told)
    assert 0 == await asyncio.to_thread(replica.metric, name, door=_SECRET)
    assert _SECRET not in replica.log_path.read_text()


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
