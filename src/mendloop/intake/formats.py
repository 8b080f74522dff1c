"""
Which format a report is in, told by how it begins.

What begins like a known format and does not hold up is never taken for text: with exit code 0 that
would be a clean bill.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

from mendloop.intake.json_bytes import UnreadableJson, decode
from mendloop.intake.jsonl import is_feedback, lines

__all__ = ["Recognised", "recognise"]

_BRACE = ord("{")
_HEAD_BYTES = 64 * 1024
_JSON_OBJECT = re.compile(rb"\{\s*(?:[\"}]|\Z)")
_SARIF_MARK = re.compile(rb'"\$schema"\s*:\s*"[^"]*sarif|"runs"\s*:\s*\[', re.IGNORECASE)
_XML_START = re.compile(rb"<(?:[?!A-Za-z_]|\Z)")
_JUNIT_LINE = re.compile(rb"^[ \t]*<(?:[\w.-]+:)?testsuites?(?:[\s/>])", re.MULTILINE)
_SARIF_SCHEMA = re.compile(rb'"\$schema"\s{0,8}:\s{0,8}"[^"\n]{0,200}sarif', re.IGNORECASE)
_ROOT = re.compile(rb"<(?:[\w.-]+:)?([\w.-]+)")
_ROOT_NAMES = (b"testsuites", b"testsuite")
_PROLOG = ((b"<?", b"?>"), (b"<!--", b"-->"))


class Recognised(NamedTuple):
    """
    What a report is in.

    Attributes:
        format: "sarif", "junit" or "jsonl", "text" for none of them, or None where it is broken
            too early to tell.
        doubt: Why it cannot be trusted, or "".
    """

    format: str | None
    doubt: str = ""


class _TopLevel(msgspec.Struct, frozen=True, kw_only=True):
    schema: str = msgspec.field(name="$schema", default="")
    runs: msgspec.Raw = msgspec.Raw()
    severity: msgspec.Raw = msgspec.Raw()
    issue_type: msgspec.Raw = msgspec.Raw()


def recognise(data: bytes) -> Recognised:
    """Tell the format of *data*, which is UTF-8 and not empty."""
    start = data.lstrip()[:_HEAD_BYTES]
    if _JSON_OBJECT.match(start):
        return _recognise_json(data, start)
    if _XML_START.match(start):
        return _recognise_xml(start)
    if any(is_feedback(line) for _, line in lines(data) if line[0] == _BRACE):
        return Recognised("jsonl")
    for name, mark in (("junit", _JUNIT_LINE), ("sarif", _SARIF_SCHEMA)):
        if mark.search(data):
            return Recognised(name, f"other output stands before the {name} report")
    return Recognised("text")


def _recognise_json(data: bytes, start: bytes) -> Recognised:
    try:
        found = decode(data, _TopLevel)
    except UnreadableJson as error:
        if _SARIF_MARK.search(start):
            return Recognised("sarif")
        return _recognise_lines(data, str(error))
    if found.runs or "sarif" in found.schema.lower():
        return Recognised("sarif")
    if found.severity or found.issue_type:
        return Recognised("jsonl")
    return Recognised("text")


def _recognise_lines(data: bytes, error: str) -> Recognised:
    is_object = False
    for number, (_, line) in enumerate(lines(data)):
        if is_feedback(line):
            return Recognised("jsonl")
        is_object = is_object or (number == 0 and _is_json(line))
    if is_object:
        return Recognised("text")
    return Recognised(None, f"the output begins like JSON but does not parse: {error}")


def _is_json(line: memoryview) -> bool:
    try:
        decode(line, msgspec.Raw)
    except UnreadableJson:
        return False
    return True


def _recognise_xml(start: bytes) -> Recognised:
    if _JUNIT_LINE.search(start):
        return Recognised("junit")
    root = _ROOT.match(_without_prolog(start))
    if root is None:
        return Recognised(None, "the output begins like XML but has no first element")
    name = root[1]
    is_cut_name = root.end() == len(root.string)
    if name in _ROOT_NAMES or (is_cut_name and any(one.startswith(name) for one in _ROOT_NAMES)):
        return Recognised("junit")
    return Recognised("text")


def _without_prolog(start: bytes) -> bytes:
    """What is left after declarations, instructions and comments; nothing where one is not ended."""
    while True:
        start = start.lstrip()
        for opening, closing in _PROLOG:
            if start.startswith(opening):
                _, _, start = start.partition(closing)
                break
        else:
            if start.startswith(b"<!"):
                _, _, start = start.partition(b">")
                continue
            return start
