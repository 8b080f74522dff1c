"""
JSON of any size and shape, decoded a piece at a time.

Decoding a hostile report at once can take thirty times its size in memory: ``[],[],[],`` are three
bytes each and a list object each. So arrays are cut into their elements first, and only an element
is decoded.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from typing import TypeVar

import msgspec

__all__ = [
    "ELEMENT_LIMIT_BYTES",
    "JsonArray",
    "UnreadableJson",
    "decode",
    "decode_what_can_be",
    "elements",
    "is_array",
    "sized",
]

ELEMENT_LIMIT_BYTES = 1024 * 1024
"""No single element of a report is longer where it is meant to be read."""

T = TypeVar("T")

# No alternatives within a possessive group: CPython before 3.11.5 matches those wrongly.
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_TO_BRACKET = re.compile(rb'[^"\[\]{}]*+(?:' + _STRING + rb'[^"\[\]{}]*+)*+[\[\]{}]', re.DOTALL)
_SCALAR = re.compile(_STRING + rb"|[^,\[\]{}\s]+", re.DOTALL)
_BETWEEN = re.compile(rb"[\s,]*")

_OPENING, _CLOSING = b"[]"

_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<lone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)


class UnreadableJson(Exception):
    """
    The bytes are no JSON of the wanted shape; the message says why, with the byte where known.

    Raised and caught within intake: it never reaches a caller.
    """


def decode(data: bytes | memoryview, kind: type[T]) -> T:
    """
    Decode *data* as *kind*; a lone surrogate in an escape becomes U+FFFD.

    Raises:
        UnreadableJson: It is malformed, cut, not UTF-8, nested too deeply, or of another shape.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        repaired = _ESCAPE.sub(_without_lone_surrogate, bytes(data))
        if repaired == data:
            raise UnreadableJson(_in_words(error, data)) from error
    try:
        return msgspec.json.decode(repaired, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableJson(_in_words(error, data)) from error


def decode_what_can_be(data: bytes | memoryview, kind: type[T]) -> tuple[T, str]:
    """
    Decode *data* as *kind*, with U+FFFD for bytes that are not UTF-8.

    Returns:
        The value, and what had to be replaced in words, or "".

    Raises:
        UnreadableJson: As for `decode`, for any other reason.
    """
    try:
        return decode(data, kind), ""
    except UnreadableJson as error:
        if not isinstance(error.__cause__, UnicodeDecodeError):
            raise
        replaced = bytes(data).decode(errors="replace").encode()
        return decode(replaced, kind), str(error)


def _without_lone_surrogate(match: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if match["lone"] else match[0]


def _in_words(error: Exception, data: bytes | memoryview) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8 ({_first_bad_byte(data)})"
    if "truncated" in str(error):
        return f"it ends in the middle (byte {len(data)})"
    return str(error)


def _first_bad_byte(data: bytes | memoryview) -> str:
    try:
        bytes(data).decode()
    except UnicodeDecodeError as error:
        return f"byte {error.start}"
    return "in an escape"


def is_array(raw: memoryview) -> bool:
    """Whether the JSON value *raw* is an array."""
    return len(raw) > 0 and raw[0] == _OPENING


def elements(raw: memoryview) -> Iterator[tuple[int, int]]:
    """Yield where each element of the JSON array *raw* begins and ends; *raw* is well-formed."""
    position = _after(_BETWEEN, raw, 0) + 1
    end = len(raw)
    while True:
        start = _after(_BETWEEN, raw, position)
        if start >= end or raw[start] == _CLOSING:
            return
        position = _after_value(raw, start)
        yield start, position


def _after_value(raw: memoryview, start: int) -> int:
    if raw[start] not in b"{[":
        return _after(_SCALAR, raw, start)
    depth = 0
    position = start
    while True:
        position = _after(_TO_BRACKET, raw, position)
        depth += 1 if raw[position - 1] in b"{[" else -1
        if depth == 0:
            return position


def _after(pattern: re.Pattern[bytes], raw: memoryview, position: int) -> int:
    match = pattern.match(raw, position)
    if match is None:
        raise UnreadableJson(f"it is malformed (byte {position})")
    return match.end()


class JsonArray:
    """
    The elements of a JSON array, kept as bytes.

    Attributes:
        is_cut: Whether there are more than are kept.
    """

    def __init__(self, raw: msgspec.Raw, *, limit: int = 100_000) -> None:
        """Find the first *limit* elements; a value that is no array has none."""
        self.is_cut = False
        self._raw = memoryview(raw)
        self._spans = array("Q")
        if not is_array(self._raw):
            return
        for count, span in enumerate(elements(self._raw)):
            if count == limit:
                self.is_cut = True
                return
            self._spans.extend(span)

    def __len__(self) -> int:
        """How many elements there are."""
        return len(self._spans) // 2

    def __getitem__(self, index: int) -> memoryview:
        """
        The bytes of one element.

        Raises:
            UnreadableJson: There is no such element, or it is longer than any that is read.
        """
        return sized(self.whole(index))

    def whole(self, index: int) -> memoryview:
        """
        The bytes of one element, however long, for a kind that leaves its own arrays as bytes.

        Raises:
            UnreadableJson: There is no such element.
        """
        if not 0 <= index < len(self):
            raise UnreadableJson(f"there is no element {index}")
        start, end = self._spans[2 * index], self._spans[2 * index + 1]
        return self._raw[start:end]


def sized(raw: memoryview) -> memoryview:
    """
    Hand *raw* back where it is short enough to be decoded at once.

    Raises:
        UnreadableJson: It is longer than any element that is read.
    """
    if len(raw) > ELEMENT_LIMIT_BYTES:
        raise UnreadableJson(f"it is longer than {ELEMENT_LIMIT_BYTES} bytes")
    return raw
