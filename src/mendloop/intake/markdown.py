"""
Which lines of a Markdown text its author says: not those that are quoted, nor those in code.

Only the blocks are read by the Markdown parser, and no inline markup but of short lines: reading a
whole hostile text inline would cost memory and time out of all proportion.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it import MarkdownIt
    from markdown_it.token import Token

__all__ = ["INLINE_LIMIT", "Markdown", "Said", "plain", "read_markdown"]

INLINE_LIMIT = 400
"""A line with more characters is no marker, label or heading that is looked for."""

_PARSED_CHARACTERS = 256 * 1024
_MOST_LINES = 500_000
"""What stands behind them is kept in one, and not looked at: a line costs more than its text."""
_MAX_NESTING = 100
_LINE_END = re.compile(r"\r\n?")
_HTML_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_HTML_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_HTML_QUOTING = re.compile(r"<(/?)(?:blockquote|pre|code|script|style|textarea)\b", re.IGNORECASE)
_UNPARSED_QUOTE = re.compile(r" {0,3}>|\t| {4}|```|~~~")
_TITLE = re.compile(r"(?P<level>#{1,6})\s(?P<text>.*?)(?:\s#+)?")
_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*\Z)|~{3,})")


class Said(msgspec.Struct, frozen=True):
    """
    A line that the author says.

    Attributes:
        text: Without indentation, list bullet and heading mark.
        is_top: Whether it stands in no list and no HTML.
        heading: 1 to 6 for a heading, else 0.
    """

    text: str
    is_top: bool
    heading: int = 0


class Markdown(msgspec.Struct, kw_only=True):
    """
    A text by its lines.

    Attributes:
        lines: As they were written.
        said: What the author says, by line number from 0.
        unread: The lines from here on are too many, or nested too deeply, to be read as Markdown:
            what looks like a quote is taken for one.
    """

    lines: list[str]
    said: dict[int, Said]
    unread: int


def read_markdown(text: str) -> Markdown:
    """Tell what of *text* its author says; it may be any text."""
    lines = _LINE_END.sub("\n", text).replace("\0", "\ufffd").split("\n", _MOST_LINES)
    count = _within_limit(lines)
    tokens = _blocks().parse("\n".join(lines[:count]))
    found = Markdown(lines=lines, said={}, unread=count)
    deepest, html_quotes = _take_tokens(tokens, found.said)
    fence = _open_fence(tokens, lines[:count])
    if deepest >= _MAX_NESTING - 1:
        found.unread, fence = min(count, max(found.said, default=-1) + 1), ""
    _take_unread(found, fence, html_quotes)
    return found


def plain(text: str, *, code: str | None = None) -> str:
    """
    One line without its inline markup; "" where it is too long to be looked at.

    Args:
        code: Stands for each code span; None keeps what is in it.
    """
    if len(text) > INLINE_LIMIT:
        return ""
    (line,) = _inlines().parseInline(text)
    parts = []
    for token in line.children or ():
        if token.type == "code_inline" and code is not None:
            parts.append(code)
        elif token.type in {"text", "text_special", "code_inline"}:
            parts.append(token.content)
    return "".join(parts).strip()


def _within_limit(lines: list[str]) -> int:
    size = 0
    for number, line in enumerate(lines):
        size += len(line) + 1
        if size > _PARSED_CHARACTERS:
            return number
    return len(lines)


@functools.cache
def _blocks() -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"maxNesting": _MAX_NESTING})
    parser.core.ruler.enableOnly(["block"])
    # It would take a line such as "[Bug]: text" out of the text.
    parser.disable("reference")
    return parser


@functools.cache
def _inlines() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark")


def _take_tokens(tokens: Sequence[Token], said: dict[int, Said]) -> tuple[int, int]:
    """Add what is said in *tokens*; returns how deeply they are nested, and open quotes of HTML."""
    quotes = html_quotes = deepest = heading = 0
    for token in tokens:
        deepest = max(deepest, token.level)
        if token.type == "blockquote_open":
            quotes += 1
        elif token.type == "blockquote_close":
            quotes -= 1
        elif token.type == "heading_open":
            heading = int(token.tag[1:])
        elif token.type == "heading_close":
            heading = 0
        elif token.map and token.type == "html_block" and not quotes:
            html_quotes = _take_html(token, said, html_quotes)
        elif token.map and token.type == "inline" and not quotes and not html_quotes:
            for place, line in enumerate(token.content.split("\n")):
                text = line.strip()
                said[token.map[0] + place] = Said(text, token.level == 1, heading)
    return deepest, html_quotes


def _open_fence(tokens: Sequence[Token], lines: list[str]) -> str:
    """How a fence began that is still open behind *lines*, or ""."""
    last = tokens[-1] if tokens else None
    if last is None or last.type != "fence" or last.map is None or last.map[1] < len(lines):
        return ""
    is_closed = last.map[1] - last.map[0] > 1 and _is_end_of(last.markup, lines[-1])
    return "" if is_closed else last.markup


def _is_end_of(fence: str, line: str) -> bool:
    text = line.strip()
    return text.startswith(fence) and not text.strip(fence[0])


def _take_unread(found: Markdown, fence: str, html_quotes: int) -> None:
    """Add what the lines seem to say that are not read as Markdown, each for itself."""
    for number in range(found.unread, min(len(found.lines), _MOST_LINES)):
        line = found.lines[number]
        begun = _FENCE.match(line)
        if fence:
            fence = "" if _is_end_of(fence, line) else fence
        elif begun is not None:
            fence = begun[1]
        elif _UNPARSED_QUOTE.match(line):
            continue
        elif "<" in line:
            html_quotes = _take_shown(found.said, number, line, html_quotes)
        elif not html_quotes and line.strip():
            found.said[number] = _line_alone(line.strip())


def _line_alone(text: str) -> Said:
    title = _TITLE.fullmatch(text) if len(text) <= INLINE_LIMIT else None
    if title is None:
        return Said(text, is_top=True)
    return Said(title["text"].strip(), is_top=True, heading=len(title["level"]))


def _take_html(token: Token, said: dict[int, Said], quotes: int) -> int:
    """Add what a block of HTML shows; returns how many quotes are open after it."""
    assert token.map is not None  # noqa: S101 - a block has its lines
    shown = _HTML_COMMENT.sub(lambda match: "\n" * match[0].count("\n"), token.content)
    for place, line in enumerate(shown.split("\n")):
        quotes = _take_shown(said, token.map[0] + place, line, quotes)
    return quotes


def _take_shown(said: dict[int, Said], number: int, line: str, quotes: int) -> int:
    """Add what a line of HTML shows; returns how many quotes are open after it."""
    marks = [bool(match[1]) for match in _HTML_QUOTING.finditer(line)]
    text = _HTML_TAG.sub("", line).strip()
    if text and not quotes and not marks:
        said[number] = Said(text, is_top=False)
    for is_end in marks:
        quotes = max(quotes - 1, 0) if is_end else quotes + 1
    return quotes
