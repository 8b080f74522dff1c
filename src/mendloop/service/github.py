"""The door for GitHub's webhook: signed deliveries, reduced to what is kept of them."""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict, deque
from collections.abc import Sequence
from datetime import datetime

import msgspec
from aiohttp import web

from mendloop.clock import Clock
from mendloop.config import parse_duration
from mendloop.core.errors import ValidationError
from mendloop.intake.github.deliveries import BODY_LIMIT_BYTES, Delivery, Ignored, Says
from mendloop.intake.github.guards import (
    Authors,
    refusal_of_author,
    refusal_of_storm,
)
from mendloop.intake.github.reduction import reduce
from mendloop.intake.github.signature import SIGNATURE_HEADER, Signature, check_signature
from mendloop.intake.github.tasks import task_of
from mendloop.service.bodies import BodyReader, Refusal
from mendloop.service.queue import DeliveryQueue
from mendloop.service.settings import GithubTable

__all__ = ["GithubDoor"]

_PATIENCE_SECONDS = 10.0
_LONG_BYTES = 48 * 1024
_FORM = "application/x-www-form-urlencoded"
_DELIVERY_ID = re.compile(r"[0-9A-Za-z-]{1,64}")
_EVENT = re.compile(r"[a-z_]{1,64}")
_PULL_REQUESTS_REMEMBERED = 4096


class GithubDoor:
    """
    ``POST /v1/github``.

    The guard against storms counts what came to this replica: it keeps a flood away from the store,
    and of several replicas each lets so much through.

    Attributes:
        name: See `mendloop.service.server.Door`.
        path: See there.
    """

    name = "github"
    path = "/v1/github"

    def __init__(
        self,
        queue: DeliveryQueue,
        secrets: Sequence[bytes],
        *,
        table: GithubTable,
        clock: Clock,
    ) -> None:
        """Let in what is signed with one of *secrets*."""
        self._queue = queue
        self._secrets = tuple(secrets)
        self._clock = clock
        self._repositories = table.repositories
        self._storm = table.storm
        self._window_seconds = parse_duration(table.storm.window)
        self._authors = Authors(
            own_login=table.own_login,
            bots=table.bots,
            ignored=table.ignored,
            allow=table.allow,
            allow_teams=table.allow_teams,
            allow_associations=table.allow_associations,
            teams=dict(table.teams),
        )
        self._bodies = BodyReader(limit_bytes=BODY_LIMIT_BYTES, patience_seconds=_PATIENCE_SECONDS)
        self._recent: OrderedDict[tuple[int, int], deque[datetime]] = OrderedDict()

    async def take(self, request: web.Request) -> tuple[str, str]:
        """See `mendloop.service.server.Door.take`."""
        body = await self._bodies.read(request)
        signature = check_signature(body, request.headers.get(SIGNATURE_HEADER), self._secrets)
        if signature is not Signature.VALID:
            reason = f"the signature in {SIGNATURE_HEADER} is {signature}: nothing was read"
            raise Refusal(401, f"signature_{signature}", reason)
        if request.content_type == _FORM:
            reason = "let the webhook's content type be application/json, and no form"
            raise Refusal(415, "form", reason)
        event = request.headers.get("X-GitHub-Event", "")
        delivery_id = request.headers.get("X-GitHub-Delivery", "")
        if not _EVENT.fullmatch(event) or not _DELIVERY_ID.fullmatch(delivery_id):
            raise Refusal(400, "invalid", "X-GitHub-Event and X-GitHub-Delivery are needed")
        try:
            # A long comment may be made so that it takes long to read: others are answered meanwhile.
            is_long = len(body) > _LONG_BYTES
            read = (event, delivery_id, body)
            reduced = await asyncio.to_thread(reduce, *read) if is_long else reduce(*read)
        except ValidationError as error:
            raise Refusal(422, "invalid", str(error)) from error
        if isinstance(reduced, Ignored):
            return "ignored", reduced.reason
        named = task_of(reduced.labels, reduced.branch)
        reason = named.problem or self._refusal(reduced)
        if reason:
            return "ignored", reason
        if reduced.author.is_bot:
            reduced = msgspec.structs.replace(reduced, command=None)
        await self._queue.put(self.name, msgspec.json.encode(reduced))
        return "queued", "; ".join(filter(None, (named.warning, reduced.warning)))

    def _refusal(self, delivery: Delivery) -> str:
        """Say why nothing comes of *delivery*; "" where something does."""
        wanted = {name.lower() for name in self._repositories}
        if wanted and delivery.repository.lower() not in wanted:
            return f"the repository {delivery.repository!a} is not listed"
        refusal = refusal_of_author(delivery, self._authors)
        if delivery.says is Says.COMMAND and delivery.author.is_bot:
            return refusal or "only a person gives orders"
        if refusal or delivery.says is Says.HEAD:
            return refusal
        return self._refusal_of_storm(delivery)

    def _refusal_of_storm(self, delivery: Delivery) -> str:
        key = (delivery.repository_id, delivery.pull_request)
        recent = self._recent.setdefault(key, deque(maxlen=self._storm.limit))
        self._recent.move_to_end(key)
        if len(self._recent) > _PULL_REQUESTS_REMEMBERED:
            self._recent.popitem(last=False)
        now = self._clock.now()
        refusal = refusal_of_storm(
            recent, now, limit=self._storm.limit, window_seconds=self._window_seconds
        )
        recent.append(now)
        return refusal
