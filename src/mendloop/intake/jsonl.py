"""
JSON Lines in mendloop's own schema: one finding a line.

Required are ``severity``, ``issue_type`` and ``description``; the rest helps to find the place and
to recognise the finding again. Members that are not named here are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from mendloop.core.findings import RawFinding
from mendloop.core.vocabulary import IssueType, Severity
from mendloop.intake.json_bytes import UnreadableJson, decode, decode_what_can_be
from mendloop.intake.reading import MAX_LINE, Reading, is_line
from mendloop.intake.words import issue_type_of, severity_of

__all__ = ["FeedbackLine", "is_feedback", "jsonl_schema", "lines", "read"]

T = TypeVar("T")

_NULL = b"null"
_LINE = re.compile(rb"\S[^\n]*")


class FeedbackLine(msgspec.Struct, frozen=True, kw_only=True):
    """One finding."""

    severity: Annotated[Severity, Meta(description="How bad it is.")]
    issue_type: Annotated[IssueType, Meta(description="What kind of fault it is.")]
    description: Annotated[str, Meta(description="What is wrong, in words.", pattern=r"\S")]
    author: Annotated[str, Meta(description="Who reports it, where it is not the tool.")] = ""
    comment_id: Annotated[str, Meta(description="The forge's id of the comment.")] = ""
    path: Annotated[str, Meta(description="The file, relative to the work tree.")] = ""
    line: Annotated[int, Meta(description="1-based; 0 for none.", ge=0, le=MAX_LINE)] = 0
    rule: Annotated[str, Meta(description="The tool's rule id.")] = ""
    tool: Annotated[str, Meta(description="The tool that found it.")] = ""
    identity: Annotated[
        str, Meta(description="Names the fault across reviews, where the tool knows a name.")
    ] = ""
    commit: Annotated[str, Meta(description="The commit that it was seen on.")] = ""


class _LooseLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line whose members may be of any type: what can be read of it is kept."""

    description: str
    severity: msgspec.Raw | UnsetType = UNSET
    issue_type: msgspec.Raw | UnsetType = UNSET
    author: msgspec.Raw | UnsetType = UNSET
    comment_id: msgspec.Raw | UnsetType = UNSET
    path: msgspec.Raw | UnsetType = UNSET
    line: msgspec.Raw | UnsetType = UNSET
    rule: msgspec.Raw | UnsetType = UNSET
    tool: msgspec.Raw | UnsetType = UNSET
    identity: msgspec.Raw | UnsetType = UNSET
    commit: msgspec.Raw | UnsetType = UNSET


def read(data: bytes) -> Reading:
    """
    Read JSON Lines; a line that is none is told in the reading, and the others are kept.

    Args:
        data: UTF-8.
    """
    reading = Reading()
    for number, line in lines(data):
        if reading.is_over:
            break
        try:
            finding, problem = _finding(line)
        except UnreadableJson as error:
            reading.fail(f"line {number} is no finding: {error}")
            continue
        if problem:
            reading.fail(f"line {number}: {problem}")
        reading.add(finding)
    return reading


def lines(data: bytes) -> Iterator[tuple[int, memoryview]]:
    """Yield the lines that are not empty, from the first visible byte, each with its number."""
    view = memoryview(data)
    number, counted = 1, 0
    for match in _LINE.finditer(data):
        start, end = match.span()
        number += data.count(b"\n", counted, start)
        counted = start
        yield number, view[start:end]


def is_feedback(line: memoryview) -> bool:
    """Whether *line* is a JSON object with the three members that a finding needs."""
    try:
        found = decode(line, _LooseLine)
    except UnreadableJson:
        return False
    return found.severity is not UNSET and found.issue_type is not UNSET


def jsonl_schema() -> dict[str, Any]:
    """Describe one line as JSON Schema 2020-12; letter case is read more freely than it says."""
    schema = msgspec.json.schema(FeedbackLine)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _finding(line: memoryview) -> tuple[RawFinding, str]:
    try:
        strict = decode(line, FeedbackLine)
    except UnreadableJson:
        return _loose_finding(line)
    members = msgspec.structs.asdict(strict)
    return RawFinding(**members), ""


def _loose_finding(line: memoryview) -> tuple[RawFinding, str]:
    loose, problem = decode_what_can_be(line, _LooseLine)
    notes: list[str] = []
    if loose.severity is UNSET and loose.issue_type is UNSET:
        raise UnreadableJson("it has neither severity nor issue_type")
    severity, note = severity_of(_word(loose.severity))
    notes.append(note)
    issue_type, note = issue_type_of(_word(loose.issue_type))
    notes.append(note)
    texts = {
        name: _member(loose, name, str, "", notes)
        for name in ("author", "comment_id", "path", "rule", "tool", "identity", "commit")
    }
    number = _member(loose, "line", int, 0, notes)
    if not loose.description.strip():
        notes.append("no description is given")
    finding = RawFinding(
        severity=severity,
        issue_type=issue_type,
        description=loose.description.strip() or "a finding without a description",
        line=number if is_line(number) else 0,
        note="; ".join(filter(None, notes)),
        **texts,
    )
    return finding, problem


def _word(raw: msgspec.Raw | UnsetType) -> str:
    """A text as it is, any other value as it is written."""
    if isinstance(raw, UnsetType) or bytes(raw) == _NULL:
        return ""
    try:
        return decode(memoryview(raw), str)
    except UnreadableJson:
        return bytes(raw).decode(errors="replace")


def _member(loose: _LooseLine, name: str, kind: type[T], absent: T, notes: list[str]) -> T:
    raw = getattr(loose, name)
    if raw is UNSET or bytes(raw) == _NULL:
        return absent
    try:
        return decode(memoryview(raw), kind)
    except UnreadableJson:
        notes.append(f"{name} could not be read")
        return absent
