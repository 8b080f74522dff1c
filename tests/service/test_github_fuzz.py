from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
from github_payloads import MARKED, review
from hook_sender import CONFIG, Hook, deliver, headers_of, hook
from hostile_hooks import KINDS, hostile, hostile_bytes, send_bytes
from served import Replica, Served, is_processed, until_processed

from mendloop.manager import StateManager
from mendloop.stores.port import Store

_SENDERS = 8
_MEBIBYTE = 1024 * 1024


def _resident_bytes(replica: Replica) -> int:
    pages = Path(f"/proc/{replica.process.pid}/statm").read_text().split()[1]
    return int(pages) * 4096


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    """A body whose length nobody tells."""
    for first in range(0, len(body), 65_536):
        yield body[first : first + 65_536]


class _Attacker:
    """Sends what GitHub does not send, and sees that none of it is taken."""

    def __init__(self, replica: Replica, secret: bytes, good: Hook) -> None:
        self._replica = replica
        self._url = f"{replica.intake}/v1/github"
        self._secret = secret
        self._good = good
        self._dice = random.Random(7)
        self._sent = 0

    async def attack(self, count: int) -> None:
        """Send *count* hostile deliveries, several at once."""
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
            for _ in range(_SENDERS):
                group.create_task(self._send(session, count // _SENDERS))

    async def _send(self, session: aiohttp.ClientSession, count: int) -> None:
        for _ in range(count):
            self._sent += 1
            if self._sent % 5 == 0:
                sent = hostile_bytes(self._dice, self._good, self._secret)
                status = (await send_bytes(self._url, sent)).split(b" ", 2)[1:2]
                assert status in ([], [b"400"], [b"401"], [b"408"], [b"413"]), (status, sent[:300])
                continue
            kind = KINDS[self._sent % len(KINDS)]
            body, headers = hostile(kind, self._dice, self._good, self._secret)
            # What is refused before it is read may end the connection that is still sending it.
            with contextlib.suppress(aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
                async with session.post(self._url, data=body, headers=headers) as answer:
                    assert answer.status in {401, 415}, (answer.status, kind)

    async def send_too_much(self, length: int) -> None:
        """Send a body that is signed, and longer than any that is taken; nobody tells how long."""
        large = b" " * length
        headers = headers_of(self._good._replace(body=large), self._secret)
        async with (
            aiohttp.ClientSession() as session,
            session.post(self._url, data=_pieces(large), headers=headers) as answer,
        ):
            assert 413 == answer.status


async def test_nothing_gets_in_that_is_not_signed(
    served: Served, store: Store, scaled: Callable[[int, int], int]
) -> None:
    """
    Unsigned, changed, cut, encoded and oversized deliveries: none is taken, and memory stays flat.

    Afterwards the same process takes a good one.
    """
    path = served.folder / "serve.toml"
    path.write_text(CONFIG)
    replica = served.start("--config", str(path))
    replica.wait_until_ready()
    good = hook("pull_request_review", review(body=MARKED * 20))
    attacker = _Attacker(replica, served.secret, good)
    await attacker.attack(scaled(2000, 200))
    await attacker.send_too_much(10_000_001)
    before_bytes = _resident_bytes(replica)
    await attacker.attack(scaled(10_000, 1000))
    for length in (10_000_001, 30_000_000):
        await attacker.send_too_much(length)
    grown_bytes = _resident_bytes(replica) - before_bytes
    print(f"memory grew by {grown_bytes / _MEBIBYTE:.1f} MiB")  # noqa: T201 - a figure
    assert grown_bytes < 16 * _MEBIBYTE
    assert replica.process.poll() is None
    assert 0 == replica.metric("mendloop_deliveries_total", door="github", outcome="queued")
    assert await is_processed(store)
    async with StateManager(store) as manager:
        assert () == tuple((await manager.list_tasks()).tasks)
        async with aiohttp.ClientSession() as session:
            assert 202 == (await deliver(session, replica, good, served.secret))[0]
        await until_processed(store)
        assert 1 == replica.metric("mendloop_deliveries_total", door="github", outcome="queued")
        assert 1 == (await manager.require_state("42")).findings_total
