from __future__ import annotations

import asyncio
import gzip
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
from github_payloads import (
    MARKED,
    as_body,
    check_run,
    issue_comment,
    review,
)
from hook_sender import CONFIG, Hook, deliver, headers_of, hook
from served import Replica, Served, until_processed

from mendloop.core.codec import encode
from mendloop.manager import StateManager
from mendloop.stores.port import Store


def _configured(served: Served) -> tuple[str, str]:
    path = served.folder / "serve.toml"
    path.write_text(CONFIG)
    return "--config", str(path)


async def _heads(store: Store) -> dict[str, bytes]:
    async with StateManager(store) as manager:
        tasks = (await manager.list_tasks()).tasks
        return {task.task_id: encode(task.state) for task in tasks if task.state is not None}


async def test_an_order_is_obeyed_once(served: Served, store: Store) -> None:
    """A pause is a pause; sent again after the resume, it changes nothing, nor does one of a bot."""
    replica = served.start(*_configured(served))
    replica.wait_until_ready()
    pause = hook("issue_comment", issue_comment(body="/pause while we talk"))
    async with StateManager(store) as manager:
        for one, is_paused in (
            (hook("issue_comment", issue_comment(id=40)), False),
            (pause, True),
            (hook("issue_comment", issue_comment(id=42, body="/resume")), False),
            (pause, False),
            (hook("issue_comment", issue_comment("edited", id=43, body="/pause")), False),
        ):
            async with aiohttp.ClientSession() as session:
                assert 202 == (await deliver(session, replica, one, served.secret))[0]
            await until_processed(store)
            state = await manager.require_state("42")
            assert is_paused == (state.ledger.pause is not None), one.body
    orders = [
        (change.by, change.door, change.facts["order"])
        for commit in state.ledger.commits
        for change in commit.changes
        if change.do == "order"
    ]
    by = "github:octocat"
    assert [(by, "github", "pause"), (by, "github", "resume")] == orders


async def test_an_approval_resolves_what_the_reviewer_asked_for(
    served: Served, store: Store
) -> None:
    """An approval of the head resolves the reviewer's own reviews; one of an older commit does not."""
    replica = served.start(*_configured(served))
    replica.wait_until_ready()
    approved = {"state": "approved", "body": ""}
    steps = (
        (hook("pull_request_review", review(id=1)), 1),
        (hook("check_run", check_run()), 2),
        (hook("pull_request_review", review(id=2, commit_id="b" * 40, **approved)), 2),
        (hook("pull_request_review", review(id=3, **approved)), 1),
    )
    async with StateManager(store) as manager:
        for one, open_total in steps:
            async with aiohttp.ClientSession() as session:
                assert 202 == (await deliver(session, replica, one, served.secret))[0]
            await until_processed(store)
            assert open_total == (await manager.require_state("42")).open_total


def _hostile(dice: random.Random, good: Hook, secret: bytes) -> tuple[bytes, dict[str, str]]:
    """A delivery that is not one of GitHub's."""
    body, headers = good.body, headers_of(good, secret)
    kind = dice.randrange(8)
    if kind == 0:
        del headers["X-Hub-Signature-256"]
    elif kind == 1:
        place = dice.randrange(len(body))
        body = body[:place] + bytes([body[place] ^ (1 << dice.randrange(8))]) + body[place + 1 :]
    elif kind == 2:
        body = body[: dice.randrange(len(body))]
    elif kind == 3:
        body = gzip.compress(body)
        headers["Content-Encoding"] = "gzip"
    elif kind == 4:
        body = body.decode().encode("utf-16")
    elif kind == 5:
        body = dice.randbytes(dice.randrange(2000))
    elif kind == 6:
        old = headers.pop("X-Hub-Signature-256")
        headers["X-Hub-Signature"] = f"sha1={old[7:47]}"
    else:
        headers["X-Hub-Signature-256"] = headers["X-Hub-Signature-256"][: dice.randrange(71)]
    return body, headers


def _resident_bytes(replica: Replica) -> int:
    pages = Path(f"/proc/{replica.process.pid}/statm").read_text().split()[1]
    return int(pages) * 4096


async def test_nothing_gets_in_that_is_not_signed(
    served: Served, store: Store, scaled: Callable[[int, int], int]
) -> None:
    """Unsigned, changed, cut, encoded and oversized deliveries: none is taken, and memory stays flat."""
    replica = served.start(*_configured(served))
    replica.wait_until_ready()
    dice = random.Random(7)
    good = hook("pull_request_review", review(body=MARKED * 20))

    async def attack(session: aiohttp.ClientSession, count: int) -> None:
        for _ in range(count):
            body, headers = _hostile(dice, good, served.secret)
            async with session.post(
                f"{replica.intake}/v1/github", data=body, headers=headers
            ) as answer:
                assert answer.status in {401, 415}, (answer.status, headers)

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(attack(session, scaled(250, 25)) for _ in range(8)))
        before_bytes = _resident_bytes(replica)
        await asyncio.gather(*(attack(session, scaled(1000, 100)) for _ in range(8)))
        for length in (10_000_001, 30_000_000):
            large = b" " * length
            headers = headers_of(good._replace(body=large), served.secret)
            url = f"{replica.intake}/v1/github"
            async with session.post(url, data=_pieces(large), headers=headers) as answer:
                assert 413 == answer.status
        await asyncio.gather(*(attack(session, scaled(250, 25)) for _ in range(4)))
    assert _resident_bytes(replica) - before_bytes < 32 * 1024 * 1024
    assert {} == await _heads(store)
    assert replica.process.poll() is None


async def _pieces(body: bytes) -> Any:
    """A body whose length nobody tells."""
    for first in range(0, len(body), 65_536):
        yield body[first : first + 65_536]


async def test_a_signed_delivery_that_github_would_not_send_is_refused(
    served: Served, store: Store
) -> None:
    """What is not what GitHub documents, or has no headers of a delivery, is told so and leaves nothing."""
    replica = served.start(*_configured(served))
    replica.wait_until_ready()
    async with aiohttp.ClientSession() as session:
        for one, status in (
            (Hook("pull_request_review", as_body({"action": 1}), "d-1"), 422),
            (Hook("pull_request_review", b"{", "d-1"), 422),
            (Hook("pull_request_review", b"", "d-1"), 422),
            (Hook("pull_request_review", as_body(review()), ""), 400),
            (Hook("", as_body(review()), "d-1"), 400),
        ):
            assert status == (await deliver(session, replica, one, served.secret))[0], one
    assert {} == await _heads(store)
