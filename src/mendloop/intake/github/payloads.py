"""
The members that are read of GitHub's payloads; all others are passed over.

https://docs.github.com/webhooks/webhook-events-and-payloads
What may be null or left out there may be so here. An account is null once it was deleted.
"""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias

import msgspec

__all__ = [
    "Account",
    "App",
    "Changes",
    "CheckOutput",
    "CheckRun",
    "CheckRunEvent",
    "CheckSuite",
    "Comment",
    "Issue",
    "IssueCommentEvent",
    "Label",
    "Payload",
    "Place",
    "PullRequest",
    "PullRequestEvent",
    "Ref",
    "Repository",
    "Review",
    "ReviewComment",
    "ReviewCommentEvent",
    "ReviewEvent",
]


class _Part(msgspec.Struct, frozen=True, kw_only=True):
    """Part of a payload."""


class Account(_Part, frozen=True, kw_only=True):
    """A person, a bot, or an organisation."""

    login: str
    type: str = "User"


class Repository(_Part, frozen=True, kw_only=True):
    """Where it happened; *id* stays when it is renamed."""

    id: int
    full_name: str


class Label(_Part, frozen=True, kw_only=True):
    """A label of an issue or of a pull request."""

    name: str


class Place(_Part, frozen=True, kw_only=True):
    """The repository that a branch is in."""

    id: int | None = None


class Ref(_Part, frozen=True, kw_only=True):
    """A branch and the commit that it stands at; *repo* is null once the fork that it is in is gone."""

    ref: str = ""
    sha: str = ""
    repo: Place | None = None


class PullRequest(_Part, frozen=True, kw_only=True):
    """A pull request, as far as each event has it."""

    number: int
    head: Ref = Ref()
    labels: tuple[Label, ...] = ()
    updated_at: datetime | None = None


class Issue(_Part, frozen=True, kw_only=True):
    """An issue; it is a pull request where *pull_request* is there."""

    number: int
    labels: tuple[Label, ...] = ()
    pull_request: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class Review(_Part, frozen=True, kw_only=True):
    """A review as a whole; *commit_id* is the head that it saw."""

    id: int
    user: Account | None = None
    body: str | None = None
    commit_id: str | None = None
    submitted_at: datetime | None = None
    updated_at: datetime | None = None
    state: str = ""
    author_association: str = "NONE"


class Comment(_Part, frozen=True, kw_only=True):
    """A comment on an issue or on a pull request as a whole."""

    id: int
    user: Account | None = None
    body: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    author_association: str = "NONE"


class ReviewComment(Comment, frozen=True, kw_only=True):
    """A comment on a line of a pull request; *line* is null once the line is gone."""

    path: str = ""
    line: int | None = None
    original_line: int | None = None
    position: int | None = None
    commit_id: str | None = None
    in_reply_to_id: int | None = None


class App(_Part, frozen=True, kw_only=True):
    """The app that made a check run."""

    slug: str | None = None


class CheckOutput(_Part, frozen=True, kw_only=True):
    """What a check says of its result."""

    title: str | None = None
    summary: str | None = None
    text: str | None = None


class CheckSuite(_Part, frozen=True, kw_only=True):
    """The suite that a check run is part of."""

    head_branch: str | None = None


class CheckRun(_Part, frozen=True, kw_only=True):
    """One run of one check on one commit."""

    id: int
    name: str = ""
    head_sha: str = ""
    conclusion: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    output: CheckOutput = CheckOutput()
    check_suite: CheckSuite | None = None
    app: App | None = None
    pull_requests: tuple[PullRequest, ...] = ()


class _Former(_Part, frozen=True, kw_only=True):
    """What a text was before it was edited."""

    former: str | None = msgspec.field(name="from", default=None)


class Changes(_Part, frozen=True, kw_only=True):
    """What an edit changed."""

    body: _Former | None = None


class _Event(_Part, frozen=True, kw_only=True):
    """What all events have."""

    action: str
    repository: Repository
    sender: Account | None = None
    changes: Changes | None = None


class ReviewEvent(_Event, frozen=True, kw_only=True):
    """``pull_request_review``: submitted, edited or dismissed."""

    review: Review
    pull_request: PullRequest


class ReviewCommentEvent(_Event, frozen=True, kw_only=True):
    """``pull_request_review_comment``: created, edited or deleted."""

    comment: ReviewComment
    pull_request: PullRequest


class IssueCommentEvent(_Event, frozen=True, kw_only=True):
    """``issue_comment``: created, edited or deleted."""

    comment: Comment
    issue: Issue


class CheckRunEvent(_Event, frozen=True, kw_only=True):
    """``check_run``: completed and others."""

    check_run: CheckRun


class PullRequestEvent(_Event, frozen=True, kw_only=True):
    """``pull_request``: opened, synchronize and others."""

    pull_request: PullRequest


Payload: TypeAlias = (
    ReviewEvent | ReviewCommentEvent | IssueCommentEvent | CheckRunEvent | PullRequestEvent
)
