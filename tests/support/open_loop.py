"""
Deliveries at a fixed rate, whatever the answers take: an open loop.

Each has its time on a schedule that is made before the first is sent, and what it took is counted
from that time. So one slow answer does not put off those behind it and hide what they would have
waited ("coordinated omission").
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import aiohttp
import msgspec
from github_payloads import MARKED, account, at, issue_comment, pull_request, review, review_comment
from hook_sender import Hook, headers_of, hook

__all__ = ["Answers", "comments", "send_on_schedule"]

_TASKS = 20
_REPOSITORY_URLS = [
    "archive",
    "assignees",
    "blobs",
    "branches",
    "collaborators",
    "comments",
    "commits",
    "compare",
    "contents",
    "contributors",
    "deployments",
    "downloads",
    "events",
    "forks",
    "git_commits",
    "git_refs",
    "git_tags",
    "hooks",
    "issue_comment",
    "issue_events",
    "issues",
    "keys",
    "labels",
    "languages",
    "merges",
    "milestones",
    "notifications",
    "pulls",
    "releases",
    "stargazers",
    "statuses",
    "subscribers",
    "subscription",
    "tags",
    "teams",
    "trees",
    "clone",
    "git",
    "ssh",
    "svn",
    "mirror",
]


class Answers(msgspec.Struct):
    """
    What a sender was told.

    Attributes:
        statuses: How often which; 0 for none.
        seconds: From the scheduled time to the end of the answer, of those that were taken in.
        taken: Those that were taken in, by their place in what was sent.
    """

    statuses: Counter[int] = msgspec.field(default_factory=Counter)
    seconds: list[float] = []
    taken: set[int] = msgspec.field(default_factory=set)

    def within_ms(self, share: float) -> float:
        """So many milliseconds *share* of the answers took at most."""
        ordered = sorted(self.seconds)
        return 1000 * ordered[min(int(share * len(ordered)), len(ordered) - 1)]

    def told(self) -> str:
        """The figures, for people."""
        p50, p99, most = (self.within_ms(share) for share in (0.5, 0.99, 1.0))
        return f"{len(self.seconds)} answers, p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest {most:.1f} ms"


def comments(count: int, *, first: int = 0) -> tuple[list[Hook], list[str]]:
    """
    Deliveries of *count* comments on some pull requests, as large as GitHub's.

    One in ten was edited, and one in ten is delivered twice.

    Args:
        count: Of comments.
        first: Number of the first one.

    Returns:
        What is sent, in this order, and of each the id of the finding that it makes.
    """
    dice = random.Random(17)
    sent: list[tuple[Hook, str]] = []
    makers = (
        ("pull_request_review_comment", review_comment, "review-comment"),
        ("issue_comment", issue_comment, "issue-comment"),
        ("pull_request_review", review, "review"),
    )
    for number in range(first, first + count):
        event, make, word = makers[number % len(makers)]
        about, finding = _about(number % _TASKS), f"github:9:{word}:{number}"
        made = hook(event, make(event=about, id=number))
        sent.append((made, finding))
        if number % 10 == 3:
            sent.insert(dice.randrange(len(sent)) + 1, (made, finding))
        if number % 10 == 6:
            edited = {"id": number, "body": f"{MARKED}In other words.", "updated_at": at(11)}
            sent.append((hook(event, make("edited", about, **edited)), finding))
    return [one for one, _ in sent], [finding for _, finding in sent]


def _about(task: int) -> dict[str, Any]:
    """What GitHub says about the repository and the pull request, in about 20 kB."""
    repository = {
        "id": 9,
        "full_name": "octo/hello",
        "owner": _person("octo"),
        **{
            f"{what}_url": f"https://api.github.com/repos/octo/hello/{what}{{/sha}}{{?ref}}"
            for what in _REPOSITORY_URLS
        },
    }
    side = {"sha": "a" * 40, "repo": repository, "user": _person("octo")}
    pull = pull_request(
        number=task,
        labels=[{"name": f"task-{task}", "description": "a task of the agents", "color": "d73a4a"}],
        user=_person("octocat"),
        body="What this changes, and why. " * 40,
        head={"ref": f"task-{task}-names", **side},
        base={"ref": "main", **side},
    )
    issue = {
        "number": task,
        "labels": pull["labels"],
        "user": _person("octocat"),
        "body": pull["body"],
        "pull_request": {"url": f"https://api.github.com/repos/octo/hello/pulls/{task}"},
    }
    return {"repository": repository, "pull_request": pull, "issue": issue}


def _person(login: str) -> dict[str, Any]:
    base = f"https://api.github.com/users/{login}"
    words = [
        "followers",
        "following",
        "gists",
        "starred",
        "subscriptions",
        "organizations",
        "repos",
        "events",
    ]
    return account(login) | {f"{word}_url": f"{base}/{word}{{/other_user}}" for word in words}


async def send_on_schedule(
    url: str, hooks: Sequence[Hook], secret: bytes, *, per_second: float
) -> Answers:
    """Send each at its time, over connections that are kept."""
    answers = Answers()
    prepared = [(one.body, headers_of(one, secret)) for one in hooks]
    loop = asyncio.get_running_loop()
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)

    async def send(number: int, due_seconds: float) -> None:
        body, headers = prepared[number]
        status = 0
        try:
            async with session.post(url, data=body, headers=headers) as answer:
                await answer.read()
                status = answer.status
        except (aiohttp.ClientError, OSError):
            pass
        answers.statuses[status] += 1
        if status == HTTPStatus.ACCEPTED:
            answers.seconds.append(loop.time() - due_seconds)
            answers.taken.add(number)

    async with (
        aiohttp.ClientSession(connector=connector) as session,
        asyncio.TaskGroup() as group,
    ):
        begin_seconds = loop.time() + 0.1
        for number in range(len(prepared)):
            due_seconds = begin_seconds + number / per_second
            await asyncio.sleep(due_seconds - loop.time())
            group.create_task(send(number, due_seconds))
    return answers
