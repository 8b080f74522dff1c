"""Severities and issue types as people and tools spell them."""

from __future__ import annotations

from mendloop.core.vocabulary import IssueType, Severity
from mendloop.intake.reading import shortened

__all__ = ["issue_type_of", "severity_of"]

_SEVERITIES = {severity.value.lower(): severity for severity in Severity}
_ISSUE_TYPES = {issue_type.value.lower(): issue_type for issue_type in IssueType}
_OTHER_ISSUE_TYPES = {
    "missing feature": IssueType.ENHANCEMENT,
    "regression": IssueType.BUG,
}


def severity_of(word: str) -> tuple[Severity, str]:
    """
    Read a severity in any letter case.

    Returns:
        The severity, and a note: what could not be read where Medium was assumed, else "".
    """
    severity = _SEVERITIES.get(word.strip().lower())
    if severity is None:
        return Severity.MEDIUM, f"severity {_quoted(word)}, Medium assumed"
    return severity, ""


def issue_type_of(word: str) -> tuple[IssueType, str]:
    """
    Read an issue type in any letter case; Missing Feature and Regression have their nearest.

    Returns:
        The type, and a note: the word where it was another one, else "".
    """
    folded = word.strip().lower()
    issue_type = _ISSUE_TYPES.get(folded)
    if issue_type is not None:
        return issue_type, ""
    issue_type = _OTHER_ISSUE_TYPES.get(folded.replace("_", " ").replace("-", " "))
    if issue_type is not None:
        return issue_type, f'reported as "{shortened(word, 40)}"'
    return IssueType.BUG, f"issue type {_quoted(word)}, Bug assumed"


def _quoted(word: str) -> str:
    return f'"{shortened(word, 40)}" is not known' if word.strip() else "is not given"
