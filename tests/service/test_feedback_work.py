"""What a door takes in, and from whom, and what becomes of it, without a service around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import aiohttp
import msgspec
from aiohttp import web
from lone_door import open_door

from mendloop.clock import SystemClock
from mendloop.core.model import Settings
from mendloop.manager import StateManager
from mendloop.service.bodies import BodyReader
from mendloop.service.feedback import FeedbackDoor, FeedbackWork
from mendloop.service.queue import DeliveryQueue, Item
from mendloop.stores.sqlite import SqliteStore

_LIMIT_BYTES = 10
_PATIENCE_SECONDS = 0.2


class _Reading:
    """A door that reads a body and tells its length."""

    name = "reading"
    path = "/v1/reading"

    def __init__(self) -> None:
        self._bodies = BodyReader(limit_bytes=_LIMIT_BYTES, patience_seconds=_PATIENCE_SECONDS)

    async def take(self, request: web.Request) -> tuple[str, str]:
        return "read", str(len(await self._bodies.read(request)))


async def _pieces(*lengths: int, last_seconds: float = 0) -> AsyncIterator[bytes]:
    """A body of which nobody tells the length before."""
    for length in lengths:
        yield b"x" * length
    await asyncio.sleep(last_seconds)


async def test_a_body_without_a_length_has_the_same_limit(file: SqliteStore) -> None:
    """What is as long as the limit is read, in one piece or many, and one byte more is refused."""
    queue = DeliveryQueue(file, file, clock=SystemClock())
    statuses = []
    async with open_door(file, queue, _Reading()) as url, aiohttp.ClientSession() as session:
        for sent in (b"x" * 10, _pieces(10), _pieces(4, 6), b"x" * 11, _pieces(11), _pieces(5, 6)):
            async with session.post(url, data=sent) as answer:
                statuses.append((answer.status, (await answer.json())["result"]))

    assert [(202, "read")] * 3 + [(413, "oversized")] * 3 == statuses


async def test_a_body_that_does_not_come_is_not_waited_for(file: SqliteStore) -> None:
    """A sender that takes longer than it may is told so, long before it is done."""
    queue = DeliveryQueue(file, file, clock=SystemClock())
    async with open_door(file, queue, _Reading()) as url, aiohttp.ClientSession() as session:
        async with asyncio.timeout(10):
            async with session.post(url, data=_pieces(4, last_seconds=60)) as answer:
                assert (408, "slow") == (answer.status, (await answer.json())["result"])


async def test_either_of_two_tokens_lets_in_while_one_replaces_the_other(file: SqliteStore) -> None:
    """In every header that a token may stand in, however the scheme is written; a third one is refused."""
    queue = DeliveryQueue(file, file, clock=SystemClock())
    door = FeedbackDoor(queue, [b"o" * 32, b"n" * 32])
    finding = {"severity": "High", "issue_type": "Bug", "description": "an empty name answers 500"}
    body = {"task_id": "1", "findings": [finding]}
    told = {}
    async with open_door(file, queue, door) as url, aiohttp.ClientSession() as session:
        for token in ("o" * 32, "n" * 32, "x" * 32, "o" * 31, ""):
            told[token] = []
            for name, value in (
                ("Authorization", f"Bearer {token}"),
                ("Authorization", f"bearer {token}"),
                ("X-Gitlab-Token", token),
                ("X-Mendloop-Token", token),
            ):
                async with session.post(url, json=body, headers={name: value}) as answer:
                    told[token].append(answer.status)

    assert [[202] * 4] * 2 + [[401] * 4] * 3 == list(told.values())


async def test_a_description_that_nobody_sees_is_none(file: SqliteStore) -> None:
    """It is refused at the door, and not only once it is taken to its task."""
    queue = DeliveryQueue(file, file, clock=SystemClock())
    door = FeedbackDoor(queue, [b"o" * 32])
    headers = {"Authorization": f"Bearer {'o' * 32}"}
    told = []
    async with open_door(file, queue, door) as url, aiohttp.ClientSession() as session:
        for description in ("\u200b", "\u200b \u202e", "\u2066\n\u2069"):
            finding = {"severity": "High", "issue_type": "Bug", "description": description}
            body = {"task_id": "1", "findings": [finding]}
            async with session.post(url, json=body, headers=headers) as answer:
                told.append((answer.status, (await answer.json())["reason"]))

    assert [(422, "a finding needs a description")] * 3 == told


async def test_a_post_is_known_by_its_id_and_a_finding_by_its_identity(file: SqliteStore) -> None:
    """What comes again under the id of a post does nothing, whatever it says; one identity is one finding."""
    told = []
    async with StateManager(file) as manager:
        work = FeedbackWork(manager, Settings())
        for id_, identity, description in (
            ("d-1", "one", "it fails"),
            ("d-1", "two", "it fails otherwise"),
            ("d-2", "one", "it fails in other words"),
            ("", "three", "it is slow"),
            ("", "four", "it is wrong"),
        ):
            line = {"severity": "High", "issue_type": "Bug", "description": description}
            post = {"task_id": "1", "id": id_, "findings": [{**line, "identity": identity}]}
            item = Item(
                id=f"item-{identity}-{id_}",
                door="feedback",
                received_at=datetime.now(UTC),
                content=msgspec.Raw(msgspec.json.encode(post)),
            )
            told.append(await work.process(item))
        history = await manager.get_feedback_history("1")

    assert ["done"] * 5 == told
    assert ["feedback:one", "feedback:three", "feedback:four"] == [
        found.pr_comment_id for found in history
    ]
