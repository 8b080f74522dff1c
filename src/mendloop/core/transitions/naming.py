"""What findings are called, who they belong to, and what they are compared by."""

from __future__ import annotations

import hashlib

from mendloop.core.likeness import Traits
from mendloop.core.lives import finding_of
from mendloop.core.model import FeedbackEntry
from mendloop.core.text import COMMENT_ID_LIMIT_BYTES, Redactor, no_redaction, tidy
from mendloop.core.vocabulary import PERSON, Severity

__all__ = [
    "begins",
    "comment_id_of",
    "distinct",
    "is_same",
    "names",
    "owner",
    "told_apart",
    "traits",
    "with_suffix",
    "words",
]

_SUFFIX_CHARACTERS = 16


def owner(entry: FeedbackEntry) -> str:
    """Whose finding it is: a reviewer and its tool, or one person."""
    source = finding_of(entry).source
    return f"{PERSON} {entry.author}" if source == PERSON else source


def names(entry: FeedbackEntry) -> tuple[str, str]:
    """The comment ids that *entry* may be kept under: its own, or one that also names its owner."""
    return entry.pr_comment_id, with_suffix(entry.pr_comment_id, owner(entry))


def traits(entry: FeedbackEntry) -> Traits:
    """What *entry* is recognised by in new words."""
    finding = finding_of(entry)
    return Traits(
        source=finding.source,
        rule=finding.rule,
        path=finding.path,
        message=entry.description,
        context=finding.context,
    )


def comment_id_of(given: str, redact: Redactor) -> str:
    """The comment id that *given* is kept under; a secret in it goes, and it is found by it again."""
    return distinct(given, limit_bytes=COMMENT_ID_LIMIT_BYTES, redact=redact)


def distinct(given: str, *, limit_bytes: int, redact: Redactor) -> str:
    """Clean a name; two that differ only in what is cut, cleaned or redacted away stay two."""
    kept = tidy(given, limit_bytes=limit_bytes, redact=redact)
    if kept == given:
        return kept
    return told_apart(given, given, limit_bytes=limit_bytes, redact=redact)


def begins(entry: FeedbackEntry, name: str) -> bool:
    """Whether a comment id or fingerprint of *entry* begins with *name*."""
    names = (entry.pr_comment_id, finding_of(entry).fingerprint)
    return bool(name) and any(known.startswith(name) for known in names)


def with_suffix(comment_id: str, by: str) -> str:
    """A comment id of *by*'s own."""
    return told_apart(comment_id, by, limit_bytes=COMMENT_ID_LIMIT_BYTES, redact=no_redaction)


def told_apart(name: str, by: str, *, limit_bytes: int, redact: Redactor) -> str:
    """Clean a name and end it with a digest of what makes it another than its equals."""
    suffix = hashlib.sha256(by.encode(errors="surrogatepass")).hexdigest()[:_SUFFIX_CHARACTERS]
    room = limit_bytes - len(suffix) - 1
    return f"{tidy(name, limit_bytes=room, redact=redact)}#{suffix}"


def words(entry: FeedbackEntry) -> tuple[str, Severity]:
    """What a finding says: an edit changes it."""
    return entry.description, entry.severity


def is_same(kept: FeedbackEntry, given: FeedbackEntry) -> bool:
    """Whether a delivery is the very one that was taken before."""
    return kept.timestamp == given.timestamp and words(kept) == words(given)
