"""What deliveries do to tasks, one by one and in this process, without a service around it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import msgspec
import pytest
from github_payloads import (
    MARKED,
    account,
    as_body,
    at,
    check_run,
    issue_comment,
    pull_request,
    review,
    review_comment,
)
from hook_sender import Hook, headers_of, hook
from lone_door import open_door

from mendloop.clock import SystemClock
from mendloop.core.lives import life_of
from mendloop.core.model import RemediationState, Settings
from mendloop.core.vocabulary import Life, Status
from mendloop.intake.github.deliveries import Delivery
from mendloop.intake.github.findings import entry_of
from mendloop.intake.github.reduction import reduce
from mendloop.manager import StateManager
from mendloop.service.github import GithubDoor
from mendloop.service.github_work import GithubWork
from mendloop.service.queue import DeliveryQueue, Item
from mendloop.service.settings import GithubTable, StormTable
from mendloop.stores.port import Store

_SECRET = b"s" * 32


class _Desk:
    """Does what deliveries ask for."""

    def __init__(self, manager: StateManager, table: GithubTable) -> None:
        self._manager = manager
        self._work = GithubWork(manager, Settings(max_iterations=10), table)

    async def do(self, event: str, payload: Any, *, delivery_id: str = "d-1") -> str:
        """Process one delivery, as the queue hands it over."""
        delivery = reduce(event, delivery_id, as_body(payload))
        assert isinstance(delivery, Delivery), delivery
        item = Item(
            id=delivery_id,
            door="github",
            received_at=datetime.now(UTC),
            content=msgspec.Raw(msgspec.json.encode(delivery)),
        )
        return await self._work.process(item)

    async def add(self, event: str, payloads: Sequence[Any]) -> None:
        """Add what many deliveries say, in one go."""
        said = [reduce(event, "d-1", as_body(payload)) for payload in payloads]
        entries = [entry_of(one) for one in said if isinstance(one, Delivery)]
        await self._manager.append_feedback("42", *entries)

    async def state(self) -> RemediationState:
        return await self._manager.require_state("42")


@pytest.fixture
async def desk(file: Store) -> AsyncIterator[_Desk]:
    """Whoever does what deliveries ask for."""
    async with StateManager(file, by="mendloop@a", door="service") as manager:
        yield _Desk(manager, GithubTable())


async def test_an_order_is_known_by_its_comment_whatever_the_delivery_is_called(
    desk: _Desk,
) -> None:
    """The id of a delivery is not signed: a kept order under another one changes nothing."""
    pause = issue_comment(body="/pause")
    assert "done" == await desk.do("issue_comment", pause)
    await desk.do("issue_comment", issue_comment(id=42, body="/resume"), delivery_id="d-2")
    await desk.do("issue_comment", pause, delivery_id="d-3")

    assert (await desk.state()).ledger.pause is None


async def test_each_order_does_what_it_says(desk: _Desk) -> None:
    """A stop ends the task, and a resume brings it back with the limit that it names."""
    await desk.do("issue_comment", issue_comment(id=1, body="/stop it is hopeless"))
    assert Status.FAILED is (await desk.state()).status
    await desk.do("issue_comment", issue_comment(id=2, body="/resume 33"))
    state = await desk.state()

    assert (Status.INITIALIZED, 33) == (state.status, state.ledger.settings.max_iterations)


async def test_what_was_written_long_ago_does_nothing_but_go(desk: _Desk) -> None:
    """An old comment makes no task and no finding; an old deletion withdraws, and makes no task either."""
    old = (datetime.now(UTC) - timedelta(days=4)).isoformat()
    times = {"created_at": old, "updated_at": old}
    deleted = issue_comment("deleted", id=1, **times)
    assert "stale" == await desk.do("issue_comment", issue_comment(id=1, **times))
    assert "stale" == await desk.do("issue_comment", issue_comment(id=2, body="/stop", **times))
    assert "no_task" == await desk.do("issue_comment", deleted)
    await desk.do("issue_comment", issue_comment(id=1))
    await desk.do("issue_comment", issue_comment(id=3))
    assert 2 == (await desk.state()).open_total
    assert "done" == await desk.do("issue_comment", issue_comment("deleted", id=3))

    assert 1 == (await desk.state()).open_total


async def test_a_comment_that_is_edited_away_can_be_edited_back(desk: _Desk) -> None:
    """An edit that asks for nothing withdraws the finding; a later one makes it count again."""
    former = {"changes": {"body": {"from": MARKED}}}
    away = issue_comment("edited", former, body="It is fine as it is.", updated_at=at(11))
    back = issue_comment("edited", body=MARKED, updated_at=at(12))
    await desk.do("issue_comment", issue_comment())
    await desk.do("issue_comment", away)
    await desk.do("issue_comment", back)
    edited = (await desk.state()).feedback_history[0]
    assert edited.description.startswith("Saving a profile")
    await desk.do("issue_comment", issue_comment("deleted", updated_at=at(13)))
    later = issue_comment("edited", body=MARKED, updated_at=at(14))
    await desk.do("issue_comment", later)

    assert Life.DISMISSED is life_of((await desk.state()).feedback_history[0])


async def test_an_approval_speaks_of_the_reviewer_s_own_reviews_of_that_repository(
    desk: _Desk,
) -> None:
    """Another one's review, a comment on a line, a check, and a review elsewhere stay open."""
    elsewhere = {"repository": {"id": 10, "full_name": "octo/other"}}
    own = [("pull_request_review", review(id=number)) for number in (1, 2)]
    others = [
        ("pull_request_review", review(id=3, user=account("ann"))),
        ("pull_request_review", review(id=4, event=elsewhere)),
        ("pull_request_review_comment", review_comment()),
        ("check_run", check_run()),
    ]
    for event, payload in (*own, *others):
        await desk.do(event, payload)
    approval = review(id=5, state="approved", body="", submitted_at=at(11))
    assert "done" == await desk.do("pull_request_review", approval)
    state = await desk.state()

    assert {"github:9:review:1", "github:9:review:2"} == {
        entry.pr_comment_id for entry in state.feedback_history if entry.resolved
    }
    assert len(others) == state.open_total


async def test_an_approval_resolves_more_than_a_page_of_findings(desk: _Desk) -> None:
    """All that the reviewer asked for, however much it is."""
    await desk.do("pull_request_review", review(id=1))
    reviews = [review(id=number, body=f"{MARKED} {number}") for number in range(2, 511)]
    await desk.add("pull_request_review", reviews)
    assert 510 == (await desk.state()).open_total
    await desk.do(
        "pull_request_review", review(id=600, state="approved", body="", submitted_at=at(11))
    )

    assert 0 == (await desk.state()).open_total


async def test_a_change_is_recorded_by_who_made_it(desk: _Desk) -> None:
    """Who deletes another one's comment is in the record, and not its author."""
    await desk.do("issue_comment", issue_comment())
    await desk.do("issue_comment", issue_comment("deleted", {"sender": account("maintainer")}))
    last = (await desk.state()).ledger.commits[-1].changes[-1]

    assert ("github:maintainer", "github") == (last.by, last.door)


async def test_what_was_said_of_an_older_commit_waits_for_no_head(desk: _Desk) -> None:
    """A commit that was seen and is not the head is older than it, though nobody told so before."""
    await desk.do("pull_request_review", review(id=1))
    await desk.do("pull_request_review", review(id=2, commit_id="f" * 40))
    tips = [tip.commit for tip in (await desk.state()).ledger.tips]

    assert ["f" * 40, "a" * 40] == tips


def _open_door(store: Store, table: GithubTable) -> AbstractAsyncContextManager[str]:
    clock = SystemClock()
    queue = DeliveryQueue(store, store, clock=clock)
    return open_door(store, queue, GithubDoor(queue, [_SECRET], table=table, clock=clock))


async def _send(url: str, hooks: Sequence[Hook]) -> list[tuple[str, str]]:
    """What the door makes of each: in one word, and in more."""
    told = []
    async with aiohttp.ClientSession() as session:
        for one in hooks:
            headers = headers_of(one, _SECRET)
            async with session.post(url, data=one.body, headers=headers) as answer:
                said = await answer.json()
                told.append((said["result"], said.get("reason", "")))
    return told


async def test_only_listed_repositories_count_in_any_case(file: Store) -> None:
    """A repository is known by its full name as GitHub knows it: in whatever case it is written."""
    own = {"repository": {"id": 9, "full_name": "OCTO/hello"}}
    other = {"repository": {"id": 10, "full_name": "octo/other"}}
    hooks = [
        hook("issue_comment", issue_comment(event=own)),
        hook("issue_comment", issue_comment(event=other)),
    ]
    async with _open_door(file, GithubTable(repositories=("Octo/Hello",))) as url:
        told = await _send(url, hooks)

    assert [("queued", ""), ("ignored", "the repository 'octo/other' is not listed")] == told


async def test_a_storm_shuts_out_neither_a_new_head_nor_another_pull_request(file: Store) -> None:
    """Only what is said on that pull request of that repository is too much."""
    elsewhere = {"repository": {"id": 10, "full_name": "octo/other"}}
    another = pull_request(number=8)
    head = {
        "action": "synchronize",
        "number": 7,
        "pull_request": pull_request(),
        "repository": {"id": 9, "full_name": "octo/hello"},
        "sender": account(),
    }
    hooks = [
        *(hook("pull_request", head) for _ in range(3)),
        *(hook("pull_request_review", review(id=number)) for number in range(4)),
        hook("pull_request", head),
        hook("pull_request_review", review(id=5, event={"pull_request": another})),
        hook("pull_request_review", review(id=6, event=elsewhere)),
    ]
    async with _open_door(file, GithubTable(storm=StormTable(limit=3))) as url:
        told = [result for result, _ in await _send(url, hooks)]

    assert [*["queued"] * 6, "ignored", *["queued"] * 3] == told
