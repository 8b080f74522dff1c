"""A finding as intake hands it in, before it is cleaned, named and recorded."""

from __future__ import annotations

import msgspec

from mendloop.core.vocabulary import IssueType, Severity

__all__ = ["RawFinding", "Report"]


class RawFinding(msgspec.Struct, frozen=True, kw_only=True):
    """
    One fault as a tool or a person reported it. Texts are as they came: core cleans them.

    Attributes:
        severity: How bad.
        issue_type: What kind.
        description: What is wrong, in the reporter's words.
        tool: The tool that found it, or "".
        rule: The tool's rule id, or "".
        path: File, as reported; relative to the work tree where that can be told.
        line: 1-based, or 0.
        identity: What the tool itself names the finding by (SARIF partialFingerprints, a test
            case's id), or "": then rule, path, message and context name it.
        context: The text of the line it is on, or "": tells equal messages in one file apart.
        author: Who reported it, or "" for the tool.
        comment_id: The forge's comment id, or "".
        note: What could not be read, or was assumed.
        commit: The commit that it was seen on, or "" for the report's.
    """

    severity: Severity
    issue_type: IssueType
    description: str
    tool: str = ""
    rule: str = ""
    path: str = ""
    line: int = 0
    identity: str = ""
    context: str = ""
    author: str = ""
    comment_id: str = ""
    note: str = ""
    commit: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """
    What one reviewer said in one review.

    Attributes:
        reviewer: The reviewer's name.
        format: "sarif", "junit", "jsonl" or "text".
        findings: In the order reported.
        tools: The tools that the report speaks for; empty where it speaks for all that this
            reviewer ever reported.
        is_complete: False where it was cut or failed: then absence from it means nothing.
        problem: Why it is not complete, or "".
        commit: The commit that was reviewed, or "" where the report does not say.
    """

    reviewer: str
    format: str
    findings: tuple[RawFinding, ...]
    tools: tuple[str, ...] = ()
    is_complete: bool = True
    problem: str = ""
    commit: str = ""
