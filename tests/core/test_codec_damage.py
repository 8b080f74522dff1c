"""Bytes that are no state, and states of newer writers, are told apart and never guessed at."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from states import rich_state, with_unknown_members

from mendloop.core.codec import decode_state, encode_state
from mendloop.core.errors import DeserializationError, ReadOnlyState
from mendloop.core.model import LEDGER_SCHEMA

RAW = encode_state(rich_state())
DOCUMENT: dict[str, Any] = json.loads(RAW)
_DEEP = 100_000


def changed(*path: str | int, to: Any = ...) -> bytes:
    """The rich state with the member at *path* set, or taken out."""
    document = json.loads(RAW)
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    if to is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = to
    return json.dumps(document).encode()


@pytest.mark.parametrize("key", [key for key in DOCUMENT if key != "mendloop"])
@pytest.mark.parametrize("value", [..., None, 1.5, -1, [None], {"a": 1}, True, 2**70])
def test_a_missing_null_or_mistyped_member_is_damage(key: str, value: Any) -> None:
    """Each of the eight fields has to be there, of its type and not null."""
    with pytest.raises(DeserializationError):
        decode_state(changed(key, to=value))


@pytest.mark.parametrize(
    "key", [key for key in DOCUMENT["feedback_history"][0] if key != "mendloop"]
)
@pytest.mark.parametrize("value", [..., None, 1.5, -1, [], {}])
def test_a_missing_null_or_mistyped_member_of_a_finding_is_damage(key: str, value: Any) -> None:
    """Each of a finding's seven fields has to be there, of its type and not null."""
    with pytest.raises(DeserializationError):
        decode_state(changed("feedback_history", 0, key, to=value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("iteration",), -1),
        (("iteration",), 2**32),
        (("iteration",), "1"),
        (("metadata", "a"), 1),
        (("metadata", "a"), None),
        (("last_update",), "yesterday"),
        (("last_update",), "2026-03-04T05:06:07"),
        (("mendloop",), None),
        (("mendloop",), []),
        (("mendloop", "commit"), "1"),
        (("mendloop", "incarnation"), ...),
        (("mendloop", "lease"), None),
        (("mendloop", "lease", "generation"), 1.5),
        (("mendloop", "settings", "max_iterations"), 0),
        (("mendloop", "commits", 0, "changes"), None),
        (("feedback_history", 0, "mendloop"), None),
        (("feedback_history", 0, "mendloop", "fingerprint"), ...),
    ],
)
def test_a_value_out_of_its_type_is_damage(path: tuple[str | int, ...], value: Any) -> None:
    """Wrong types and ranges are found at every level."""
    with pytest.raises(DeserializationError):
        decode_state(changed(*path, to=value))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"{}",
        b"[]",
        b"null",
        b"\x00",
        b"\xef\xbb\xbf" + RAW,
        RAW.decode().encode("utf-16"),
        RAW.decode().encode("utf-16-le"),
        RAW.decode().encode("utf-32"),
        RAW + b"x",
        RAW + RAW,
        RAW[:-1],
        RAW.replace(b"it breaks", b"it \xff breaks"),
        RAW.replace(b"it breaks", b"it \xed\xa0\x80 breaks"),
        RAW[:-1] + b',"other":"\xff"}',
        RAW[:-1] + b',"other":"\xed\xa0\x80"}',
        RAW[:-1] + b',"other":NaN}',
        RAW[:-1] + b',"other":Infinity}',
        RAW[:-1] + b',"other":01}',
        RAW[:-1] + b',"\xff":1}',
        b"[" * _DEEP,
        b"[" * _DEEP + b"]" * _DEEP,
        RAW[:-1] + b',"other":' + b"[" * _DEEP + b"]" * _DEEP + b"}",
        RAW[:-1] + b',"other":' + b'{"a":' * _DEEP + b"1" + b"}" * _DEEP + b"}",
        RAW.replace(b'"iteration":1', b'"iteration":' + b"9" * 5000, 1),
        RAW.replace(b'"iteration":1', b'"iteration":1e400', 1),
        RAW.replace(b'"line":3', b'"line":' + b"9" * 5000, 1),
        RAW.replace(b'"ttl_seconds":30.0', b'"ttl_seconds":1e400', 1),
    ],
    ids=range(29),
)
def test_bytes_that_are_no_state_are_damage(raw: bytes) -> None:
    """Whatever the bytes are, the answer is DeserializationError and nothing else."""
    assert raw != RAW
    with pytest.raises(DeserializationError):
        decode_state(raw)


_MAPS = {("metadata",), ("sources",)}
"""Any key in them is known, but not any value."""


def _structs(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found = [path] if isinstance(value, dict) and value else []
    for key, inner in items:
        if isinstance(inner, dict | list):
            found += _structs(inner, (*path, key))
    return found


def _written(value: Any, target: Any, extra: bytes) -> bytes:
    """The document with the bytes *extra* as one more member of the object *target*."""
    if isinstance(value, list):
        return b"[" + b",".join(_written(item, target, extra) for item in value) + b"]"
    if not isinstance(value, dict):
        return json.dumps(value).encode()
    members = [
        json.dumps(key).encode() + b":" + _written(item, target, extra)
        for key, item in value.items()
    ]
    return b"{" + b",".join([*members, extra] if value is target else members) + b"}"


@pytest.mark.parametrize(
    "path", [path for path in _structs(DOCUMENT) if path[-1:] not in _MAPS], ids=str
)
@pytest.mark.parametrize("kind", ["known twice", "unknown twice", "inside unknown", "surrogate"])
def test_ambiguous_members_are_damage_at_every_level(
    path: tuple[str | int, ...], kind: str
) -> None:
    """A key twice or a lone surrogate is found wherever it stands, unknown members included."""
    target: Any = DOCUMENT
    for key in path:
        target = target[key]
    known = next(iter(target))
    extra = {
        "known twice": json.dumps(known).encode() + b":" + json.dumps(target[known]).encode(),
        "unknown twice": b'"other":"1","other":"1"',
        "inside unknown": b'"other":[{"b":{"a":1,"\\u0061":1}}]',
        "surrogate": b'"other":["\\udc00"]',
    }[kind]
    with pytest.raises(DeserializationError) as caught:
        decode_state(_written(DOCUMENT, target, extra))
    assert ("stands twice" in str(caught.value)) == (kind != "surrogate")


@pytest.mark.parametrize(
    ("path", "twice"),
    [
        (("metadata",), b'"other":"1","other":"1"'),
        (("mendloop", "sources"), b'"other":{"format":"text"},"other":{"format":"text"}'),
    ],
)
def test_a_key_of_a_map_twice_is_damage(path: tuple[str, ...], twice: bytes) -> None:
    """Where any key is allowed, each is allowed once."""
    target: Any = DOCUMENT
    for key in path:
        target = target[key]
    with pytest.raises(DeserializationError, match="stands twice"):
        decode_state(_written(DOCUMENT, target, twice))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("version",), "v2"),
        (("status",), "Sleeping"),
        (("feedback_history", 1, "severity"), "Horrible"),
        (("feedback_history", 0, "issue_type"), "Style"),
        (("feedback_history", 0, "mendloop", "life"), "forgotten"),
        (("mendloop", "min_writer"), LEDGER_SCHEMA + 1),
        (("mendloop", "phase"), "WaitingForAgent"),
        (("mendloop", "stop_reason"), "bored"),
        (("mendloop", "step"), {"kind": "deploy"}),
    ],
)
def test_what_a_newer_writer_wrote_is_read_only(path: tuple[str | int, ...], value: str) -> None:
    """A newer version or an unknown name is no damage; the error carries the bytes."""
    raw = changed(*path, to=value)
    with pytest.raises(ReadOnlyState) as caught:
        decode_state(raw)
    assert raw == caught.value.raw
    assert caught.value.task_id == "t"


def test_a_newer_layout_of_the_whole_document_is_read_only() -> None:
    """A newer version is recognised also where its members are not ours any more."""
    raw = b'{"task_id":"t","version":"v2","iterations":{"count":1}}'
    with pytest.raises(ReadOnlyState):
        decode_state(raw)


def test_a_newer_schema_that_we_may_write_is_carried() -> None:
    """A newer schema whose minimum writer is ours stays what it is."""
    raw = changed("mendloop", "schema", to=LEDGER_SCHEMA + 1)
    assert json.loads(raw) == json.loads(encode_state(decode_state(raw)))


def _cut(raw: bytearray, dice: random.Random) -> None:
    start = dice.randrange(len(raw))
    del raw[start : start + dice.randint(1, 40)]


def _flip(raw: bytearray, dice: random.Random) -> None:
    raw[dice.randrange(len(raw))] ^= 1 << dice.randrange(8)


def _repeat(raw: bytearray, dice: random.Random) -> None:
    start = dice.randrange(len(raw))
    raw[start:start] = raw[start : start + dice.randint(1, 40)]


def _swap(raw: bytearray, dice: random.Random) -> None:
    one, other = dice.randrange(len(raw)), dice.randrange(len(raw))
    raw[one], raw[other] = raw[other], raw[one]


def _splice(raw: bytearray, dice: random.Random) -> None:
    odd = [b"null", b"{}", b'"', b"1e999", b"\\ud800", b"[[", b"\xff", b"-1", b"9" * 5000, b"true"]
    start = dice.randrange(len(raw))
    raw[start : start + dice.randint(0, 6)] = dice.choice(odd)


def test_mutated_documents_are_refused_or_read_as_they_stand(
    scaled: Callable[[int, int], int],
) -> None:
    """Of damaged bytes there are only two outcomes: one of two errors, or what the JSON says."""
    dice = random.Random(4)
    documents = [RAW, with_unknown_members(RAW)[0], json.dumps(DOCUMENT, indent=1).encode()]
    outcomes = {"refused": 0, "read": 0}
    for _ in range(scaled(200_000, 5_000)):
        raw = bytearray(dice.choice(documents))
        for _ in range(dice.randint(1, 3)):
            dice.choice([_cut, _flip, _repeat, _swap, _splice])(raw, dice)
        try:
            read = decode_state(bytes(raw))
        except (DeserializationError, ReadOnlyState):
            outcomes["refused"] += 1
            continue
        outcomes["read"] += 1
        assert read == decode_state(encode_state(read))
    assert outcomes["refused"] > outcomes["read"] > 0


@given(st.binary(max_size=200) | st.text().map(lambda text: text.encode(errors="surrogatepass")))
def test_any_bytes_at_all_are_refused(raw: bytes) -> None:
    """Noise is damage, never another exception."""
    with pytest.raises(DeserializationError):
        decode_state(raw)
