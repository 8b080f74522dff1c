"""How results are printed: JSON and YAML as they are, tables and text for people."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from mendloop.cli.session import Session
from mendloop.core.text import clean

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["as_json_line", "cell", "emit", "print_line", "print_table", "print_text", "shown"]

_GAPS = (2, 1)
"""Spaces between two columns on a terminal; the second where there is no room for the first."""

_SHOWN_BYTES = 64 * 1024
# What may steer a terminal or deceive a reader, and JSON lets stand: escaped, it stays the same.
_RISKY = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]")


def emit(session: Session, data: Any, show: Callable[[], None]) -> None:
    """
    Print *data* as the caller wants it.

    Args:
        data: What msgspec can encode; bytes count as JSON already.
        show: Prints it for a person.
    """
    if session.output == "table":
        show()
        return
    encoded = data if isinstance(data, bytes) else msgspec.json.encode(data)
    if session.output == "json":
        _write(_escaped(msgspec.json.format(encoded, indent=2)))
    else:
        _write(_as_yaml(encoded))


def as_json_line(data: dict[str, Any]) -> bytes:
    """Encode *data* as one line."""
    return _escaped(msgspec.json.encode(data)) + b"\n"


def print_line(text: str = "") -> None:
    """Print one line, whatever *text* holds: cleaned of what could steer a terminal or forge another."""
    sys.stdout.write(" ".join(shown(text).splitlines()) + "\n")


def print_text(text: str) -> None:
    """Print as many lines as *text* has, cleaned of what could steer a terminal."""
    sys.stdout.write(shown(text) + "\n")


def print_table(session: Session, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """
    Print a table: with a line and colour on a terminal, in plain columns elsewhere.

    Where a terminal is so narrow that a word would be broken, such as an id that somebody copies,
    each row is a list of its cells instead.
    """
    lines = [[cell(text) for text in row] for row in rows]
    if session.is_terminal:
        _print_rich(headers, lines)
    else:
        _print_plain(headers, lines)


def shown(text: str) -> str:
    """The text without what could steer a terminal."""
    return clean(text, limit_bytes=_SHOWN_BYTES)


def cell(text: str) -> str:
    """The text in one line, for a table."""
    return " ".join(shown(text).split())


def _write(content: bytes) -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(content if content.endswith(b"\n") else content + b"\n")
    sys.stdout.buffer.flush()


def _escaped(encoded: bytes) -> bytes:
    if encoded.isascii() and b"\x7f" not in encoded:
        return encoded
    return _RISKY.sub(lambda match: f"\\u{ord(match[0]):04x}", encoded.decode()).encode()


def _as_yaml(encoded: bytes) -> bytes:
    import json

    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump(
        json.loads(encoded),
        Dumper=dumper,
        sort_keys=False,
        allow_unicode=_RISKY.search(encoded.decode()) is None,
    )
    return text.encode()


def _print_rich(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    columns = [*zip(headers, *rows, strict=True)]
    for gap in _GAPS:
        widths = _fitted(columns, console.width - gap * (len(columns) - 1))
        if widths:
            break
    else:
        _print_records(console, headers, rows)
        return
    padding = (0, gap - 1, 0, 0)  # the box has the other space
    table = Table(
        box=SIMPLE_HEAD, show_edge=False, header_style="bold", pad_edge=False, padding=padding
    )
    for header, width in zip(headers, widths, strict=True):
        table.add_column(header, width=width)
    for row in rows:
        table.add_row(*(Text(text) for text in row))
    console.print(table)


def _fitted(columns: Sequence[Sequence[str]], room: int) -> list[int]:
    """How wide each column is where they share *room* and no word is broken; none where that cannot be."""
    from rich.cells import cell_len

    least = [
        max(cell_len(word) for text in column for word in text.split() or [""])
        for column in columns
    ]
    widths = [min(max(map(cell_len, column)), room) for column in columns]
    if sum(least) > room:
        return []
    while sum(widths) > room:
        wide = max(
            (at for at, width in enumerate(widths) if width > least[at]), key=widths.__getitem__
        )
        widths[wide] -= 1
    return widths


def _print_records(console: Console, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    for number, row in enumerate(rows):
        if number:
            console.print()
        record = Table.grid(padding=(0, 2, 0, 0))
        record.add_column(no_wrap=True)
        record.add_column(overflow="fold")
        for header, text in zip(headers, row, strict=True):
            if text:
                record.add_row(Text(header, style="bold"), Text(text))
        console.print(record)


def _print_plain(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    titles = [header.upper() for header in headers]
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    for row in (titles, *rows):
        padded = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        sys.stdout.write(padded.rstrip() + "\n")
