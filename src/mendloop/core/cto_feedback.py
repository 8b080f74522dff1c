"""The feedback in states of the 5dlabs/cto controller, made to findings of ours."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec

from mendloop.core.model import FeedbackEntry, Finding
from mendloop.core.text import (
    COMMENT_ID_LIMIT_BYTES,
    DESCRIPTION_LIMIT_BYTES,
    Redactor,
    clean,
    tidy,
)
from mendloop.core.vocabulary import PERSON, IssueType, Life, Severity

__all__ = ["entries_of", "instant_of", "text_of"]

_ANY_LENGTH_BYTES = 2**31
_RESOLVED = {"resolved", "verified", "completed", "closed"}
_TYPES = {
    **{str(kind).casefold(): kind for kind in IssueType},
    "regression": IssueType.BUG,
    "missingfeature": IssueType.ENHANCEMENT,
    "feature": IssueType.ENHANCEMENT,
}
_SECTIONS = {
    "criteria_not_met": "Criteria not met",
    "reproduction_steps": "Steps to reproduce",
    "expected_behavior": "Expected",
    "actual_behavior": "Actual",
}
_PLACED = {"author", "received_at", "iteration", "feedback", "actions_taken", "comment_id"}
_PLACED_WITHIN = {"description", *_SECTIONS}

_EMPTY: tuple[Any, ...] = (None, "", [], {})


def entries_of(
    given: Any, *, otherwise: datetime, is_completed: bool, redact: Redactor
) -> tuple[tuple[FeedbackEntry, ...], dict[str, str]]:
    """
    Make findings of a feedback history.

    Args:
        given: As it stands in the state.
        otherwise: Stands for a time that is missing.
        is_completed: Whether the task was completed: then nothing is open any more.
        redact: Takes secrets out of descriptions.

    Returns:
        The findings, and by metadata key the rest of descriptions that are too long.
    """
    entries: list[FeedbackEntry] = []
    rests: dict[str, str] = {}
    taken: set[str] = set()
    items = given if isinstance(given, list) else [] if given is None else [given]
    for number, item in enumerate(items, 1):
        members = item if isinstance(item, dict) else {"feedback": item}
        name = _name(members, number, taken)
        taken.add(name)
        text = tidy(_described(members), limit_bytes=_ANY_LENGTH_BYTES, redact=redact)
        head, rest = _split(text)
        if rest:
            rests[f"cto_feedback_{number}"] = rest
        entries.append(_entry(members, name, head, otherwise, is_completed=is_completed))
    return tuple(entries), rests


def instant_of(given: Any) -> datetime | None:
    """Read a time in RFC 3339; None where it is none. Its text is kept beside it."""
    try:
        found = msgspec.convert(given, datetime)
    except msgspec.ValidationError:
        return None
    return found.astimezone(UTC) if found.tzinfo else None


def text_of(value: Any) -> str:
    """A text as it is, anything else as JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _name(members: dict[str, Any], number: int, taken: set[str]) -> str:
    """The comment's id where it is one finding's alone, else the feedback's own, else its number."""
    for prefix, key in (("", "comment_id"), ("cto:", "id")):
        name = clean(f"{prefix}{members.get(key)}", limit_bytes=COMMENT_ID_LIMIT_BYTES).strip()
        if members.get(key) not in (None, "") and name and name not in taken:
            return name
    return f"cto:feedback-{number}"


def _entry(
    members: dict[str, Any],
    name: str,
    description: str,
    otherwise: datetime,
    *,
    is_completed: bool,
) -> FeedbackEntry:
    feedback = _feedback(members)
    iteration = members.get("iteration")
    iteration = iteration if type(iteration) is int and 0 <= iteration < 2**31 else 0
    severity, kind = _severity(feedback.get("severity")), _kind(feedback.get("issue_type"))
    is_resolved = str(members.get("status")).casefold() in _RESOLVED
    notes = []
    if severity is None:
        notes.append("its severity could not be read and is taken for Medium")
    if kind is None:
        notes.append("its type could not be read and is taken for Bug")
    if is_completed and not is_resolved:
        notes.append("its task was completed: it is taken for resolved")
    resolved = is_resolved or is_completed
    return FeedbackEntry(
        timestamp=instant_of(members.get("received_at")) or otherwise,
        author=text_of(members.get("author") or "unknown"),
        severity=severity or Severity.MEDIUM,
        issue_type=kind or IssueType.BUG,
        description=description,
        resolved=resolved,
        pr_comment_id=name,
        mendloop=Finding(
            fingerprint="",
            source=PERSON,
            life=Life.VERIFIED if resolved else Life.OPEN,
            first_iteration=iteration,
            last_iteration=iteration,
            note="; ".join(notes),
        ),
    )


def _feedback(members: dict[str, Any]) -> dict[str, Any]:
    feedback = members.get("feedback")
    return feedback if isinstance(feedback, dict) else {"description": feedback or ""}


def _described(members: dict[str, Any]) -> str:
    """All that is said of it, in words; what has neither place nor title comes last, as JSON."""
    feedback = _feedback(members)
    parts = [text_of(feedback.get("description") or "no description")]
    titled = {title: feedback.get(key) for key, title in _SECTIONS.items()}
    titled["Actions taken"] = members.get("actions_taken")
    parts += [f"{title}:{_listed(value)}" for title, value in titled.items() if value not in _EMPTY]
    other = {
        key: value for key, value in members.items() if key not in _PLACED and value not in _EMPTY
    }
    within = {
        key: value
        for key, value in feedback.items()
        if key not in _PLACED_WITHIN and value not in _EMPTY
    }
    other |= {"feedback": within} if within else {}
    other |= {
        key: members[key]
        for key in ("comment_id", "iteration", "received_at")
        if members.get(key) is not None
    }
    if other:
        parts.append(f"cto: {text_of(other)}")
    return "\n\n".join(parts)


def _listed(value: Any) -> str:
    if isinstance(value, list):
        return "".join(f"\n- {text_of(item)}" for item in value)
    return f" {text_of(value)}"


def _split(text: str) -> tuple[str, str]:
    encoded = text.encode()
    if len(encoded) <= DESCRIPTION_LIMIT_BYTES:
        return text, ""
    head = encoded[:DESCRIPTION_LIMIT_BYTES].decode(errors="ignore")
    return head, encoded[len(head.encode()) :].decode()


def _severity(given: Any) -> Severity | None:
    known = {str(severity).casefold(): severity for severity in Severity}
    return known.get(str(given).casefold())


def _kind(given: Any) -> IssueType | None:
    word = str(given).casefold().replace(" ", "").replace("_", "").replace("-", "")
    return _TYPES.get(word)
