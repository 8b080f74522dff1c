"""From a delivery's body to what is kept of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from mendloop.core.errors import TooLarge, ValidationError
from mendloop.intake.comments import read_comment
from mendloop.intake.github.commands import Command, Ordered, read_command
from mendloop.intake.github.deliveries import (
    BODY_LIMIT_BYTES,
    LABEL_CHARACTERS,
    LABELS_KEPT,
    Delivery,
    Ignored,
    Person,
    Says,
    kept_text,
    kept_word,
)
from mendloop.intake.github.payloads import (
    Account,
    CheckRun,
    CheckRunEvent,
    IssueCommentEvent,
    Label,
    Payload,
    Place,
    PullRequest,
    PullRequestEvent,
    ReviewCommentEvent,
    ReviewEvent,
)
from mendloop.intake.json_bytes import UnreadableJson, decode
from mendloop.intake.reading import is_line

__all__ = ["EVENTS", "reduce"]

T = TypeVar("T", bound=Payload)

_NEW = frozenset({"submitted", "created"})
_ASKING_STATES = frozenset({"changes_requested", "commented"})
_FAILED_CONCLUSIONS = frozenset({"failure", "action_required"})
_HEAD_ACTIONS = frozenset({"opened", "reopened", "synchronize"})
_NUMBER_MOST = 2**63 - 1


def reduce(event: str, delivery_id: str, body: bytes) -> Delivery | Ignored:
    """
    Reduce a delivery whose signature was found valid.

    Args:
        event: X-GitHub-Event.
        delivery_id: X-GitHub-Delivery.
        body: As it came.

    Raises:
        TooLarge: It has more than `BODY_LIMIT_BYTES`.
        ValidationError: It is no JSON, or not what GitHub documents for *event*.
    """
    if len(body) > BODY_LIMIT_BYTES:
        raise TooLarge(
            f"a delivery has at most {BODY_LIMIT_BYTES} bytes, and this one has {len(body)}",
            size_bytes=len(body),
            limit_bytes=BODY_LIMIT_BYTES,
        )
    reader = _READERS.get(event)
    if reader is None:
        return Ignored(reason=f"nothing is done on the event {kept_word(event)!a}")
    try:
        reduced = reader(body)
    except UnreadableJson as error:
        raise ValidationError(
            f"the delivery is not what GitHub documents for {event}: {error}"
        ) from error
    if isinstance(reduced, Ignored):
        return reduced
    return msgspec.structs.replace(reduced, event=event, id=kept_word(delivery_id))


def _review(body: bytes) -> Delivery | Ignored:
    event = decode(body, ReviewEvent)
    review, state = event.review, event.review.state.lower()
    ordered = _ordered(event.action, review.body)
    said = _review_says(event.action, state, ordered)
    if isinstance(said, Ignored):
        return said
    updated_at = review.updated_at or review.submitted_at
    if event.action not in _NEW:
        updated_at = review.updated_at or event.pull_request.updated_at or updated_at
    return _delivery(
        event,
        said,
        kind="review",
        number=review.id,
        user=review.user,
        association=review.author_association,
        pull_request=event.pull_request,
        ordered=ordered,
        state=kept_word(state),
        commit=kept_word(review.commit_id),
        created_at=review.submitted_at,
        updated_at=updated_at,
    )


def _review_says(action: str, state: str, ordered: Ordered) -> Says | Ignored:
    if action == "dismissed":
        return Says.WITHDRAWN
    if action == "submitted" and state == "approved":
        return Says.APPROVED
    if action not in {"submitted", "edited"}:
        return _nothing_on(action)
    if state not in _ASKING_STATES:
        return Ignored(reason=f"a review in the state {kept_word(state)!a} asks for nothing")
    return _says(action, ordered)


def _review_comment(body: bytes) -> Delivery | Ignored:
    event = decode(body, ReviewCommentEvent)
    comment = event.comment
    ordered = _ordered(event.action, comment.body)
    said = _comment_says(event.action, ordered)
    if isinstance(said, Ignored):
        return said
    repository_id = event.repository.id
    answered = comment.in_reply_to_id
    reply = f"github:{repository_id}:review-comment:{answered}" if answered is not None else ""
    line = comment.line if comment.line is not None else comment.original_line
    return _delivery(
        event,
        said,
        kind="review-comment",
        number=comment.id,
        user=comment.user,
        association=comment.author_association,
        pull_request=event.pull_request,
        ordered=ordered,
        commit=kept_word(comment.commit_id),
        path=kept_word(comment.path),
        line=line if line is not None and is_line(line) else 0,
        position=_number(comment.position),
        in_reply_to=kept_word(reply),
        created_at=comment.created_at,
        updated_at=comment.updated_at,
    )


def _issue_comment(body: bytes) -> Delivery | Ignored:
    event = decode(body, IssueCommentEvent)
    comment, issue = event.comment, event.issue
    if issue.pull_request is msgspec.UNSET or bytes(issue.pull_request) == b"null":
        return Ignored(reason="the comment is on an issue and not on a pull request")
    ordered = _ordered(event.action, comment.body)
    said = _comment_says(event.action, ordered)
    if said is Says.FINDING and read_comment(ordered.rest) is None:
        former = event.changes.body.former if event.changes and event.changes.body else None
        if ordered.command is not None:
            said = Says.COMMAND
        elif former and read_comment(former) is not None:
            said = Says.WITHDRAWN
        else:
            return Ignored(reason=ordered.problem or "the comment has neither marker nor command")
    if isinstance(said, Ignored):
        return said
    return _delivery(
        event,
        said,
        kind="issue-comment",
        number=comment.id,
        user=comment.user,
        association=comment.author_association,
        pull_request=PullRequest(number=issue.number, labels=issue.labels),
        ordered=ordered,
        created_at=comment.created_at,
        updated_at=comment.updated_at,
    )


def _check_run(body: bytes) -> Delivery | Ignored:
    event = decode(body, CheckRunEvent)
    run = event.check_run
    conclusion = (run.conclusion or "").lower()
    if event.action != "completed":
        return _nothing_on(event.action)
    if conclusion not in _FAILED_CONCLUSIONS:
        return Ignored(reason=f"a check that ended with {kept_word(conclusion)!a} asks for nothing")
    suite = run.check_suite
    branch = (suite.head_branch or "") if suite is not None else ""
    found = run.pull_requests[0] if run.pull_requests else PullRequest(number=0)
    # Of what is in a fork GitHub tells neither a pull request nor a branch with a check.
    ref = msgspec.structs.replace(
        found.head, ref=found.head.ref or branch, repo=Place(id=event.repository.id)
    )
    slug = run.app.slug if run.app is not None else None
    app = Account(login=f"{slug}[bot]", type="Bot") if slug else None
    return _delivery(
        event,
        Says.FINDING,
        kind="check-run",
        number=run.id,
        user=app,
        association="NONE",
        # Labels are those of one pull request of several: the branch is the same for all.
        pull_request=PullRequest(number=found.number, head=ref),
        ordered=Ordered(None, "", _check_text(run, conclusion)),
        title=kept_word(run.name),
        state=conclusion,
        commit=kept_word(run.head_sha),
        created_at=run.started_at,
        updated_at=run.completed_at,
    )


def _check_text(run: CheckRun, conclusion: str) -> str:
    output = run.output
    said = (f"The check {run.name} ended with {conclusion}.", output.title, output.summary)
    return "\n\n".join(part for part in (*said, output.text) if part)


def _pull_request(body: bytes) -> Delivery | Ignored:
    event = decode(body, PullRequestEvent)
    if event.action not in _HEAD_ACTIONS:
        return _nothing_on(event.action)
    return _delivery(
        event,
        Says.HEAD,
        kind="pull-request",
        number=event.pull_request.number,
        user=event.sender,
        association="NONE",
        pull_request=event.pull_request,
        ordered=Ordered(None, "", ""),
        commit=kept_word(event.pull_request.head.sha),
        updated_at=event.pull_request.updated_at,
    )


def _ping(_body: bytes) -> Ignored:
    return Ignored(reason="a ping says that the webhook is set up")


_READERS: dict[str, Callable[[bytes], Delivery | Ignored]] = {
    "check_run": _check_run,
    "issue_comment": _issue_comment,
    "ping": _ping,
    "pull_request": _pull_request,
    "pull_request_review": _review,
    "pull_request_review_comment": _review_comment,
}

EVENTS = tuple(_READERS)
"""The events that something is done on."""


def _ordered(action: str, body: str | None) -> Ordered:
    """What a text orders; only a new one does, since an edit would run an order again."""
    text = kept_text(body)
    return read_command(text) if action in _NEW else Ordered(None, "", text)


def _comment_says(action: str, ordered: Ordered) -> Says | Ignored:
    if action == "deleted":
        return Says.WITHDRAWN
    if action not in {"created", "edited"}:
        return _nothing_on(action)
    return _says(action, ordered)


def _says(action: str, ordered: Ordered) -> Says | Ignored:
    if ordered.rest.strip():
        return Says.FINDING
    if ordered.command is not None:
        return Says.COMMAND
    if ordered.problem:
        return Ignored(reason=ordered.problem)
    return Says.WITHDRAWN if action == "edited" else Ignored(reason="it has no text")


def _nothing_on(action: str) -> Ignored:
    return Ignored(reason=f"nothing is done on the action {kept_word(action)!a}")


def _delivery(
    event: Payload,
    said: Says,
    *,
    kind: str,
    number: int,
    user: Account | None,
    association: str,
    pull_request: PullRequest,
    ordered: Ordered,
    updated_at: datetime | None,
    created_at: datetime | None = None,
    **more: Any,
) -> Delivery | Ignored:
    """Put together what all events have; its event and id come later."""
    written_at = _utc(created_at)
    changed_at = _utc(updated_at) or written_at
    if changed_at is None:
        return Ignored(reason="it does not tell when it was written: it could be of any age")
    repository_id = event.repository.id
    author = _person(user)
    return Delivery(
        id="",
        event="",
        action=kept_word(event.action),
        says=said,
        source_id=kept_word(f"github:{repository_id}:{kind}:{number}"),
        repository=kept_word(event.repository.full_name),
        repository_id=_number(repository_id),
        pull_request=_number(pull_request.number),
        labels=_labels(pull_request.labels),
        branch=_branch(pull_request, repository_id),
        head_sha=kept_word(pull_request.head.sha),
        author=author,
        association=kept_word(association).upper() or "NONE",
        actor=_person(event.sender) if event.sender is not None else author,
        text=kept_text(ordered.rest),
        command=_kept_command(ordered.command),
        warning=ordered.problem,
        created_at=written_at,
        updated_at=changed_at,
        **more,
    )


def _branch(pull_request: PullRequest, repository_id: int) -> str:
    """The head branch, "" where it is in a fork: there, anybody names branches as they like."""
    place = pull_request.head.repo
    is_own = place is not None and place.id == repository_id
    return kept_word(pull_request.head.ref) if is_own else ""


def _kept_command(command: Command | None) -> Command | None:
    if command is None:
        return None
    return msgspec.structs.replace(command, reason=kept_word(command.reason))


def _person(account: Account | None) -> Person:
    if account is None:
        return Person(login="ghost")
    is_bot = account.type == "Bot" or account.login.lower().endswith("[bot]")
    return Person(login=kept_word(account.login), is_bot=is_bot)


def _labels(labels: tuple[Label, ...]) -> tuple[str, ...]:
    return tuple(kept_word(label.name[:LABEL_CHARACTERS]) for label in labels[:LABELS_KEPT])


def _utc(at: datetime | None) -> datetime | None:
    """A time in UTC; one without a zone, or out of range, is none that GitHub writes."""
    if at is None or at.tzinfo is None:
        return None
    try:
        return at.astimezone(UTC)
    except OverflowError:
        return None


def _number(number: int | None) -> int:
    return number if number is not None and 0 <= number <= _NUMBER_MOST else 0
