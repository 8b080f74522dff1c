from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import aiohttp
from github_payloads import at, review_comment
from hook_sender import CONFIG, Hook, deliver, deliver_all, hook
from payload_rows import TABLE, expected, hooks_of, left_in
from payload_table import on
from served import Served, until_processed

from mendloop.core.codec import encode
from mendloop.core.lives import life_of
from mendloop.core.vocabulary import Life
from mendloop.manager import StateManager
from mendloop.stores.port import Store

_TASKS = 5


def _configured(served: Served) -> tuple[str, str]:
    path = served.folder / "serve.toml"
    path.write_text(CONFIG)
    return "--config", str(path)


def _comments(count: int) -> tuple[list[Hook], dict[str, tuple[str, bool]]]:
    """Events of *count* comments, and what has to be left: the text, and whether it is dismissed."""
    hooks: list[Hook] = []
    left: dict[str, tuple[str, bool]] = {}
    for number in range(count):
        event = on(number % _TASKS)
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
            latest = {"body": texts[number % 2], "updated_at": times[2]}
            sent.append(review_comment("deleted", event, **common | latest))
        hooks += [hook("pull_request_review_comment", payload) for payload in sent]
        left[f"github:9:review-comment:{number}"] = (texts[number % 2], number % 3 == 0)
    return hooks, left


async def _kept(store: Store) -> dict[str, tuple[str, bool]]:
    kept: dict[str, tuple[str, bool]] = {}
    async with StateManager(store) as manager:
        for task in range(_TASKS):
            for entry in await manager.get_feedback_history(str(task)):
                assert entry.pr_comment_id not in kept
                is_dismissed = life_of(entry) is Life.DISMISSED
                kept[entry.pr_comment_id] = entry.description, is_dismissed
    return kept


async def _heads(store: Store) -> dict[str, bytes]:
    async with StateManager(store) as manager:
        tasks = (await manager.list_tasks()).tasks
        return {task.task_id: encode(task.state) for task in tasks if task.state is not None}


async def test_each_payload_becomes_what_the_table_says(served: Served, store: Store) -> None:
    """Each row is answered with its reason or stored, and leaves its findings and its order alone."""
    replica = served.start(*_configured(served))
    replica.wait_until_ready()
    answers: dict[str, list[tuple[int, str, str]]] = {}
    async with aiohttp.ClientSession() as session:
        for number, row in TABLE.items():
            for one in hooks_of(number):
                status, told = await deliver(session, replica, one, served.secret)
                answer = status, told.get("result", ""), told.get("reason", "")
                answers.setdefault(row.name, []).append(answer)
    await until_processed(store)

    for number, row in TABLE.items():
        taken = "ignored" if row.ignored else "queued"
        reason = row.ignored or row.warning.format(n=number)
        assert {(202, taken, reason)} == set(answers[row.name]), row.name
    left = await left_in(store)
    wrong = {name: (due, left.get(name)) for name, due in expected().items()}
    assert {} == {name: (due, found) for name, (due, found) in wrong.items() if due != found}
    assert expected().keys() == left.keys()


async def test_findings_are_the_unique_comments_whatever_the_deliveries(
    served: Served, store: Store, scaled: Callable[[int, int], int]
) -> None:
    """
    All payloads, each sent 1 to 5 times in any order to three replicas that are killed: one finding each.

    The text that is left is the latest, what was deleted is dismissed, an order was obeyed once. All
    of it sent once more changes nothing.
    """
    hooks, left = _comments(scaled(1000, 100))
    hooks += [one for number in TABLE for one in hooks_of(number)]
    dice = random.Random(11)
    sent = [one for one in hooks for _ in range(dice.randint(1, 5))]
    dice.shuffle(sent)
    options = _configured(served)
    for _ in range(3):
        served.start(*options).wait_until_ready()
    rounds = scaled(12, 3)
    for part in range(rounds):
        begin, end = part * len(sent) // rounds, (part + 1) * len(sent) // rounds
        delivering = asyncio.create_task(deliver_all(served, sent[begin:end]))
        await asyncio.sleep(dice.uniform(0.05, 0.5))
        await asyncio.to_thread(served.replicas[part].kill)
        await asyncio.to_thread(served.start(*options).wait_until_ready)
        await delivering
    await until_processed(store, seconds=120)
    assert left == await _kept(store)
    assert expected() == await left_in(store)
    before = await _heads(store)
    await deliver_all(served, hooks)
    await until_processed(store, seconds=120)
    assert before == await _heads(store)
