"""The marker of a review comment, and the two fields that stand under it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from mendloop.intake.markdown import Markdown, Said, plain
from mendloop.intake.words import known_issue_type, known_severity

__all__ = ["Field", "Marker", "find_marker", "is_field_name", "read_fields"]

_MOST_FIELDS = 100
_CODE = "`"

_MAYBE_MARKER = re.compile(r".{0,80}?required.{1,20}?changes", re.IGNORECASE)
_MARKER = re.compile(
    r"(?P<before>(?:[^\w`\"'(<\[|/\\~-]|:\w{1,30}:){0,40})required\s{1,8}changes\b(?P<after>.*)",
    re.IGNORECASE,
)
_SHORTCODE = re.compile(r":\w{1,30}:")
# With one of these in front, the words say that nothing is left to change.
_DONE = ("\u2705", "\u2611", "\u2714", "\U0001f7e2", "white_check_mark", "green_circle")
_ENDS_LINE = re.compile(r"[\W_]*")
_NOTHING = re.compile(r"\W*(?:none|nothing|n/a)\W*", re.IGNORECASE)
_GOES_ON = re.compile(r"\s*[\w'`\"]")
_NAME = r"(?:(?P<type>issue[\s_-]{0,3}type|type\s{1,3}of\s{1,3}issue)|severity)"
_MAYBE_FIELD = re.compile(r"issue|severity", re.IGNORECASE)
_FIELD = re.compile(rf"\W{{0,20}}{_NAME}\s{{0,8}}[:\uff1a=]", re.IGNORECASE)
_NEXT_FIELD = re.compile(rf"(?<!\w){_NAME}\s{{0,8}}[:\uff1a=]", re.IGNORECASE)
_FIELD_NAME = re.compile(rf"\W{{0,20}}{_NAME}\W{{0,20}}", re.IGNORECASE)
_DELIMITER_ROW = re.compile(r"[\s|:-]*-[\s|:-]*")
_CHOICE = re.compile(r"\[(?P<mark>[ xX]?)\]\s{0,8}(?P<word>\w+(?:[ \t-]\w+)*)")
_WORD = re.compile(r"\W*(?P<word>\w+(?:[ \t-]\w+)*)(?P<after>.*)")
_OTHER_CHOICE = re.compile(r"\s*[/|&+]")


class Marker(NamedTuple):
    """
    Where the marker stands.

    Attributes:
        line: Its number.
        after: What else is said on it.
        is_sure: Whether it is one whatever follows, and not only where a field does.
    """

    line: int
    after: str
    is_sure: bool


class Field(NamedTuple):
    """
    A field as it was written.

    Attributes:
        line: It is on.
        is_type: Whether it is the issue type, and not the severity.
        word: Its value, or what stands there instead of one.
        said_all: The lines that say the field and nothing more.
    """

    line: int
    is_type: bool
    word: str
    said_all: tuple[int, ...]

    @property
    def is_known(self) -> bool:
        """Whether the value is one that is known."""
        known = known_issue_type(self.word) if self.is_type else known_severity(self.word)
        return known is not None


def find_marker(markdown: Markdown) -> Iterator[Marker]:
    """Yield where "Required Changes" stands at the start of a line of the author's own."""
    numbers = list(markdown.said)
    for place, number in enumerate(numbers):
        said = markdown.said[number]
        if not _MAYBE_MARKER.match(said.text):
            continue
        match = _MARKER.match(plain(said.text, code=_CODE))
        if match is None or any(sign in match["before"] for sign in _DONE):
            continue
        after = match["after"]
        is_end = _ENDS_LINE.fullmatch(_SHORTCODE.sub(" ", after)) is not None
        if _NOTHING.fullmatch(after) or (is_end and any(sign in after for sign in _DONE)):
            continue
        if is_end:
            below = [markdown.said[other].text for other in numbers[place + 1 : place + 2]]
            yield Marker(number, "", is_sure=not any(map(_NOTHING.fullmatch, below)))
        elif _is_set_off(said, match["before"]):
            yield Marker(number, after.strip(" \t:\uff1a"), is_sure=not _GOES_ON.match(after))


def _is_set_off(said: Said, before: str) -> bool:
    """Whether a line looks like a title, and not like the first words of a sentence."""
    if said.heading or said.text.startswith(("**", "__")) or _SHORTCODE.search(before):
        return True
    return any(unicodedata.category(sign) == "So" for sign in before)


def is_field_name(text: str) -> bool:
    """Whether *text* is the name of a field alone."""
    return _FIELD_NAME.fullmatch(text) is not None


def read_fields(markdown: Markdown, start: int) -> list[Field]:
    """Read the fields from line *start* on, as many as are looked at."""
    fields: list[Field] = []
    numbers = [number for number in markdown.said if number >= start]
    for place, number in enumerate(numbers):
        text = markdown.said[number].text
        if not _MAYBE_FIELD.search(text) or len(fields) >= _MOST_FIELDS:
            continue
        line = plain(text)
        following = numbers[place + 1 : place + 9]
        if _FIELD.match(line):
            fields.extend(_fields_of_line(markdown, number, line, following))
        elif "|" in line:
            fields.extend(_fields_of_row(markdown, number, following))
        elif _FIELD_NAME.fullmatch(line) and (markdown.said[number].heading or "*" in text):
            fields.append(_field_below(markdown, number, line, following))
    return fields


def _fields_of_line(
    markdown: Markdown, number: int, line: str, following: list[int]
) -> Iterator[Field]:
    """Read ``Issue Type: Bug``, and what other field stands on the same line."""
    matches = list(_NEXT_FIELD.finditer(line))
    values = [
        line[match.end() : after.start() if after else len(line)].strip(" \t|,;·•")
        for match, after in zip(matches, [*matches[1:], None], strict=True)
    ]
    if len(matches) == 1 and not values[0]:
        yield _field_below(markdown, number, line, following)
        return
    readings = [_reading(value) for value in values]
    fields = [
        Field(number, match["type"] is not None, word, ())
        for match, (word, _) in zip(matches, readings, strict=True)
    ]
    is_all_said = all(is_all for _, is_all in readings) and all(one.is_known for one in fields)
    yield from (field._replace(said_all=(number,) if is_all_said else ()) for field in fields)


def _fields_of_row(markdown: Markdown, number: int, following: list[int]) -> Iterator[Field]:
    """Read a row of a table: the value is beside its name, or below it under a header."""
    cells = _cells(markdown.said[number].text)
    below: list[str] = []
    if len(following) > 1 and _DELIMITER_ROW.fullmatch(markdown.said[following[0]].text):
        below = _cells(markdown.said[following[1]].text)
    for place, cell in enumerate(cells):
        name = _FIELD_NAME.fullmatch(cell)
        if name is None:
            continue
        is_above = place < len(below) and not is_field_name(below[place])
        value = below[place] if is_above else (cells[place + 1 : place + 2] or [""])[0]
        yield Field(number, name["type"] is not None, _reading(value)[0], ())


def _cells(row: str) -> list[str]:
    return [plain(cell) for cell in row.strip().strip("|").split("|")]


def _field_below(markdown: Markdown, number: int, line: str, following: list[int]) -> Field:
    """Read a field whose value stands on the lines below its name, perhaps as boxes to tick."""
    name = _NEXT_FIELD.search(line) or _FIELD_NAME.fullmatch(line)
    is_type = name is not None and name["type"] is not None
    taken: list[int] = []
    for other in following:
        is_box = _CHOICE.match(markdown.said[other].text) is not None
        if markdown.said[other].heading or (taken and not is_box):
            break
        taken.append(other)
        if not is_box:
            break
    texts = [plain(markdown.said[other].text) for other in taken]
    if any(_FIELD.match(text) for text in texts):
        texts, taken = [], []
    word, is_all = _reading("\n".join(texts))
    field = Field(number, is_type, word, ())
    return field._replace(said_all=(number, *taken) if is_all and field.is_known else ())


def _reading(value: str) -> tuple[str, bool]:
    """The word that a value is, and whether that is all that the value says."""
    value = _SHORTCODE.sub(" ", value)
    boxes = list(_CHOICE.finditer(value))
    if boxes:
        ticked = [box["word"] for box in boxes if box["mark"] in {"x", "X"}]
        return (ticked[0] if len(ticked) == 1 else value), len(boxes) == 1
    match = _WORD.match(value)
    if match is None:
        return "", not value
    if _OTHER_CHOICE.match(match["after"]):
        return value, False
    return match["word"], not re.search(r"\w", match["after"])
