"""What is expected and what happens, where a review comment has them in a table."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

__all__ = ["outcomes_in"]

_DELIMITER_ROW = re.compile(r"[\s|:-]*-[\s|:-]*")
_BOTH = {"expected", "actual"}
_BAR = re.compile(r"(?<!\\)\|")

Name = Callable[[str], str | None]


def outcomes_in(lines: Sequence[str], name_of: Name) -> dict[str, str]:
    """
    Read "expected" and "actual" of a table among *lines*: columns of these names, or rows.

    Args:
        name_of: Tells which of the two a cell names, if any.

    Returns:
        Nothing where no table has both.
    """
    for place, line in enumerate(lines[1:], 1):
        header = lines[place - 1]
        if "|" in header and "|" in line and _DELIMITER_ROW.fullmatch(line):
            return _outcomes_of([header, *_rows_below(lines, place + 1)], name_of)
    return {}


def _rows_below(lines: Sequence[str], start: int) -> list[str]:
    end = start
    while end < len(lines) and "|" in lines[end]:
        end += 1
    return list(lines[start:end])


def _outcomes_of(rows: list[str], name_of: Name) -> dict[str, str]:
    header, *body = [[cell.strip() for cell in _cells(row)] for row in rows]
    columns = {name: place for place, cell in enumerate(header) if (name := name_of(cell))}
    if columns.keys() == _BOTH:
        return {
            name: _column(body, place, set(columns.values())) for name, place in columns.items()
        }
    named = {name: row for row in (header, *body) if row and (name := name_of(row[0]))}
    if named.keys() == _BOTH:
        return {name: " | ".join(filter(None, row[1:])) for name, row in named.items()}
    return {}


def _cells(row: str) -> list[str]:
    return _BAR.split(row.strip().removeprefix("|").removesuffix("|"))


def _column(body: list[list[str]], place: int, named: set[int]) -> str:
    """A column, each of its cells behind what the row says beside it."""
    lines = []
    for row in body:
        label = ", ".join(cell for other, cell in enumerate(row) if cell and other not in named)
        cell = row[place] if place < len(row) else ""
        lines.append(f"{label}: {cell}" if label and cell else cell)
    return "\n".join(filter(None, lines))
