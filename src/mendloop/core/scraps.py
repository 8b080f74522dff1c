"""
What can still be read of a JSON document that is damaged: member by member, object by object.

A member that is whole is its text, to be decoded by its own type. One that is broken is the text
from where it begins: there may be whole parts in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

__all__ = ["Scrap", "members", "objects"]

_FAILURES = 1000
"""So many broken places are tried, so that no document keeps us for long."""

_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)
_CLOSED = re.compile(r"\s*\}")
_NAME = re.compile(r'\s*,?\s*("(?:[^"\\]|\\.)*")\s*:\s*')


class Scrap(NamedTuple):
    """The text of a value, and whether all of it is there."""

    text: str
    is_whole: bool


def members(text: str, names: Collection[str]) -> dict[str, list[Scrap]]:
    """
    Read the members of the object that *text* begins with, as many values as each name has.

    Args:
        names: Of members that are looked for after a broken place.
    """
    known = re.compile(rf'"({"|".join(map(re.escape, names))})"\s*:\s*')
    found: dict[str, list[Scrap]] = {}
    at = text.find("{") + 1
    for _ in range(_FAILURES):
        at = _read_whole(text, at, found)
        if _CLOSED.match(text, at):
            break
        broken = known.search(text, at)
        if broken is None:
            break
        at = broken.end()
        end = _end(text, at)
        scrap = Scrap(text[at:end], is_whole=end is not None)
        found.setdefault(broken[1], []).append(scrap)
        at = at if end is None else end
    return found


def objects(text: str) -> Iterator[str]:
    """Yield the whole objects in *text*, in order; none that is within another one."""
    at = text.find("{")
    failures = 0
    while at >= 0 and failures < _FAILURES:
        end = _end(text, at)
        if end is None:
            failures += 1
            at = text.find("{", at + 1)
        else:
            yield text[at:end]
            at = text.find("{", end)


def _read_whole(text: str, at: int, found: dict[str, list[Scrap]]) -> int:
    """Read members from *at* on while they are whole; returns where that ends."""
    while (name := _NAME.match(text, at)) is not None:
        end = _end(text, name.end())
        if end is None:
            break
        try:
            key = json.loads(name[1])
        except ValueError:
            break
        found.setdefault(key, []).append(Scrap(text[name.end() : end], is_whole=True))
        at = end
    return at


def _end(text: str, at: int) -> int | None:
    """Where the value that begins at *at* ends; None where it is broken."""
    try:
        return _DECODER.raw_decode(text, at)[1]
    except (ValueError, RecursionError):
        return None
