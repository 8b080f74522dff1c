"""
JUnit XML, as pytest, jest, surefire and others write it: a failed case is a finding.

Nothing is kept of the document but the findings, whatever its size. A document type declaration is
refused: no test runner writes one, and entities are how a small file becomes a large one.
"""

from __future__ import annotations

import hashlib
import json
import re

from mendloop.core.findings import RawFinding
from mendloop.core.vocabulary import IssueType, Severity
from mendloop.intake.reading import Reading, is_line

__all__ = ["read"]

_MAX_DIGITS = 10
_MAX_DEPTH = 100
_TEXT_CHARACTERS = 64 * 1024
_ATTRIBUTE_CHARACTERS = 4096
_MAX_NAMES = 1_000
_MAX_ATTRIBUTES = 10_000
_WIDE_BYTES = 64 * 1024
_TAG_LIMIT_BYTES = 2 * 1024 * 1024
_TITLE_CHARACTERS = 200
_KEY_CHARACTERS = 1024
_WIDE = re.compile(rb"<[A-Za-z_:][^<]{%d,}" % _WIDE_BYTES)
_IN_TAG = re.compile(rb"\"[^\"<]*\"|'[^'<]*'|>")
_FAULTS = {"failure": "failed", "error": "errored"}
_SUITES = frozenset({"testsuites", "testsuite"})


class _Refused(Exception):
    """The document is not read on; the message says why."""


def read(data: bytes, *, encoding: str | None = None) -> Reading:
    """
    Read a JUnit report; whatever is wrong with it is told in the reading.

    Args:
        data: XML.
        encoding: What it is in, or None for what it declares.
    """
    # Imported here: it loads the standard library's parser twice, which other formats do without.
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import DefusedXMLParser, ParseError

    reading = Reading()
    skipped = len(data) - len(data.lstrip())
    parser = DefusedXMLParser(target=_Target(reading), encoding=encoding, forbid_dtd=True)
    try:
        _refuse_wide_tags(data)
        parser.feed(memoryview(data)[skipped:])
        parser.close()
    except DefusedXmlException:
        reading.fail("the JUnit report has a document type declaration, which is refused")
    except ParseError as error:
        place = parser.parser.ErrorByteIndex + skipped
        reading.fail(f"the JUnit report does not parse: {error} (byte {place})")
    except (_Refused, LookupError, ValueError) as error:
        reading.fail(f"the JUnit report cannot be read: {error}")
    return reading


def _refuse_wide_tags(data: bytes) -> None:
    """The parser takes in all attributes of a tag before anybody can stop it."""
    for wide in _WIDE.finditer(data):
        start, end = wide.span()
        for count, token in enumerate(_IN_TAG.finditer(data, start, end)):
            if token[0] == b">":
                end = token.end()
                break
            if count >= _MAX_ATTRIBUTES:
                raise _Refused(f"an element has over {_MAX_ATTRIBUTES} attributes (byte {start})")
        if end - start > _TAG_LIMIT_BYTES:
            raise _Refused(
                f"an element's attributes are over {_TAG_LIMIT_BYTES} bytes (byte {start})"
            )


class _Suite:
    """A testsuite or testsuites element that is open; *within* is the key of the one around it."""

    def __init__(self, attributes: dict[str, str], within: str) -> None:
        self.name = attributes.get("name", "")[:_ATTRIBUTE_CHARACTERS]
        self.file = attributes.get("file", "")[:_ATTRIBUTE_CHARACTERS]
        self.key = _key(within, self.name)
        self.declared = sum(_count(attributes.get(name, "")) for name in ("failures", "errors"))
        self.seen = 0


class _Case:
    """A testcase element that is open, or a suite that has a fault of its own."""

    def __init__(self, attributes: dict[str, str], *, is_suite: bool = False) -> None:
        self.is_suite = is_suite
        self.attributes = {
            name: attributes.get(name, "")[:_ATTRIBUTE_CHARACTERS]
            for name in ("classname", "name", "file", "line")
        }
        self.faults: list[str] = []
        self.room = _TEXT_CHARACTERS

    def told(self, text: str) -> None:
        """Keep as much of *text* as there is room for."""
        if self.room > 0:
            self.faults.append(text[: self.room])
            self.room -= len(text)


class _Target:
    """Receives the parser's events; holds the open elements and nothing of the closed ones."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._depth = 0
        self._suites: list[_Suite] = []
        self._case: _Case | None = None
        self._fault_depth = 0
        self._names: set[str] = set()

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        name = tag.rpartition("}")[2]
        self._depth += 1
        if self._depth == 1 and name not in _SUITES:
            raise _Refused(f"its root is <{name[:40]}> and not <testsuites> or <testsuite>")
        if self._depth > _MAX_DEPTH:
            raise _Refused(f"it is nested more than {_MAX_DEPTH} levels deep")
        self._names.update((tag, *attributes))
        if len(self._names) > _MAX_NAMES:
            raise _Refused(f"it has more than {_MAX_NAMES} kinds of elements and attributes")
        if self._reading.is_over:
            raise _Refused("it holds too much")
        if name in _SUITES:
            self._suites.append(_Suite(attributes, self._suites[-1].key if self._suites else ""))
        elif name == "testcase":
            self._case = _Case(attributes)
        elif name in _FAULTS and not self._fault_depth:
            self._begin_fault(name, attributes)

    def data(self, text: str) -> None:
        """Text, in pieces of any size."""
        if self._fault_depth and self._case is not None:
            self._case.told(text)

    def end(self, tag: str) -> None:
        """An element ends."""
        name = tag.rpartition("}")[2]
        if self._depth == self._fault_depth:
            self._fault_depth = 0
            if self._case is not None and self._case.is_suite:
                self._finish_case()
        elif name == "testcase":
            self._finish_case()
        elif name in _SUITES and self._suites:
            self._finish_suite(self._suites.pop())
        self._depth -= 1

    def close(self) -> None:
        """The document has ended."""

    def _begin_fault(self, name: str, attributes: dict[str, str]) -> None:
        self._fault_depth = self._depth
        for suite in self._suites:
            suite.seen += 1
        if self._case is None:
            self._case = _Case({}, is_suite=True)
        said = attributes.get("message", "") or attributes.get("type", "")
        self._case.told(f"{_FAULTS[name]}: {said}\n" if said else f"{_FAULTS[name]}\n")

    def _finish_case(self) -> None:
        case, self._case = self._case, None
        if case is not None and case.faults:
            self._reading.add(_finding(case, self._suites))

    def _finish_suite(self, suite: _Suite) -> None:
        """A runner may count a fault that it does not list, such as a file that does not load."""
        if suite.declared > suite.seen:
            self._reading.fail(
                f"suite {suite.name[:80]!r} counts {suite.declared} failures and errors "
                f"but lists {suite.seen}"
            )


def _finding(case: _Case, suites: list[_Suite]) -> RawFinding:
    classname, name = case.attributes["classname"], case.attributes["name"]
    suite = suites[-1] if suites else None
    suite_name = suite.name[:_TITLE_CHARACTERS] if suite is not None else ""
    title = ".".join(filter(None, (classname, name))) or suite_name or "a test"
    return RawFinding(
        severity=Severity.HIGH,
        issue_type=IssueType.BUG,
        description=f"{title} " + "".join(case.faults).strip(),
        path=case.attributes["file"] or next((s.file for s in reversed(suites) if s.file), ""),
        line=_line(case.attributes["line"], suites),
        identity=_key(suite.key if suite is not None else "", classname, name),
    )


def _key(*parts: str) -> str:
    """One text for several, which no other parts have; a long one is hashed."""
    key = json.dumps(parts, ensure_ascii=False)
    return key if len(key) <= _KEY_CHARACTERS else hashlib.sha256(key.encode()).hexdigest()


def _line(given: str, suites: list[_Suite]) -> int:
    """Pytest counts lines from 0, the others from 1."""
    is_from_zero = bool(suites) and suites[-1].name == "pytest"
    number = _count(given) + is_from_zero if given else 0
    return number if is_line(number) else 0


def _count(given: str) -> int:
    figure = given.strip()[:_MAX_DIGITS]
    return int(figure) if figure.isascii() and figure.isdigit() else 0
