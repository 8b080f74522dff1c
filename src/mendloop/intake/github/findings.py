"""From a delivery to the finding that it tells."""

from __future__ import annotations

from mendloop.core.model import FeedbackEntry, Finding
from mendloop.core.vocabulary import PERSON, IssueType, Severity
from mendloop.intake.comments import ReviewComment, read_comment
from mendloop.intake.github.deliveries import Delivery

__all__ = ["entry_of"]

_CHECK_NOTE = "a check tells neither severity nor type: Medium and Bug assumed"
_NO_MARKER_NOTE = 'it is not in the format "Required Changes": Medium and Bug assumed'


def entry_of(delivery: Delivery) -> FeedbackEntry:
    """Make a finding of a delivery that says one."""
    comment = None if delivery.title else read_comment(delivery.text)
    return FeedbackEntry(
        timestamp=delivery.created_at or delivery.updated_at,
        author=delivery.author.login,
        severity=comment.severity if comment else Severity.MEDIUM,
        issue_type=comment.issue_type if comment else IssueType.BUG,
        description=comment.text() if comment else delivery.text,
        resolved=False,
        pr_comment_id=delivery.source_id,
        mendloop=Finding(
            fingerprint="",
            source=PERSON,
            rule=delivery.title,
            path=delivery.path,
            line=delivery.line,
            note=_note_of(delivery, comment),
        ),
    )


def _note_of(delivery: Delivery, comment: ReviewComment | None) -> str:
    """What was assumed, and what a finding has no member for."""
    assumed = _CHECK_NOTE if delivery.title else _NO_MARKER_NOTE
    parts = (
        comment.note if comment else assumed,
        f"at position {delivery.position} of the diff" if delivery.position else "",
        f"answers {delivery.in_reply_to}" if delivery.in_reply_to else "",
    )
    return "; ".join(filter(None, parts))
