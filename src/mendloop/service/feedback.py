"""The door for any sender that speaks JSON: findings of one task, with a token."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec
from aiohttp import web

from mendloop.core.errors import ValidationError
from mendloop.core.model import FeedbackEntry, Finding, Settings
from mendloop.core.names import check_task_id
from mendloop.core.text import redact_secrets, tidy
from mendloop.core.transitions.naming import distinct
from mendloop.core.vocabulary import PERSON, IssueType, Severity
from mendloop.intake.json_bytes import UnreadableJson, decode
from mendloop.intake.jsonl import FeedbackLine
from mendloop.manager import StateManager
from mendloop.service.bodies import BodyReader, Refusal
from mendloop.service.queue import DeliveryQueue, Item
from mendloop.service.task_maker import with_task

__all__ = ["FeedbackDoor", "FeedbackPost", "FeedbackWork"]

_LIMIT_BYTES = 512 * 1024
_ID_LIMIT = 100
_PATIENCE_SECONDS = 10.0
_TOKEN_HEADERS = ("X-Gitlab-Token", "X-Mendloop-Token")
_BEARER = "bearer "


class FeedbackPost(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a sender posts.

    Attributes:
        task_id: The task; it is made where there is none.
        findings: As in a line of `mendloop schema feedback`, but that each needs a comment_id, or
            else is known by its content.
        id: Names this delivery; the same id again changes nothing, however late it comes.
        author: Who reports those findings that name nobody.
    """

    task_id: str
    findings: Annotated[tuple[FeedbackLine, ...], msgspec.Meta(min_length=1, max_length=1000)]
    id: Annotated[str, msgspec.Meta(max_length=_ID_LIMIT)] = ""
    author: str = ""


class FeedbackDoor:
    """
    ``POST /v1/feedback``.

    Attributes:
        name: See `mendloop.service.server.Door`.
        path: See there.
    """

    name = "feedback"
    path = "/v1/feedback"

    def __init__(self, queue: DeliveryQueue, tokens: Sequence[bytes]) -> None:
        """Let in who has one of *tokens*."""
        self._queue = queue
        self._tokens = tuple(tokens)
        self._bodies = BodyReader(limit_bytes=_LIMIT_BYTES, patience_seconds=_PATIENCE_SECONDS)

    async def take(self, request: web.Request) -> tuple[str, str]:
        """See `mendloop.service.server.Door.take`."""
        if not self._is_let_in(request):
            reason = "send a token of this service, as `Authorization: Bearer` or X-Gitlab-Token"
            raise Refusal(401, "unauthorized", reason)
        body = await self._bodies.read(request)
        try:
            post = _kept(decode(body, FeedbackPost))
            check_task_id(post.task_id)
        except (UnreadableJson, ValidationError) as error:
            raise Refusal(422, "invalid", _reason(error)) from error
        return "queued", await self._queue.put(self.name, msgspec.json.encode(post))

    def _is_let_in(self, request: web.Request) -> bool:
        """Compare with every token, in a time that tells nothing of them."""
        given = request.headers.get("Authorization", "")
        if given[: len(_BEARER)].lower() == _BEARER:
            given = given[len(_BEARER) :]
        else:
            given = next((request.headers[h] for h in _TOKEN_HEADERS if h in request.headers), "")
        sent = given.strip().encode(errors="replace")
        return sum(hmac.compare_digest(sent, token) for token in self._tokens) > 0


class FeedbackWork:
    """Takes what came through the door to its task."""

    def __init__(self, manager: StateManager, settings: Settings) -> None:
        """Make tasks with *settings* where there are none."""
        self._manager = manager
        self._settings = settings

    async def process(self, item: Item) -> str:
        """
        Add the findings of one post; again it changes nothing.

        Raises:
            StateError: They were not added, see `mendloop.manager.StateManager.append_feedback`.
        """
        post = msgspec.json.decode(item.content, type=FeedbackPost)
        by = post.author or FeedbackDoor.name
        manager = self._manager.acting_for(by, door=FeedbackDoor.name)
        entries = [_entry(line, by, item.received_at) for line in post.findings]
        op_id = f"{FeedbackDoor.name}:{post.id or item.id}"
        await with_task(
            manager,
            post.task_id,
            self._settings,
            lambda: manager.append_feedback(post.task_id, *entries, op_id=op_id),
        )
        return "done"


def _reason(error: Exception) -> str:
    """What is wrong, and which words there are where it is one that is not known."""
    reason = str(error)
    for member, words in (("severity", Severity), ("issue_type", IssueType)):
        if reason.startswith("Invalid enum value") and reason.endswith(f".{member}`"):
            return f"{reason}; known are: {', '.join(words)}"
    return reason


def _kept(post: FeedbackPost) -> FeedbackPost:
    """
    The post as it is queued: what waits in a store is without secrets too.

    Raises:
        ValidationError: A description is blank but for what cannot be seen.
    """
    return msgspec.structs.replace(
        post,
        id=distinct(post.id, limit_bytes=_ID_LIMIT, redact=redact_secrets),
        author=tidy(post.author, limit_bytes=_LIMIT_BYTES, redact=redact_secrets),
        findings=tuple(_kept_line(line) for line in post.findings),
    )


def _kept_line(line: FeedbackLine) -> FeedbackLine:
    kept = {
        name: tidy(getattr(line, name), limit_bytes=_LIMIT_BYTES, redact=redact_secrets)
        for name in ("description", "author", "path", "rule", "commit")
    }
    if not kept["description"].strip():
        raise ValidationError("a finding needs a description")
    names = {
        name: distinct(getattr(line, name), limit_bytes=_LIMIT_BYTES, redact=redact_secrets)
        for name in ("comment_id", "tool", "identity")
    }
    return msgspec.structs.replace(line, **kept, **names)


def _entry(line: FeedbackLine, by: str, received_at: datetime) -> FeedbackEntry:
    comment_id = line.comment_id
    if not comment_id and line.identity:
        comment_id = f"{line.tool or FeedbackDoor.name}:{line.identity}"
    return FeedbackEntry(
        timestamp=received_at,
        author=line.author or line.tool or by,
        severity=line.severity,
        issue_type=line.issue_type,
        description=line.description,
        resolved=False,
        pr_comment_id=comment_id,
        mendloop=Finding(
            fingerprint="", source=PERSON, rule=line.rule, path=line.path, line=line.line
        ),
    )
