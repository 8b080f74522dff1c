from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import aiohttp
from github_payloads import (
    account,
    as_body,
    at,
    check_run,
    issue_comment,
    pull_request,
    pull_request_event,
    review,
    review_comment,
)
from hook_sender import CONFIG, Hook, deliver, deliver_all, headers_of, hook
from served import Served, until_processed

from mendloop.core.codec import encode
from mendloop.core.vocabulary import Life
from mendloop.manager import StateManager
from mendloop.stores.port import Store

_FORM = "application/x-www-form-urlencoded"


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


async def test_a_stranger_s_fork_moves_no_tip(served: Served, store: Store) -> None:
    """A branch of a fork names no task: whoever opens a pull request of it outdates no review."""
    replica = served.start(*_configured(served))
    replica.wait_until_ready()
    head = {"ref": "task-42-mine", "sha": "e" * 40, "repo": {"id": 666}}
    fork = pull_request(number=8, labels=[], head=head, updated_at=at(12))
    steps = (
        (hook("pull_request_review", review(id=1)), "queued"),
        (hook("pull_request", pull_request_event("opened", pull_request=fork)), "ignored"),
        (hook("pull_request_review", review(id=2, submitted_at=at(11))), "queued"),
    )
    async with aiohttp.ClientSession() as session:
        for one, result in steps:
            _, answer = await deliver(session, replica, one, served.secret)
            assert result == answer["result"]
            await until_processed(store)
    async with StateManager(store) as manager:
        assert 2 == (await manager.require_state("42")).open_total


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


async def test_an_approval_that_is_sent_again_says_nothing_of_what_came_since(
    served: Served, store: Store
) -> None:
    """What the reviewer asked for later stays open, and so does what a person opened again."""
    replica = served.start(*_configured(served))
    replica.wait_until_ready()
    approval = hook(
        "pull_request_review", review(id=2, state="approved", body="", submitted_at=at(11))
    )
    async with (
        aiohttp.ClientSession() as session,
        StateManager(store, by="ann") as manager,
    ):

        async def send(one: Hook) -> int:
            assert 202 == (await deliver(session, replica, one, served.secret))[0]
            await until_processed(store)
            return (await manager.require_state("42")).open_total

        assert 1 == await send(hook("pull_request_review", review(id=1)))
        assert 0 == await send(approval)
        assert 1 == await send(hook("pull_request_review", review(id=3, submitted_at=at(12))))
        assert 1 == await send(approval)
        await manager.judge("42", Life.REOPENED, "github:9:review:1", reason="it is not done")
        assert 2 == await send(approval)
        again = hook(
            "pull_request_review", review(id=4, state="approved", body="", submitted_at=at(13))
        )
        assert 1 == await send(again)


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
        form = hook("pull_request_review", review())
        headers = headers_of(form, served.secret) | {"Content-Type": _FORM}
        async with session.post(
            f"{replica.intake}/v1/github", data=form.body, headers=headers
        ) as answer:
            assert 415 == answer.status
            assert "application/json" in (await answer.json())["reason"]
    assert {} == await _heads(store)


async def test_a_repository_that_is_not_listed_is_ignored(served: Served, store: Store) -> None:
    """It has the secret, and makes nothing all the same; how a listed one is written does not matter."""
    asked = hook("pull_request_review", review(body="not yet"))
    for listed, result in (("octo/other", "ignored"), ("Octo/HELLO", "queued")):
        path = served.folder / "serve.toml"
        path.write_text(f'[github]\nrepositories = ["{listed}"]\n')
        replica = served.start("--config", str(path))
        replica.wait_until_ready()
        async with aiohttp.ClientSession() as session:
            status, told = await deliver(session, replica, asked, served.secret)
        await until_processed(store)

        assert (202, result) == (status, told["result"])
        assert ({"42"} if result == "queued" else set()) == set(await _heads(store))


_SHORT_LIVED = """
[github]
max_age = "5s"
[cleanup]
interval = "1s"
retention = "10s"
grace = "0.5s"
"""


async def test_what_is_sent_again_after_its_task_was_removed_makes_nothing(
    served: Served, store: Store
) -> None:
    """Deliveries that somebody kept, an order among them, change nothing at any time after the first."""
    path = served.folder / "serve.toml"
    path.write_text(_SHORT_LIVED)
    replica = served.start("--config", str(path))
    replica.wait_until_ready()
    now = datetime.now(UTC).isoformat()
    times = {"created_at": now, "updated_at": now}
    kept = [
        hook("issue_comment", issue_comment(id=1, **times)),
        hook("pull_request_review_comment", review_comment(id=2, **times)),
        hook("check_run", check_run(started_at=now, completed_at=now)),
        hook("issue_comment", issue_comment(id=3, body="/stop", **times)),
        hook("issue_comment", issue_comment("deleted", id=1, **times)),
    ]
    await deliver_all(served, kept)
    await until_processed(store)
    before = await _heads(store)
    await deliver_all(served, kept)
    await until_processed(store)
    assert ["42"] == list(before)
    assert before == await _heads(store)
    await _until_removed(store)
    await deliver_all(served, kept)
    await until_processed(store)
    assert {} == await _heads(store)
    assert 0 < replica.metric("mendloop_processed_items_total", door="github", outcome="stale")
    told = [event["event"] for event in replica.log()]
    assert any(line.startswith("github:9:issue-comment:1 makes nothing new") for line in told)


async def _until_removed(store: Store) -> None:
    """Wait until the service has removed every task."""
    async with asyncio.timeout(60):
        while await _heads(store):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.1)


_TWO_BOTS = """
[github]
bots = ["octo-ci", "reviewer"]
[github.storm]
limit = 40
"""


def _bot_comment(number: int, login: str) -> Hook:
    bot = account(f"{login}[bot]", "Bot")
    told = at(10, 0, number)
    return hook(
        "issue_comment",
        issue_comment(
            id=number,
            user=bot,
            author_association="NONE",
            created_at=told,
            updated_at=told,
            event={"sender": bot},
        ),
    )


async def test_bots_that_answer_each_other_are_stopped_whichever_replica_hears_them(
    served: Served, store: Store
) -> None:
    """Twenty turns of two bots over three replicas are taken, and no more before a person's word."""
    path = served.folder / "serve.toml"
    path.write_text(_TWO_BOTS)
    for _ in range(3):
        served.start("--config", str(path)).wait_until_ready()
    async with aiohttp.ClientSession() as session, StateManager(store) as manager:
        for number in range(1, 26):
            replica = served.replicas[number % 3]
            one = _bot_comment(number, ("octo-ci", "reviewer")[number % 2])
            assert 202 == (await deliver(session, replica, one, served.secret))[0]
            await until_processed(store)
        assert 20 == (await manager.require_state("42")).findings_total
        person = issue_comment(id=50, created_at=at(11), updated_at=at(11), body="/remediate")
        for replica, one in (
            (served.replicas[0], hook("issue_comment", person)),
            (served.replicas[1], _bot_comment(25, "reviewer")),
        ):
            assert 202 == (await deliver(session, replica, one, served.secret))[0]
            await until_processed(store)
        assert 21 == (await manager.require_state("42")).findings_total


async def test_a_storm_is_kept_from_the_store(served: Served, store: Store) -> None:
    """More comments of one pull request than may come at once are answered with the reason, and not stored."""
    path = served.folder / "serve.toml"
    path.write_text("[github.storm]\nlimit = 3\nwindow = '10m'\n")
    replica = served.start("--config", str(path))
    replica.wait_until_ready()
    sent = [hook("issue_comment", issue_comment(id=number)) for number in range(5)]
    async with aiohttp.ClientSession() as session:
        answers = [await deliver(session, replica, one, served.secret) for one in sent]
    await until_processed(store)
    refused = {"result": "ignored", "reason": "3 came within 600 seconds, and 3 may"}

    assert [(202, {"result": "queued"})] * 3 + [(202, refused)] * 2 == answers
    async with StateManager(store) as manager:
        assert 3 == (await manager.require_state("42")).findings_total
