"""What is kept of a delivery: little, of bounded size, cleaned, and without secrets."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from mendloop.core.text import clean, redact_secrets, tidy
from mendloop.intake.github.commands import Command

__all__ = [
    "BODY_LIMIT_BYTES",
    "DELIVERY_LIMIT_BYTES",
    "LABELS_KEPT",
    "LABEL_CHARACTERS",
    "TEXT_LIMIT_BYTES",
    "Delivery",
    "Ignored",
    "Person",
    "Says",
    "kept_text",
    "kept_word",
]

BODY_LIMIT_BYTES = 10_000_000
"""A longer body is refused."""

TEXT_LIMIT_BYTES = 192 * 1024
"""Of a comment's text this much is kept; GitHub takes 65,536 characters."""

DELIVERY_LIMIT_BYTES = 480 * 1024
"""No delivery is longer as JSON, whatever its text is made of."""

LABELS_KEPT = 100
LABEL_CHARACTERS = 50
_WORD_LIMIT_BYTES = 512


class Says(StrEnum):
    """What a delivery comes to."""

    FINDING = "finding"
    """Something is wrong; again with the same `source_id` it is the same finding in new words."""

    WITHDRAWN = "withdrawn"
    """The finding of this `source_id` was deleted, dismissed, or edited away."""

    APPROVED = "approved"
    """A reviewer approved."""

    COMMAND = "command"
    """Nothing but a command."""

    HEAD = "head"
    """The pull request stands at another head now."""


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """
    Who did something.

    Attributes:
        login: As GitHub writes it; "ghost" for an account that is gone.
        is_bot: Whether it is a program's account.
    """

    login: str
    is_bot: bool = False


class Delivery(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    One delivery, reduced.

    Attributes:
        id: X-GitHub-Delivery: the same when it is sent again, but not signed.
        event: X-GitHub-Event.
        action: What happened, in GitHub's word.
        says: What it comes to.
        source_id: Names the comment, review or check run, for ever: ``github:1:review:2``; of an
            event that is about none, the pull request.
        repository: Its full name.
        repository_id: Stays when it is renamed.
        pull_request: Its number, or 0 where the event does not tell it.
        labels: Of the pull request, in order.
        branch: The pull request's head branch, or "" where the event does not tell it, or it is in a
            fork.
        head_sha: The commit that the pull request stands at, or "" where the event does not tell it.
        commit: The commit that the review, comment or check saw, or "".
        author: Who wrote it.
        association: How the author stands to the repository: OWNER, MEMBER, COLLABORATOR and
            others; "NONE" where GitHub tells nothing.
        actor: Who did what happened: edited, deleted or dismissed it.
        updated_at: When it was last changed: what is older never replaces what is newer.
        title: The name of a check, or "".
        state: Of a review, or the conclusion of a check, in lower case; else "".
        text: What was written, without the line of the command.
        path: The file that a comment is on, or "".
        line: The line, or 0.
        position: The line's place in the diff, or 0.
        in_reply_to: The `source_id` of the comment that it answers, or "".
        created_at: When it was written, or None where the event does not tell it.
        command: What it orders; only in what is new.
        warning: What could not be taken, in words that are safe to log, or "".
    """

    id: str
    event: str
    action: str
    says: Says
    source_id: str
    repository: str
    repository_id: int
    author: Person
    actor: Person
    updated_at: datetime
    pull_request: int = 0
    labels: tuple[str, ...] = ()
    branch: str = ""
    head_sha: str = ""
    commit: str = ""
    association: str = "NONE"
    title: str = ""
    state: str = ""
    text: str = ""
    path: str = ""
    line: int = 0
    position: int = 0
    in_reply_to: str = ""
    created_at: datetime | None = None
    command: Command | None = None
    warning: str = ""


class Ignored(msgspec.Struct, frozen=True, kw_only=True):
    """
    A delivery that nothing comes of.

    Attributes:
        reason: Why, in words that are safe to log.
    """

    reason: str


def kept_text(text: str | None) -> str:
    """What is kept of a comment's text."""
    return tidy(text or "", limit_bytes=TEXT_LIMIT_BYTES, redact=redact_secrets).strip("\n")


def kept_word(word: str | None) -> str:
    """What is kept of a name, on one line."""
    given = (word or "")[: 4 * _WORD_LIMIT_BYTES]
    kept = tidy(given, limit_bytes=_WORD_LIMIT_BYTES, redact=redact_secrets)
    return clean(" ".join(kept.split()), limit_bytes=_WORD_LIMIT_BYTES)
