"""Severities and issue types as people and tools spell them."""

from __future__ import annotations

from mendloop.core.vocabulary import IssueType, Severity
from mendloop.intake.reading import shortened

__all__ = ["issue_type_of", "known_issue_type", "known_severity", "severity_of"]

_SEVERITIES = {severity.value.lower(): severity for severity in Severity}
_ISSUE_TYPES = {issue_type.value.lower(): issue_type for issue_type in IssueType}
_OTHER_ISSUE_TYPES = {
    "missing feature": IssueType.ENHANCEMENT,
    "regression": IssueType.BUG,
}


def known_severity(word: str) -> Severity | None:
    """Read a severity in any letter case; None where it is none."""
    return _SEVERITIES.get(word.strip().lower())


def known_issue_type(word: str) -> IssueType | None:
    """Read an issue type in any letter case, or another word for one; None where it is none."""
    folded = word.strip().lower()
    return _ISSUE_TYPES.get(folded) or _OTHER_ISSUE_TYPES.get(_spaced(folded))


def severity_of(word: str) -> tuple[Severity, str]:
    """
    Read a severity in any letter case.

    Returns:
        The severity, and a note: what could not be read where Medium was assumed, else "".
    """
    severity = known_severity(word)
    if severity is None:
        return Severity.MEDIUM, f"severity {_quoted(word)}, Medium assumed"
    return severity, ""


def issue_type_of(word: str) -> tuple[IssueType, str]:
    """
    Read an issue type in any letter case; Missing Feature and Regression have their nearest.

    Returns:
        The type, and a note: the word where it was another one, else "".
    """
    issue_type = known_issue_type(word)
    if issue_type is None:
        return IssueType.BUG, f"issue type {_quoted(word)}, Bug assumed"
    is_same = issue_type.value.lower() == word.strip().lower()
    return issue_type, "" if is_same else f'reported as "{shortened(word, 40)}"'


def _spaced(word: str) -> str:
    return " ".join(word.replace("_", " ").replace("-", " ").split())


def _quoted(word: str) -> str:
    return f'"{shortened(word, 40)}" is not known' if word.strip() else "is not given"
