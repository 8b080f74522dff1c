from __future__ import annotations

import asyncio
import gzip
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
from github_payloads import (
    MARKED,
    as_body,
    at,
    check_run,
    issue_comment,
    pull_request,
    review,
    review_comment,
)
from hook_sender import CONFIG, Hook, deliver, deliver_all, headers_of, hook
from served import Replica, Served, until_processed

from mendloop.core.codec import encode
from mendloop.core.lives import life_of
from mendloop.core.vocabulary import Life
from mendloop.manager import StateManager
from mendloop.stores.port import Store


def _configured(served: Served) -> tuple[str, str]:
    path = served.folder / "serve.toml"
    path.write_text(CONFIG)
    return "--config", str(path)


def _for_task(task: int) -> dict[str, Any]:
    return {"pull_request": pull_request(number=task, labels=[{"name": f"task-{task}"}])}


def _comments(count: int) -> tuple[list[Hook], dict[str, tuple[str, bool]]]:
    """Events of *count* comments, and what has to be left: the text, and whether it is dismissed."""
    hooks: list[Hook] = []
    left: dict[str, tuple[str, bool]] = {}
    for number in range(count):
        event = _for_task(number % 5)
        times = [at(10 + hour, 0, number % 60) for hour in range(3)]
        texts = [f"comment {number}", f"comment {number} in other words ✎"]
        common = {"id": number, "created_at": times[0]}
        sent = [
            review_comment("created", event, body=texts[0], updated_at=times[0], **common),
        ]
        if number % 2:
            edited = {"body": texts[1], "updated_at": times[1]}
            sent.append(review_comment("edited", event, **common | edited))
        if number % 3 == 0:
            latest = texts[number % 2]
            sent.append(
                review_comment(
                    "deleted", event, **common | {"body": latest, "updated_at": times[2]}
                )
            )
        hooks += [hook("pull_request_review_comment", payload) for payload in sent]
        left[f"github:9:review-comment:{number}"] = (texts[number % 2], number % 3 == 0)
    return hooks, left


async def _kept(store: Store) -> dict[str, tuple[str, bool]]:
    kept: dict[str, tuple[str, bool]] = {}
    async with StateManager(store) as manager:
        for task in range(5):
            for entry in await manager.get_feedback_history(str(task)):
                assert entry.pr_comment_id not in kept
                is_dismissed = life_of(entry) is Life.DISMISSED
                kept[entry.pr_comment_id] = entry.description, is_dismissed
    return kept


async def _heads(store: Store) -> dict[str, bytes]:
    async with StateManager(store) as manager:
        tasks = (await manager.list_tasks()).tasks
        return {task.task_id: encode(task.state) for task in tasks if task.state is not None}


async def test_findings_are_the_unique_comments_whatever_the_deliveries(
    served: Served, store: Store, scaled: Callable[[int, int], int]
) -> None:
    """
    Deliveries, each sent 1 to 5 times in any order to three replicas that are killed: one finding each.

    The text that is left is the latest, and what was deleted is dismissed. All of it sent once more
    changes nothing.
    """
    hooks, left = _comments(scaled(1000, 100))
    dice = random.Random(11)
    sent = [one for one in hooks for _ in range(dice.randint(1, 5))]
    dice.shuffle(sent)
    options = _configured(served)
    for _ in range(3):
        served.start(*options).wait_until_ready()
    for part in range(3):
        delivering = asyncio.create_task(
            deliver_all(served, sent[part * len(sent) // 3 : (part + 1) * len(sent) // 3])
        )
        await asyncio.sleep(0.2)
        await asyncio.to_thread(served.replicas[part].kill)
        await asyncio.to_thread(served.start(*options).wait_until_ready)
        await delivering
    await until_processed(store, seconds=120)
    assert left == await _kept(store)
    before = await _heads(store)
    await deliver_all(served, hooks)
    await until_processed(store, seconds=120)
    assert before == await _heads(store)


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


async def test_what_nothing_comes_of_says_why(served: Served, store: Store) -> None:
    """A signed delivery that nothing comes of is answered with the reason, and leaves nothing."""
    replica = served.start(*_configured(served))
    replica.wait_until_ready()
    bot = {"login": "noisy[bot]", "type": "Bot", "id": 3}
    stranger = {"login": "stranger", "type": "User", "id": 4}
    unnamed = {"pull_request": pull_request(labels=[], head={"ref": "main", "sha": "a" * 40})}
    cases: Sequence[tuple[str, Any, str]] = (
        ("ping", {"zen": "Keep it logically awesome."}, "the webhook is set up"),
        ("pull_request_review", review(event=unnamed), "no label"),
        ("issue_comment", issue_comment(user=bot, event={"sender": bot}), "bot"),
        (
            "issue_comment",
            issue_comment(user=stranger, author_association="NONE", event={"sender": stranger}),
            "not allowed",
        ),
        ("pull_request_review", review(body=None, state="commented"), "no text"),
    )
    async with aiohttp.ClientSession() as session:
        for event, payload, reason in cases:
            one = hook(event, payload)
            async with session.post(
                f"{replica.intake}/v1/github",
                data=one.body,
                headers=headers_of(one, served.secret),
            ) as answer:
                told = await answer.json()
            assert (202, "ignored") == (answer.status, told["result"]), event
            assert reason in told["reason"], told
        broken = Hook("pull_request_review", as_body({"action": 1}), "d-1")
        assert 422 == (await deliver(session, replica, broken, served.secret))[0]
    assert {} == await _heads(store)
