"""
The specification's own reader, written down once more and on its own.

It is as strict as a serde reader that ignores unknown keys: every field present, none null, each of
its one type and in its range. It shares no code with the product.
"""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["drop_neighbour_duplicates", "read_state"]

_RFC3339_UTC = re.compile(
    r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|\+00:00)"
)
_STATUSES = {"Initialized", "InProgress", "Completed", "Failed", "MaxIterationsReached"}
_SEVERITIES = {"Low", "Medium", "High", "Critical"}
_ISSUE_TYPES = {"Bug", "Enhancement", "Documentation", "Performance", "Security"}


class NotReadable(Exception):
    """The specification's reader would refuse this document."""


def read_state(raw: bytes) -> dict[str, Any]:
    """Read ``state.json``; raises `NotReadable`."""
    document = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_number)
    _object(document, "the state")
    _text(document, "task_id")
    _count(document, "iteration")
    _one_of(document, "status", _STATUSES)
    for entry in _list(document, "feedback_history"):
        _read_entry(entry)
    _instant(document, "last_update")
    for message in _list(document, "error_messages"):
        if type(message) is not str:
            raise NotReadable(f"an error message is {message!r}")
    for key, value in _object(_member(document, "metadata"), "metadata").items():
        if type(value) is not str:
            raise NotReadable(f"metadata {key} is {value!r}")
    _one_of(document, "version", {"v1"})
    return document


def drop_neighbour_duplicates(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The specification's `validate_state`: of neighbours with equal id and time, one stays."""
    kept: list[dict[str, Any]] = []
    for entry in history:
        name = (entry["pr_comment_id"], entry["timestamp"])
        if not kept or name != (kept[-1]["pr_comment_id"], kept[-1]["timestamp"]):
            kept.append(entry)
    return kept


def _read_entry(entry: Any) -> None:
    _object(entry, "an entry")
    _instant(entry, "timestamp")
    for key in ("author", "description", "pr_comment_id"):
        _text(entry, key)
    _one_of(entry, "severity", _SEVERITIES)
    _one_of(entry, "issue_type", _ISSUE_TYPES)
    if type(_member(entry, "resolved")) is not bool:
        raise NotReadable(f"resolved is {entry['resolved']!r}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise NotReadable(f"a key stands twice: {[key for key, _ in pairs]}")
    return members


def _no_number(text: str) -> Any:
    raise NotReadable(f"{text} is no JSON")


def _member(document: dict[str, Any], key: str) -> Any:
    if key not in document or document[key] is None:
        raise NotReadable(f"{key} is missing or null")
    return document[key]


def _object(value: Any, name: str) -> dict[str, Any]:
    if type(value) is not dict:
        raise NotReadable(f"{name} is {value!r}")
    return value


def _list(document: dict[str, Any], key: str) -> list[Any]:
    if type(_member(document, key)) is not list:
        raise NotReadable(f"{key} is {document[key]!r}")
    value: list[Any] = document[key]
    return value


def _text(document: dict[str, Any], key: str) -> None:
    value = _member(document, key)
    if type(value) is not str:
        raise NotReadable(f"{key} is {value!r}")
    value.encode("utf-8")


def _count(document: dict[str, Any], key: str) -> None:
    value = _member(document, key)
    if type(value) is not int or not 0 <= value < 2**32:
        raise NotReadable(f"{key} is {value!r}")


def _one_of(document: dict[str, Any], key: str, allowed: set[str]) -> None:
    if _member(document, key) not in allowed:
        raise NotReadable(f"{key} is {document[key]!r}")


def _instant(document: dict[str, Any], key: str) -> None:
    value = _member(document, key)
    if type(value) is not str or not _RFC3339_UTC.fullmatch(value):
        raise NotReadable(f"{key} is {value!r}")
