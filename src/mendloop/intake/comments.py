"""
Review comments that ask for changes: the marker, two fields, and the sections below them.

One comment is one finding, whatever it holds: it is known by the comment's id, and edited and
withdrawn with the comment. Nothing that is said in it is lost: what no section takes is kept as it
was written.
"""

from __future__ import annotations

import re

import msgspec

from mendloop.core.errors import TooLarge
from mendloop.core.vocabulary import IssueType, Severity
from mendloop.intake.comment_fields import Field, Marker, find_marker, read_fields
from mendloop.intake.comment_sections import (
    Criterion,
    Section,
    criteria_of,
    outcomes_of,
    sections_of,
    text_of,
)
from mendloop.intake.markdown import Markdown, read_markdown
from mendloop.intake.words import issue_type_of, severity_of

__all__ = ["COMMENT_LIMIT_BYTES", "ReviewComment", "read_comment"]

COMMENT_LIMIT_BYTES = 10_000_000
"""A longer comment is refused."""

_HINT = re.compile(r"required.{1,20}?changes", re.IGNORECASE)


class ReviewComment(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a review comment asks for, in the reviewer's words.

    Attributes:
        severity: Medium where it could not be read; then *note* says so.
        issue_type: Bug where it could not be read; then *note* says so.
        description: The section of this name, or what stands under no title.
        not_met: The criteria that are not met.
        met: Those that are.
        steps: How to see the fault.
        expected: What should happen.
        actual: What happens.
        other: All else that is said, with its titles; what stands before the marker too.
        note: What could not be read, and the words that were taken for others.
    """

    severity: Severity
    issue_type: IssueType
    description: str
    not_met: tuple[str, ...] = ()
    met: tuple[str, ...] = ()
    steps: str = ""
    expected: str = ""
    actual: str = ""
    other: str = ""
    note: str = ""

    def text(self) -> str:
        """All of it in one text, each part under its title."""
        parts = {
            "": self.description or "a comment without a description",
            "Criteria not met": _listed(self.not_met),
            "Criteria met": _listed(self.met),
            "Steps to reproduce": self.steps,
            "Expected": self.expected,
            "Actual": self.actual,
            "Other": self.other,
        }
        return "\n\n".join(
            f"{title}:\n{part}" if title else part for title, part in parts.items() if part
        )


def read_comment(body: str) -> ReviewComment | None:
    """
    Read a comment; None where it does not ask for changes.

    It does where "Required Changes" begins a line of the author's own: neither in a quote nor in
    code.

    Raises:
        TooLarge: It is longer than any comment that is read.
    """
    if len(body) > COMMENT_LIMIT_BYTES or len(body.encode(errors="replace")) > COMMENT_LIMIT_BYTES:
        raise TooLarge(
            f"a comment has at most {COMMENT_LIMIT_BYTES} bytes, and this one has more",
            size_bytes=len(body.encode(errors="replace")),
            limit_bytes=COMMENT_LIMIT_BYTES,
        )
    if not _HINT.search(body):
        return None
    markdown = read_markdown(body)
    markers = find_marker(markdown)
    first = next(markers, None)
    if first is None:
        return None
    fields = read_fields(markdown, first.line + 1)
    if first.is_sure or any(field.is_known for field in fields):
        return _read_marked(markdown, first, fields)
    # What has a field below it has been the first: of the others only a sure one counts.
    sure = next((marker for marker in markers if marker.is_sure), None)
    if sure is None:
        return None
    return _read_marked(markdown, sure, read_fields(markdown, sure.line + 1))


def _read_marked(markdown: Markdown, marker: Marker, fields: list[Field]) -> ReviewComment:
    types = [field for field in fields if field.is_type]
    severities = [field for field in fields if not field.is_type]
    issue_type, type_note = issue_type_of(types[0].word if types else "")
    severity, severity_note = severity_of(severities[0].word if severities else "")
    notes = [type_note, severity_note]
    before = _joined(markdown, range(marker.line))
    if len([field for field in types if field.is_known]) > 1:
        known = [severity_of(field.word)[0] for field in severities if field.is_known]
        severity = max(known, key=lambda one: one.rank, default=severity)
        notes.append(f"it names {len(types)} issues: one finding, as severe as the worst of them")
        whole = _joined(markdown, range(marker.line + 1, len(markdown.lines)))
        comment = ReviewComment(
            severity=severity,
            issue_type=issue_type,
            description=_paragraphs(marker.after, whole),
            other=before,
        )
    else:
        used = (*types[:1], *severities[:1])
        without = {line for field in used for line in field.said_all}
        without -= {field.line for field in fields if field not in used}
        sections = sections_of(markdown, marker.line + 1, without)
        comment = _with_sections(markdown, sections, marker.after, before)
        comment = msgspec.structs.replace(comment, severity=severity, issue_type=issue_type)
    if not comment.description:
        notes.append("no description is given")
    return msgspec.structs.replace(comment, note="; ".join(filter(None, notes)))


def _with_sections(
    markdown: Markdown, sections: list[Section], after: str, before: str
) -> ReviewComment:
    texts: dict[str, list[str]] = {
        name: [] for name in ("loose", "description", "steps", "expected", "actual", "other")
    }
    criteria: list[Criterion] = []
    for section in sections:
        if section.name == "criteria":
            criteria += criteria_of(markdown, section)
            texts["other"].append(section.title if section.title and section.remark else "")
        elif section.name == "outcomes":
            for name, text in outcomes_of(markdown, section).items():
                titled = f"{section.title}\n{text}" if name == "other" and text else text
                texts[name].append(titled)
        elif section.name == "other":
            texts["other"].append(f"{section.title}\n{text_of(markdown, section)}".strip())
        else:
            texts[section.name].append(text_of(markdown, section))
    loose = _paragraphs(after, *texts["loose"])
    description = _paragraphs(*texts["description"])
    is_loose = not description
    return ReviewComment(
        severity=Severity.MEDIUM,
        issue_type=IssueType.BUG,
        description=loose if is_loose else description,
        not_met=tuple(one.text for one in criteria if not one.is_met),
        met=tuple(one.text for one in criteria if one.is_met),
        steps=_paragraphs(*texts["steps"]),
        expected=_paragraphs(*texts["expected"]),
        actual=_paragraphs(*texts["actual"]),
        other=_paragraphs(before, "" if is_loose else loose, *texts["other"]),
    )


def _joined(markdown: Markdown, numbers: range) -> str:
    return "\n".join(markdown.lines[number].rstrip() for number in numbers).strip("\n")


def _paragraphs(*texts: str) -> str:
    return "\n\n".join(text.strip("\n") for text in texts if text.strip())


def _listed(items: tuple[str, ...]) -> str:
    return "\n".join(f"- {item}" for item in items)
