"""
What deliveries of GitHub do to tasks.

Each may come late, twice and in any order, and be sent again years later by whoever kept it: a
comment is known by its id for ever, an order is remembered with the task, and what is older than
`GithubTable.max_age` makes nothing new.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

import msgspec

from mendloop.config import parse_duration
from mendloop.core import commands
from mendloop.core.errors import StateNotFound, ValidationError
from mendloop.core.lives import finding_of
from mendloop.core.model import FeedbackEntry, Settings
from mendloop.core.vocabulary import CommentEvent, Life
from mendloop.findings import Which
from mendloop.intake.github.commands import Command, Verb
from mendloop.intake.github.deliveries import Delivery, Says
from mendloop.intake.github.findings import entry_of
from mendloop.intake.github.tasks import task_of
from mendloop.manager import StateManager
from mendloop.service.github import GithubDoor
from mendloop.service.queue import Item
from mendloop.service.settings import GithubTable
from mendloop.service.task_maker import with_task

__all__ = ["GithubWork"]

_T = TypeVar("_T")

_log = logging.getLogger(__name__)

_NEW_ACTIONS = frozenset({"created", "submitted", "completed"})
_CHECK = "check_run"
_LONG_CHARACTERS = 16 * 1024
"""A longer text may take long to read: others are processed meanwhile."""

_WITHDRAWN_TEXT = "a comment that is not there any more"
_FINDINGS_A_PAGE = 500
_A_MOMENT = timedelta(microseconds=1)
"""What somebody saw who did not see the head was the head before: at least so long."""


class GithubWork:
    """Takes what came through the door to its task."""

    def __init__(self, manager: StateManager, settings: Settings, table: GithubTable) -> None:
        """Make tasks with *settings* where there are none."""
        self._manager = manager
        self._settings = settings
        self._max_age = timedelta(seconds=parse_duration(table.max_age))

    async def process(self, item: Item) -> str:
        """
        Do what one delivery asks for; again it changes nothing.

        Returns:
            "done", or why nothing was done: "stale", "no_task".

        Raises:
            StateError: It was not done.
        """
        delivery = msgspec.json.decode(item.content, type=Delivery)
        named = task_of(delivery.labels, delivery.branch)
        if named.warning:
            _log.warning("pull request %d: %s", delivery.pull_request, named.warning)
        if not named.task_id:
            raise ValidationError(named.problem)
        manager = self._manager.acting_for(f"github:{delivery.actor.login}", door=GithubDoor.name)
        one = _One(manager, named.task_id, delivery)
        is_fresh = item.received_at - delivery.updated_at <= self._max_age
        try:
            return await self._do(one, is_fresh=is_fresh)
        except StateNotFound:
            return "no_task"

    async def _do(self, one: _One, *, is_fresh: bool) -> str:
        says = one.delivery.says
        if says is Says.HEAD:
            return await one.record_tip()
        if not is_fresh and says is not Says.WITHDRAWN:
            _log.warning(
                "%s makes nothing new: it is of %s, which is longer ago than github.max_age where the "
                "clock here is right",
                one.delivery.source_id,
                one.delivery.updated_at.isoformat(),
            )
            return "stale"
        if says is Says.APPROVED:
            await one.record_tip()
            return await one.approve()
        if says in {Says.FINDING, Says.WITHDRAWN}:
            await self._made(one, one.record, may_make=is_fresh)
        if one.delivery.command is not None and is_fresh:
            await self._made(one, one.obey, may_make=True)
        return "done"

    async def _made(self, one: _One, change: Callable[[], Awaitable[_T]], *, may_make: bool) -> _T:
        """Do *change*, and make the task for it where there is none and it may be."""
        if not may_make:
            return await change()
        return await with_task(one.manager, one.task_id, self._settings, change)


class _One:
    """One delivery, and the task that it is about."""

    def __init__(self, manager: StateManager, task_id: str, delivery: Delivery) -> None:
        self.manager = manager
        self.task_id = task_id
        self.delivery = delivery

    async def record_tip(self) -> str:
        """Say which commit the pull request stands at, and that one that was seen stood there before."""
        delivery = self.delivery
        if delivery.head_sha:
            if delivery.commit and delivery.commit != delivery.head_sha:
                before = delivery.updated_at - _A_MOMENT
                await self.manager.record_tip(self.task_id, delivery.commit, at=before)
            await self.manager.record_tip(self.task_id, delivery.head_sha, at=delivery.updated_at)
        return "done"

    async def record(self) -> None:
        """Take the comment in, as it is now."""
        if self.delivery.commit:
            await self.record_tip()
        entry, event = await self._entry(), self._event()
        await self.manager.record_comment(
            self.task_id,
            entry,
            event,
            at=self.delivery.updated_at,
            by=self.delivery.actor.login,
            commit=self.delivery.commit,
            is_bot=None if self.delivery.event == _CHECK else self.delivery.author.is_bot,
        )

    async def _entry(self) -> FeedbackEntry:
        delivery = self.delivery
        is_long = len(delivery.text) > _LONG_CHARACTERS
        entry = await asyncio.to_thread(entry_of, delivery) if is_long else entry_of(delivery)
        if entry.description.strip():
            return entry
        return msgspec.structs.replace(entry, description=_WITHDRAWN_TEXT)

    def _event(self) -> CommentEvent:
        """What became of the comment; one that asks for nothing any more still says something."""
        if self.delivery.says is Says.WITHDRAWN:
            is_edited = self.delivery.action == "edited" and self.delivery.text.strip()
            return CommentEvent.EDITED if is_edited else CommentEvent.DELETED
        is_new = self.delivery.action in _NEW_ACTIONS
        return CommentEvent.CREATED if is_new else CommentEvent.EDITED

    async def approve(self) -> str:
        """
        Resolve what the reviewer's own reviews had asked for until then.

        Approving an older commit does nothing, and no approval speaks of what came after it: it may
        be sent again at any time.
        """
        delivery = self.delivery
        if delivery.commit and delivery.head_sha and delivery.commit != delivery.head_sha:
            return "stale"
        names = [name async for name in self._asked_for()]
        if names:
            await self.manager.judge(
                self.task_id,
                Life.VERIFIED,
                *names,
                reason=f"{delivery.author.login} approved {delivery.commit[:12]}".rstrip(),
                op_id=f"{delivery.source_id}:approved",
            )
        return "done"

    async def _asked_for(self) -> AsyncIterator[str]:
        """Open findings of the same reviewer that were made by a review of the same repository."""
        prefix = f"github:{self.delivery.repository_id}:review:"
        which = Which(author=self.delivery.author.login, is_open=True)
        cursor: str | None = None
        while True:
            page = await self.manager.find(
                self.task_id, which, limit=_FINDINGS_A_PAGE, cursor=cursor
            )
            for entry in page.entries:
                if entry.pr_comment_id.startswith(prefix) and not self._is_later(entry):
                    yield entry.pr_comment_id
            cursor = page.cursor
            if cursor is None:
                return

    def _is_later(self, entry: FeedbackEntry) -> bool:
        """Whether a finding was said so, or opened again by a person, after this was written."""
        finding = finding_of(entry)
        said_at = finding.comment.said_at if finding.comment is not None else entry.timestamp
        reopened = [change.at for change in finding.lives if change.life is Life.REOPENED]
        return max([said_at, *reopened]) > self.delivery.updated_at

    async def obey(self) -> None:
        """Do what the comment orders, once."""
        command = self.delivery.command
        assert command is not None  # noqa: S101 - it is asked for where there is one
        await self.manager.submit(
            self.task_id,
            commands.Order(order=_order_of(command, self.delivery)),
            op_id=f"{self.delivery.source_id}:{command.verb}",
        )


def _order_of(
    command: Command, delivery: Delivery
) -> commands.Pause | commands.Resume | commands.Stop:
    reason = command.reason or f"ordered in a comment on pull request {delivery.pull_request}"
    if command.verb is Verb.PAUSE:
        return commands.Pause(reason=reason)
    if command.verb is Verb.STOP:
        return commands.Stop(reason=reason)
    return commands.Resume(max_iterations=command.max_iterations)
