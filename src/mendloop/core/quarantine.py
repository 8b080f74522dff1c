"""
Copies of what was damaged or replaced: their bytes as they were, and what is told of them beside.

The body of a copy is the body of what it was made of. In its fields are the rest of what stood
there, and from when, of what and why it is.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime

import msgspec

from mendloop.core.codec import rfc3339
from mendloop.core.errors import StateNotFound, ValidationError
from mendloop.core.names import QUARANTINE, SIDE_FIELDS, head_name
from mendloop.core.shelf import is_packed

__all__ = [
    "MADE_AT",
    "Copy",
    "check_is_of_state",
    "copy_key",
    "copy_name",
    "fields_of_copy",
    "key_of_copy",
    "no_copy",
    "read_copy",
    "short_fields",
]

MADE_AT = "made_at"
"""The field that tells when a copy was made; a cleanup goes by it."""

_OF, _REASON, _BESIDE = "of", "reason", "beside"
_SHORT = 63


class _Beside(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What stood beside the body: texts, and binary values as base64."""

    data: dict[str, str] = {}
    binary_data: dict[str, bytes] = {}


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """
    A copy that was set aside.

    Attributes:
        name: As `mendloop restore --from` takes it.
        of: The name of what it was made of; "" where it does not say.
        made_at: When; None where it does not say.
        reason: Why, in words.
        size_bytes: Of the body.
        body: As it was, byte for byte; b"" in a listing.
        fields: The texts that stood beside it; none in a listing.
    """

    name: str
    of: str
    made_at: datetime | None
    reason: str
    size_bytes: int
    body: bytes = b""
    fields: dict[str, str] = {}


def fields_of_copy(
    of: str,
    fields: Mapping[str, str],
    blobs: Mapping[str, bytes],
    *,
    reason: str,
    now: datetime,
) -> dict[str, str]:
    """
    Write what stands beside the body of a copy.

    Args:
        of: The key of what it is made of.
        fields: The texts that stand beside the body there.
        blobs: The binary values that do.
        reason: Why it is made.
        now: When.
    """
    beside = _Beside(dict(sorted(fields.items())), dict(sorted(blobs.items())))
    told = {_BESIDE: msgspec.json.encode(beside).decode()} if fields or blobs else {}
    return {MADE_AT: rfc3339(now), _OF: of, _REASON: reason} | told


def short_fields(fields: Mapping[str, str]) -> dict[str, str]:
    """
    Write `fields_of_copy` without what other programs keep beside the body.

    No write of ours takes that from where it is: so it need not be in a copy that has no room.
    """
    beside = _read_beside(fields)
    own = {n: t for n, t in beside.data.items() if n in SIDE_FIELDS and len(t) <= _SHORT}
    return {**fields, _BESIDE: msgspec.json.encode(_Beside(own)).decode()}


def copy_key(task_id: str, body: bytes, fields: Mapping[str, str]) -> str:
    """
    The key of a copy: what is the same, the body and all beside it, is kept once.

    Of what is no task's the *task_id* is "".
    """
    digest = hashlib.sha256(body + fields.get(_BESIDE, "").encode()).hexdigest()
    owner = f"task-{task_id}" if task_id else "no-task"
    return f"{owner}-quarantine-{digest[:16]}"


def copy_name(key: str) -> str:
    """What a copy is called where people see it, which is what its ConfigMap is called."""
    return f"{QUARANTINE}.{key}"


def key_of_copy(task_id: str, name: str) -> str:
    """
    The key of the copy that is called so.

    Raises:
        ValidationError: No copy of this task is.
    """
    key = name.removeprefix(f"{QUARANTINE}.")
    if re.fullmatch(rf"task-{re.escape(task_id)}-quarantine-[0-9a-f]{{16}}", key):
        return key
    raise ValidationError(
        f"{name!a} is no name of a copy of task {task_id}: {_way_on(task_id)}", task_id=task_id
    )


def no_copy(task_id: str, name: str) -> StateNotFound:
    """What is told where there is none of this name."""
    return StateNotFound(
        f"task {task_id} has no copy {name!a}: {_way_on(task_id)}", task_id=task_id
    )


def check_is_of_state(task_id: str, copy: Copy) -> None:
    """
    Let only a copy of the task's state pass, of which something is left.

    Raises:
        ValidationError: It is that of something else, or empty.
    """
    if is_packed(copy.body) or copy.of not in {"", head_name(task_id)}:
        raise ValidationError(
            f"{copy.name} is a copy of sealed history ({copy.of or 'of which is not known'}), and "
            f"no state: {_way_on(task_id)}",
            task_id=task_id,
        )
    if not copy.body.strip():
        raise ValidationError(
            f"{copy.name} is a copy of an empty state: {_way_on(task_id)}", task_id=task_id
        )


def read_copy(key: str, body: bytes, fields: Mapping[str, str], *, is_listed: bool) -> Copy:
    """Read a copy; one that *is_listed* without its content."""
    try:
        made_at = datetime.fromisoformat(fields.get(MADE_AT, ""))
    except ValueError:
        made_at = None
    return Copy(
        name=copy_name(key),
        of=fields.get(_OF, ""),
        made_at=made_at,
        reason=fields.get(_REASON, ""),
        size_bytes=len(body),
        body=b"" if is_listed else body,
        fields={} if is_listed else _read_beside(fields).data,
    )


def _read_beside(fields: Mapping[str, str]) -> _Beside:
    try:
        return msgspec.json.decode(fields.get(_BESIDE, "{}"), type=_Beside)
    except msgspec.MsgspecError:
        return _Beside()


def _way_on(task_id: str) -> str:
    return f"`mendloop restore {task_id} --list` shows those there are"
