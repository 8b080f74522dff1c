"""Finding one's way in what the chart makes, and in its values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["leaves", "one"]


def one(objects: list[dict[str, Any]], kind: str, name: str = "") -> Any:
    """The one object of a kind whose name ends so."""
    (found,) = (
        each for each in objects if each["kind"] == kind and each["metadata"]["name"].endswith(name)
    )
    return found


def leaves(values: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Where the values end, by the names on the way."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key)
