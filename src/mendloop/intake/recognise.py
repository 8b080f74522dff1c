"""
From the bytes that a reviewer printed to its report.

The rule behind every case here: a review that failed, was cut or cannot be read must never look
like a clean one, since what a complete review no longer reports counts as repaired.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from pathlib import PurePath, PurePosixPath
from typing import NamedTuple, TypeAlias

import msgspec

from mendloop.core.errors import ValidationError
from mendloop.core.findings import RawFinding, Report
from mendloop.intake import jsonl, junit, plain, sarif
from mendloop.intake.formats import Recognised, recognise
from mendloop.intake.reading import Reading, shortened

__all__ = ["FORMATS", "OK_EXIT_CODES", "LineText", "read_report"]

FORMATS = ("sarif", "junit", "jsonl", "text")

OK_EXIT_CODES = frozenset({0, 1})
"""With these a structured report is whole: 0 for nothing found, 1 for something found."""

LineText: TypeAlias = Callable[[str, int], str]
"""The text of a 1-based line of a file of the work tree, or "" where there is none."""

_SHOWN_BYTES = 1024
_SHELL_EXIT_CODES = {126: "the command cannot be executed", 127: "the command was not found"}
_WIDE_MARKS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def read_report(
    data: bytes,
    *,
    reviewer: str,
    format: str | None = None,  # noqa: A002 - the word that people write in their configuration
    exit_code: int,
    is_cut: bool = False,
    context: LineText | None = None,
    known_format: str | None = None,
    ok_exit_codes: frozenset[int] = OK_EXIT_CODES,
    root: PurePath | None = None,
) -> Report:
    """
    Read what a reviewer printed; no bytes make this fail, and what is not whole says so.

    With exit code 0 a report speaks for all of its reviewer's tools: one that ran and found nothing
    may have left no trace. Else it speaks for those that it names.

    Args:
        data: Standard output, or the report's file.
        reviewer: Its name.
        format: One of `FORMATS`, or None to recognise it.
        exit_code: Of the command; below 0 for a signal.
        is_cut: Whether *data* is only the first part.
        context: Gives the text of a line, to tell equal messages apart; asked only about relative
            paths that do not climb.
        known_format: What this reviewer was last read in, or None: it does not change by itself.
        ok_exit_codes: With these a structured report is whole.
        root: The work tree, absolute; paths below it become relative to it.

    Raises:
        ValidationError: *format* is none that is known.
    """
    if format is not None and format not in FORMATS:
        raise ValidationError(f"format {format!r} is not one of {', '.join(FORMATS)}")
    given = _given(data, exit_code, root)
    shape, reading = _read(given, named=format, known=known_format)
    if is_cut:
        reading.fail("the output was cut: it is longer than what is kept")
    problem = _exit_problem(exit_code, shape, reading, ok_exit_codes)
    if problem:
        reading.fail(problem)
    return Report(
        reviewer=reviewer,
        format=shape,
        findings=tuple(_with_context(finding, context) for finding in reading.findings),
        tools=() if exit_code == 0 else tuple(reading.tools),
        is_complete=not reading.problem_count,
        problem=reading.in_words(),
        commit=next(iter(reading.commits)) if len(reading.commits) == 1 else "",
    )


class _Given(NamedTuple):
    """What a reader may look at; *encoding* is known where a byte order mark told it."""

    data: bytes
    encoding: str | None
    exit_code: int
    root: PurePath | None


def _given(data: bytes, exit_code: int, root: PurePath | None) -> _Given:
    encoding = None
    if data.startswith(codecs.BOM_UTF8):
        data, encoding = data[len(codecs.BOM_UTF8) :], "utf-8"
    elif data[:2] in _WIDE_MARKS:
        wide = data[2:].decode(_WIDE_MARKS[data[:2]], errors="replace")
        data, encoding = wide.encode(errors="replace"), "utf-8"
    return _Given(data, encoding, exit_code, root)


def _read(given: _Given, *, named: str | None, known: str | None) -> tuple[str, Reading]:
    """The format that was read, and what was read in it."""
    expected = named or known or "text"
    if not given.data.strip():
        return expected, _nothing(expected, given.exit_code)
    found = Recognised(named) if named is not None else recognise(given.data)
    shape, doubt = found.format or expected, found.doubt
    is_change = named is None and known not in {None, "text", shape}
    if is_change:
        doubt = doubt or f"{known} was read before and this is {shape}; if that is meant, name it"
    if found.format is None or (is_change and shape == "text"):
        reading = Reading()
        doubt = f"{doubt}; it begins: {shortened(_decoded(given.data))}"
        shape = expected
    else:
        reading = _read_as(shape, given)
    if doubt:
        reading.fail(doubt)
    return shape, reading


def _read_as(shape: str, given: _Given) -> Reading:
    if shape == "sarif":
        return sarif.read(given.data, root=given.root)
    if shape == "junit":
        return junit.read(given.data, encoding=given.encoding)
    if shape == "jsonl":
        return jsonl.read(given.data)
    return plain.read(given.data, exit_code=given.exit_code)


def _nothing(expected: str, exit_code: int) -> Reading:
    """No output: a fault by its exit code in text, no line in JSON Lines, else no report."""
    if expected == "text":
        return plain.read(b"", exit_code=exit_code)
    reading = Reading()
    if expected != "jsonl":
        reading.fail(f"there is no output where {expected} was expected")
    return reading


def _exit_problem(
    exit_code: int, shape: str, reading: Reading, ok_exit_codes: frozenset[int]
) -> str:
    if exit_code < 0:
        return f"the command was ended by signal {-exit_code}"
    if exit_code > plain.LAST_TOOL_EXIT_CODE:
        meaning = _SHELL_EXIT_CODES.get(exit_code, "the command was ended by a signal")
        return f"{meaning} (exit code {exit_code})"
    if shape == "text":
        return ""
    if exit_code not in ok_exit_codes:
        expected = ", ".join(map(str, sorted(ok_exit_codes)))
        return f"exit code {exit_code} is not one of {expected}"
    if exit_code != 0 and not reading.findings and not reading.problems:
        return f"exit code {exit_code} says that something was found, but the report holds nothing"
    return ""


def _with_context(finding: RawFinding, context: LineText | None) -> RawFinding:
    if context is None or finding.context or finding.identity or not finding.line:
        return finding
    path = PurePosixPath(finding.path)
    if not finding.path or path.is_absolute() or ".." in path.parts or "\0" in finding.path:
        return finding
    return msgspec.structs.replace(finding, context=context(finding.path, finding.line))


def _decoded(data: bytes) -> str:
    return data[:_SHOWN_BYTES].decode(errors="replace")
