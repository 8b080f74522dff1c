"""What a manager does with the findings of a task: take them in, judge them, and seal them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime
from typing import Any

from mendloop.core import commands
from mendloop.core.model import FeedbackEntry, RemediationState
from mendloop.core.vocabulary import CommentEvent, Life

__all__ = ["Feedback"]


class Feedback(ABC):
    """The part of `mendloop.manager.StateManager` that changes findings."""

    @abstractmethod
    async def submit(
        self, task_id: str, command: commands.Command, *, op_id: str | None = None
    ) -> dict[str, Any]:
        """Have one command decided and written."""

    @abstractmethod
    async def require_state(self, task_id: str) -> RemediationState:
        """Read a task's state fresh from the store, where there has to be one."""

    async def append_feedback(
        self,
        task_id: str,
        *entries: FeedbackEntry,
        commit: str = "",
        op_id: str | None = None,
    ) -> dict[str, Any]:
        """
        Add findings; one that is there already, by comment id and content, changes nothing.

        Args:
            entries: Their ``pr_comment_id`` may be "": it is then made from the content.
            commit: The commit that they were seen on, or "". Where it is known to be older than the
                task's tip (see `record_tip`) they are kept as outdated, and not acted on.

        Returns:
            Counts of "new", "known", "edited" and "outdated" findings, and the comment "ids" they are
            kept under.

        Raises:
            StateNotFound: There is no such task.
        """
        command = commands.AppendFeedback(entries=entries, commit=commit)
        return await self.submit(task_id, command, op_id=op_id)

    async def record_comment(
        self,
        task_id: str,
        comment: FeedbackEntry,
        event: CommentEvent,
        *,
        at: datetime,
        by: str = "",
        commit: str = "",
        is_bot: bool | None = None,
        op_id: str | None = None,
    ) -> dict[str, Any]:
        """
        Tell of a comment that was created, edited or deleted where it was written.

        Tell of it in any order and as often as you like: the latest text counts, what is deleted is
        dismissed and stays as it is. An edit opens what was gone only where it has other words or is
        worse. Two different deletions of one comment do not happen; the first that is told counts.

        Args:
            comment: As it is then, with its id and author; its timestamp is when it was created.
            event: What happened.
            at: When, by the source's clock.
            by: Who did it; its author, if not given.
            commit: The commit that it is about, see `append_feedback`.
            is_bot: Whether a program wrote it. Bots that answer each other are stopped until a person
                writes something; None for what answers nobody.

        Returns:
            The "id" that it is kept under, and whether anything "is_changed".

        Raises:
            StateNotFound: There is no such task.
            TransitionRefused: A bot wrote it, and bots have been answering each other.
            ValidationError: It has no id, no author or no text, or a time has no zone.
        """
        command = commands.RecordComment(
            entry=comment, event=event, at=at, by=by, commit=commit, is_bot=is_bot
        )
        return await self.submit(task_id, command, op_id=op_id)

    async def record_tip(
        self, task_id: str, commit: str, *, at: datetime | None = None, op_id: str | None = None
    ) -> str:
        """
        Say which commit the change is at, so that what is reported about older ones is known as such.

        Args:
            commit: Its full name, hexadecimal.
            at: When the forge said so, by the forge's clock (of a pull request, ``updated_at``): what
                is told late, or twice, does not bring an older tip back. Now, if not given; a task
                should be told by one clock alone.

        Returns:
            The tip.

        Raises:
            StateNotFound: There is no such task.
            ValidationError: That is no commit, or the time has no time zone.
        """
        command = commands.RecordTip(commit=commit, at=at)
        return str((await self.submit(task_id, command, op_id=op_id))["tip"])

    async def judge(
        self, task_id: str, life: Life, *names: str, reason: str, op_id: str | None = None
    ) -> dict[str, Any]:
        """
        Say as a person what became of findings: of all that are named, or of none.

        Args:
            life: ``VERIFIED`` for what is resolved, ``DISMISSED``, ``DEFERRED`` or ``REOPENED``.
            names: Comment ids or fingerprints; an open finding may be named by how one of them begins.
            reason: Why; kept with the finding.

        Returns:
            The comment "ids" of the findings, and how many of them have "changed".

        Raises:
            StateNotFound: There is no such task.
            ValidationError: A name stands for no finding, or for several; nothing was changed.
        """
        command = commands.Judge(life=life, names=names, reason=reason)
        return await self.submit(task_id, command, op_id=op_id)

    async def compress_feedback_history(self, task_id: str) -> int:
        """
        Seal all findings but the worst open ones and the latest; returns how many there are.

        It happens by itself where the head grows too large. Nothing is lost by it: all are read back.

        Raises:
            StateNotFound: There is no such task.
        """
        await self.submit(task_id, commands.Compress())
        return (await self.require_state(task_id)).findings_total
