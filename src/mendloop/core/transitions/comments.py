"""
Comments that are created, edited and deleted where they were written.

Events come late, twice and in any order; what is left depends on which there were alone. The text is
that of the latest version by the source's clock, and a deleted comment keeps what the deletion told.
"""

from __future__ import annotations

from typing import Any

import msgspec

from mendloop.core.codec import rfc3339
from mendloop.core.commands import Context, RecordComment
from mendloop.core.comments import BOT_TURNS, Comment, Turn, is_material, with_turn
from mendloop.core.compaction import in_order
from mendloop.core.errors import TransitionRefused, ValidationError
from mendloop.core.lives import finding_of, life_of, turned
from mendloop.core.model import FeedbackEntry, RemediationState
from mendloop.core.text import AUTHOR_LIMIT_BYTES, tidy
from mendloop.core.transitions.ledger import in_utc, person_entry
from mendloop.core.transitions.matching import History
from mendloop.core.transitions.outcome import Transition, ledger_of, require, revise
from mendloop.core.transitions.tips import commit_given
from mendloop.core.vocabulary import CommentEvent, Life

__all__ = ["record_comment"]

_replace = msgspec.structs.replace


def record_comment(
    state: RemediationState | None, command: RecordComment, context: Context
) -> Transition:
    """
    Take in what happened to a comment; what came before, or is older than what is known, changes nothing.

    Raises:
        StateNotFound: There is no such task.
        TransitionRefused: A bot wrote it, and bots have been answering each other.
        ValidationError: The comment has no id, no author or no description, or a time has no zone.
    """
    state = require(state, context)
    ledger = ledger_of(state, context)
    given = command.entry
    if not given.pr_comment_id or not given.author:
        raise ValidationError("a comment has an id and an author", task_id=context.task_id)
    entry = person_entry(given, context, commit=commit_given(command.commit, context))
    at = in_utc(_replace(entry, timestamp=command.at)).timestamp
    is_deleted = command.event is CommentEvent.DELETED
    comment = Comment(
        said_at=at,
        is_edited=command.event is not CommentEvent.CREATED,
        deleted_at=at if is_deleted else None,
    )
    by = tidy(command.by, limit_bytes=AUTHOR_LIMIT_BYTES, redact=context.redact) or entry.author
    heard = _Heard(state, context)
    name, is_changed = heard.hear(entry, comment, by)
    result = {"id": name, "is_changed": is_changed}
    if not is_changed:
        return Transition(state=state, result=result, is_changed=False)
    turns = _turns_after(ledger.turns, entry, command, context)
    return Transition(
        state=revise(
            state,
            _replace(ledger, findings=heard.sealed, turns=turns),
            feedback_history=in_order(heard.entries),
            last_update=context.now,
        ),
        result=result,
        facts={"event": command.event, "id": name, "by": by},
    )


def _turns_after(
    turns: tuple[Turn, ...], entry: FeedbackEntry, command: RecordComment, context: Context
) -> tuple[Turn, ...]:
    """Who has been talking, when this was spoken: an edit, a deletion and a check say nothing to anybody."""
    if command.is_bot is None or command.event is not CommentEvent.CREATED:
        return turns
    if command.is_bot and sum(bool(turn.by) for turn in turns) >= BOT_TURNS:
        raise TransitionRefused(
            f"{entry.author!a} and other bots have answered each other {BOT_TURNS} times, and no "
            "person has written anything since",
            task_id=context.task_id,
        )
    at = in_utc(_replace(entry, timestamp=command.at)).timestamp
    return with_turn(turns, Turn(by=entry.author if command.is_bot else "", at=at))


class _Heard(History):
    """Knows which version of a comment counts."""

    def hear(self, entry: FeedbackEntry, comment: Comment, by: str) -> tuple[str, bool]:
        """Take a version in; returns the id that it is kept under, and whether it counts."""
        entry = _replace(entry, mendloop=_replace(finding_of(entry), comment=comment))
        place = self._place(entry)
        if place is None:
            place = self._add(entry)
        elif not _is_newer(entry, self.entries[place]):
            return self.entries[place].pr_comment_id, False
        else:
            self.entries[place] = self._edited(self.entries[place], entry)
        if comment.deleted_at is not None:
            why = f"the comment was deleted where it was written, {rfc3339(comment.deleted_at)}"
            change = self._change(Life.DISMISSED, by, why)
            self.entries[place] = turned(self.entries[place], change)
        return self.entries[place].pr_comment_id, True

    def _edited(self, kept: FeedbackEntry, entry: FeedbackEntry) -> FeedbackEntry:
        """
        Return *kept* as its source says it now.

        An edit opens what was gone only where it says something else: other words, or worse. What
        a person set aside stays so, and so does what is edited about an older commit.
        """
        known, said = finding_of(kept), finding_of(entry)
        is_other = is_material(kept.description, entry.description)
        is_worse = entry.severity.rank > kept.severity.rank
        edited = _replace(
            kept,
            severity=entry.severity,
            issue_type=entry.issue_type,
            description=entry.description,
            mendloop=_replace(
                said,
                life=life_of(kept),
                lives=known.lives,
                place=known.place,
                op_id=known.op_id,
                first_iteration=known.first_iteration,
                last_iteration=self._iteration,
                resolved_iteration=known.resolved_iteration,
                times_returned=known.times_returned,
                extra=known.extra,
            ),
        )
        is_to_stay = life_of(kept).is_set_aside or self._is_outdated(entry)
        is_waiting = life_of(kept) is Life.OUTDATED and not said.seen_on
        if is_to_stay or is_waiting or not (is_other or is_worse):
            return edited
        return self._open_again(edited)


def _is_newer(entry: FeedbackEntry, kept: FeedbackEntry) -> bool:
    """Whether the version in *entry* counts, and not the one that is kept."""
    known = finding_of(kept).comment
    if known is None or known.deleted_at is not None:
        return known is None
    return _rank(entry) > _rank(kept)


def _rank(entry: FeedbackEntry) -> tuple[Any, ...]:
    """By what versions are ordered; of two edits at one time the content decides, always alike."""
    finding = finding_of(entry)
    comment = finding.comment
    assert comment is not None  # noqa: S101 - both have one where they are compared
    said = (entry.description, entry.severity.rank, entry.issue_type, finding.path, finding.line)
    return comment.deleted_at is not None, comment.said_at, comment.is_edited, said
