"""Somebody who sends what GitHub would send: signed, again, and in any order."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple

import aiohttp
from github_payloads import as_body
from served import Replica, Served

from mendloop.intake.github.signature import sign

__all__ = ["CONFIG", "Hook", "deliver", "deliver_all", "headers_of", "hook"]

CONFIG = """
[github]
own_login = "mender[bot]"
bots = ["octo-ci"]
allow_associations = ["OWNER", "MEMBER", "COLLABORATOR"]
[github.storm]
limit = 1000000
"""
"""There are many of them at once."""


class Hook(NamedTuple):
    """One delivery as it is sent."""

    event: str
    body: bytes
    delivery_id: str


def hook(event: str, payload: Any) -> Hook:
    """A delivery with an id of its own."""
    return Hook(event, as_body(payload), secrets.token_hex(16))


def headers_of(one: Hook, secret: bytes) -> dict[str, str]:
    """What GitHub sends with it."""
    return {
        "X-GitHub-Event": one.event,
        "X-GitHub-Delivery": one.delivery_id,
        "X-Hub-Signature-256": sign(one.body, secret),
        "Content-Type": "application/json",
    }


async def deliver(
    session: aiohttp.ClientSession, replica: Replica, one: Hook, secret: bytes
) -> tuple[int, dict[str, str]]:
    """Send it once; the status, 0 where nobody answers, and the answer."""
    try:
        async with session.post(
            f"{replica.intake}/v1/github", data=one.body, headers=headers_of(one, secret)
        ) as answer:
            return answer.status, await answer.json()
    except (aiohttp.ClientError, OSError):
        return 0, {}


async def deliver_all(served: Served, hooks: Sequence[Hook], *, at_once: int = 8) -> None:
    """Send each until a living replica has taken it, or says that nothing comes of it."""
    waiting = list(hooks)

    async def send() -> None:
        while waiting:
            one = waiting.pop()
            while True:
                living = [r for r in served.replicas if r.intake and r.process.poll() is None]
                status = 0
                if living:
                    status, _ = await deliver(session, random.choice(living), one, served.secret)
                if status == 202:
                    break
                assert status in {0, 503}, status
                await asyncio.sleep(0.05)

    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(send())
