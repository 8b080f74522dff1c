"""
The wire format: bytes to state and back, losing nothing that others wrote.

The quick way is one typed decode whose encoding gives the very same bytes again. Where it does not,
because somebody else wrote the document, each level is taken apart and the members that mendloop
does not know are carried on as the bytes they were: decoding and encoding them would change
numbers.
"""

from __future__ import annotations

import hashlib
import json
import types
import typing
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from mendloop.core.carrying import Carrying
from mendloop.core.errors import (
    DeserializationError,
    ReadOnlyState,
    SerializationError,
    StateError,
    ValidationError,
)
from mendloop.core.model import (
    LEDGER_SCHEMA,
    STATE_VERSION,
    FeedbackEntry,
    Ledger,
    RemediationState,
)
from mendloop.core.run import Lease
from mendloop.core.vocabulary import IssueType, Life, Phase, Severity, Status, StepKind, StopReason

__all__ = [
    "canonical",
    "decode_head",
    "decode_member",
    "decode_part",
    "decode_state",
    "digest",
    "encode",
    "encode_state",
    "rfc3339",
    "validated",
]

_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)
_CARRIED = b'"__carried__"'
_STATE = msgspec.json.Decoder(RemediationState)
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
_ENCODER = msgspec.json.Encoder()
_IN_ORDER = msgspec.json.Encoder(order="sorted")

_UNREADABLE = (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError)
"""What the decoder and the encoder raise for bytes and values that are no state."""

_C = TypeVar("_C", bound=Carrying)


def encode_state(state: RemediationState) -> bytes:
    """
    Encode *state* as ``state.json``: compact UTF-8, raw and without escapes where JSON allows.

    Raises:
        SerializationError: A text in it has no UTF-8 form.
    """
    try:
        return encode(state)
    except _UNREADABLE as error:
        raise SerializationError(
            f"the state cannot be written as JSON: {error}", task_id=state.task_id
        ) from error


def encode(value: Carrying) -> bytes:
    """Encode one struct, the members it carries for others included."""
    quick = _ENCODER.encode(value)
    return quick if _CARRIED not in quick else bytes(_write(value))


def canonical(value: Carrying) -> bytes:
    """Encode one struct with its members sorted, unless it carries some for others: then as it is."""
    quick = _IN_ORDER.encode(value)
    return quick if _CARRIED not in quick else encode(value)


def validated(value: _C) -> _C:
    """
    Return *value* as a reader will get it: what no reader takes may not be written.

    Raises:
        ValidationError: A member is of a wrong type or out of its range, or has no JSON form.
    """
    try:
        raw = encode(value)
        _refuse_ambiguous(raw)
        return _read(type(value), raw)
    except (*_UNREADABLE, StateError) as error:
        raise ValidationError(f"not a {type(value).__name__}: {error}") from error


def decode_state(raw: bytes) -> RemediationState:
    """
    Decode ``state.json``.

    Raises:
        DeserializationError: These bytes are no state: not JSON, a member missing or of a wrong
            type, a key twice, a lone surrogate. The bytes are left as they are.
        ReadOnlyState: A newer version wrote it; it may be shown and is never written.
    """
    try:
        state = _STATE.decode(raw)
        if _CARRIED in raw or _ENCODER.encode(state) != raw:
            _refuse_ambiguous(raw)
            state = _read(RemediationState, raw)
    except _UNREADABLE as error:
        _refuse_newer(raw)
        raise DeserializationError(f"not a state: {error}") from error
    _refuse_newer_state(state, raw)
    return state


def decode_part(cls: type[_C], raw: bytes | msgspec.Raw) -> _C:
    """
    Decode a struct that is stored by itself, and what others wrote in it.

    Raises:
        DeserializationError: These bytes are none.
    """
    try:
        part: _C = _decoder(cls).decode(raw)
        if _CARRIED in bytes(raw) or _ENCODER.encode(part) != bytes(raw):
            part = _read(cls, raw)
    except _UNREADABLE as error:
        raise DeserializationError(f"not a {cls.__name__}: {error}") from error
    return part


def decode_member(cls: type[Carrying], name: str, raw: bytes) -> Any:
    """
    Decode the value of one member of a struct, and what others wrote in it.

    Raises:
        DeserializationError: These bytes are none.
    """
    field = next(field for field in _fields(cls) if field.name == name)
    try:
        _refuse_ambiguous(raw)
        return _read_member(field, msgspec.Raw(raw))
    except _UNREADABLE as error:
        raise DeserializationError(f"not a {name}: {error}") from error


def decode_head(task_id: str, raw: bytes, *, damage: str = "") -> RemediationState:
    """
    Decode the ``state.json`` of a task; *damage* tells why a store says that it is none.

    Raises:
        DeserializationError: These bytes are no state, that of another task, or damaged.
        ReadOnlyState: A newer version wrote it.
    """
    if damage or not raw:
        why = damage or "its state.json is missing or empty"
        raise DeserializationError(
            f"the state of task {task_id} cannot be read: {why}", task_id=task_id
        )
    try:
        state = decode_state(raw)
    except DeserializationError as error:
        error.args = (f"the state of task {task_id} cannot be read: {error}",)
        error.task_id = task_id
        raise
    except StateError as error:
        error.task_id = task_id
        raise
    if state.task_id != task_id:
        raise DeserializationError(
            f"the state of task {task_id} says that it is that of {state.task_id!a}: "
            "correct its task_id where it is stored, unless it is another task's: "
            f"`mendloop doctor {task_id} --repair` finds out, and brings its own back",
            task_id=task_id,
        )
    return state


def digest(state: RemediationState) -> str:
    """
    Name the content of *state*: 32 hex digits of SHA-256.

    The lease, the commits and the chain are left out, and when tips were told: heartbeats change the
    first, the digest itself is kept in the second, on which the third hangs, and the last leaves no
    record.
    """
    if isinstance(state.mendloop, Ledger):
        tips = tuple(msgspec.structs.replace(tip, at=_NO_TIME) for tip in state.mendloop.tips)
        bare = msgspec.structs.replace(
            state.mendloop, commits=(), chain=None, lease=Lease(), tips=tips
        )
        state = msgspec.structs.replace(state, mendloop=bare)
    return hashlib.sha256(encode(state)).hexdigest()[:32]


def rfc3339(instant: Any) -> str:
    """Write an instant the way that it stands in ``state.json``."""
    return str(msgspec.to_builtins(instant))


def _refuse_newer_state(state: RemediationState, raw: bytes) -> None:
    if state.version != STATE_VERSION:
        raise ReadOnlyState(
            f"task {state.task_id} is in format {state.version!a}; this mendloop writes "
            f"{STATE_VERSION}: upgrade to change it",
            raw=raw,
            task_id=state.task_id,
        )
    if state.ledger.min_writer > LEDGER_SCHEMA:
        raise ReadOnlyState(
            f"task {state.task_id} was written by a newer mendloop "
            f"(schema {state.ledger.schema}, this one knows {LEDGER_SCHEMA}): upgrade to change it",
            raw=raw,
            task_id=state.task_id,
        )


def _refuse_newer(raw: bytes) -> None:
    """Tell a document of a newer writer from a damaged one, after the typed decode failed."""
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        return
    if not isinstance(document, dict) or not isinstance(document.get("task_id"), str):
        return
    reason = _newer_reason(document)
    if reason:
        raise ReadOnlyState(
            f"task {document['task_id']}: {reason}; a newer version wrote it: upgrade to change it",
            raw=raw,
            task_id=document["task_id"],
        )


def _newer_reason(document: dict[str, Any]) -> str:
    version = document.get("version")
    if isinstance(version, str) and version != STATE_VERSION:
        return f"format {version!a}"
    ours = document.get("mendloop")
    if isinstance(ours, dict):
        for key in ("schema", "min_writer"):
            if isinstance(ours.get(key), int) and ours[key] > LEDGER_SCHEMA:
                return f"schema {ours[key]}"
    entries = document.get("feedback_history")
    step = ours.get("step") if isinstance(ours, dict) else None
    checks: list[tuple[Any, str, type[StrEnum]]] = [
        (document, "status", Status),
        (ours, "phase", Phase),
        (ours, "stop_reason", StopReason),
        (step, "kind", StepKind),
    ]
    for entry in entries if isinstance(entries, list) else []:
        finding = entry.get("mendloop") if isinstance(entry, dict) else None
        checks += [(entry, "severity", Severity), (entry, "issue_type", IssueType)]
        checks.append((finding, "life", Life))
        lives = finding.get("lives") if isinstance(finding, dict) else None
        checks += [(turn, "life", Life) for turn in (lives if isinstance(lives, list) else [])]
    for holder, key, enum in checks:
        value = holder.get(key) if isinstance(holder, dict) else None
        if isinstance(value, str) and value not in set(enum):
            return f"{key} {value!a} is not known here"
    return ""


def _refuse_ambiguous(raw: bytes) -> None:
    """Refuse what readers would read differently: a key twice, a lone surrogate."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) != len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise DeserializationError(f"not a state: the key {twice!a} stands twice")
        return members

    document = json.loads(raw, object_pairs_hook=unique, parse_int=str, parse_float=str)
    json.dumps(document, ensure_ascii=False).encode()


@lru_cache
def _decoder(cls: type[_C]) -> msgspec.json.Decoder[_C]:
    return msgspec.json.Decoder(cls)


class _Field(msgspec.Struct, frozen=True):
    """How one member is read: ``shape`` is how *inner* structs sit in it, or "plain"."""

    name: str
    shape: str
    inner: type[Carrying] | None
    decoder: msgspec.json.Decoder[Any]


@lru_cache
def _fields(cls: type[Carrying]) -> tuple[_Field, ...]:
    hints = typing.get_type_hints(cls, include_extras=True)
    return tuple(
        _Field(name, *_shape(hints[name]), msgspec.json.Decoder(hints[name]))
        for name in cls.__struct_fields__
        if name != "extra"
    )


def _shape(hint: Any) -> tuple[str, type[Carrying] | None]:
    options = (
        typing.get_args(hint)
        if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
        else (hint,)
    )
    for option in options:
        if isinstance(option, type) and issubclass(option, Carrying):
            return "one", option
        arguments = [
            argument
            for argument in typing.get_args(option)
            if isinstance(argument, type) and issubclass(argument, Carrying)
        ]
        if arguments:
            return ("map" if typing.get_origin(option) is dict else "list"), arguments[0]
    return "plain", None


def _read(cls: type[_C], raw: bytes | msgspec.Raw) -> _C:
    members = _MEMBERS.decode(raw)
    values: dict[str, Any] = {}
    for field in _fields(cls):
        if field.name not in members:
            continue
        piece = members.pop(field.name).copy()
        values[field.name] = _read_member(field, piece)
        if (cls, field.name) == (FeedbackEntry, "timestamp") and bytes(piece) != _ENCODER.encode(
            values[field.name]
        ):
            members[field.name] = piece  # finer than a microsecond: kept as it came
    if members:
        values["extra"] = {key: piece.copy() for key, piece in members.items()}
    return cls(**values)


def _read_member(field: _Field, piece: msgspec.Raw) -> Any:
    if field.inner is None or bytes(piece) == b"null":
        return field.decoder.decode(piece)
    if field.shape == "list":
        return tuple(_read(field.inner, item) for item in _ITEMS.decode(piece))
    if field.shape == "map":
        return {key: _read(field.inner, item) for key, item in _MEMBERS.decode(piece).items()}
    return _read(field.inner, piece)


def _write(value: Carrying) -> msgspec.Raw:
    members: dict[str, Any] = {}
    defaults = dict(
        zip(reversed(value.__struct_fields__), reversed(_defaults(value)), strict=False)
    )
    omit = value.__struct_config__.omit_defaults
    for field in _fields(type(value)):
        member = getattr(value, field.name)
        default = defaults.get(field.name, msgspec.UNSET)
        # A struct is left out as msgspec leaves it out: where it is the default itself.
        is_default = member is default or (not isinstance(member, Carrying) and member == default)
        if member is msgspec.UNSET or (omit and is_default):
            continue
        members[field.name] = _write_member(field, member)
    if isinstance(value.extra, dict):
        members.update(value.extra)
    return msgspec.Raw(_ENCODER.encode(members))


def _defaults(value: Carrying) -> tuple[Any, ...]:
    return tuple(
        default.factory() if hasattr(default, "factory") else default
        for default in value.__struct_defaults__
    )


def _write_member(field: _Field, member: Any) -> Any:
    if field.inner is None or member is None:
        return member
    if field.shape == "list":
        return [_write(item) for item in member]
    if field.shape == "map":
        return {key: _write(item) for key, item in member.items()}
    return _write(member)
