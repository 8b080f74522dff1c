"""Bodies keep their bytes; keys, fields and labels keep their text."""

from __future__ import annotations

import pytest

from mendloop.core.errors import ValidationError
from mendloop.stores.port import Store

BODIES = {
    "empty": b"",
    "json": b'{"task_id": "a", "iteration": 3}',
    "nul": b"\0a\0\0b\0",
    "not-utf-8": b"\xff\xfe\xc3\x28\x80",
    "every-byte": bytes(range(256)),
    "line-ends": b"a\r\nb\rc\n\n",
    "gzip-magic": b"\x1f\x8b\x08\0 no gzip at all",
    "one-mebibyte": bytes(range(256)) * 4096,
}

TEXTS = {
    "spaces": " a  b ",
    "slashes": "../a/b\\c",
    "quotes": "a'b\"c`d",
    "json": '{"a": ["$.b", null]}',
    "sql": "'; DROP TABLE document; --",
    "wildcards": "%_*?[a]",
    "cyrillic": "задача-1",
    "astral": "\U0001f600\U0010ffff",
    "combining": "e\u0301",
    "precomposed": "\u00e9",
    "bidi": "a\u202eb",
    "controls": "a\x01\x1b\x7f\n\tb",
    "long": "k" * 200,
    "digits": "0042",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
async def test_created_body_keeps_its_bytes(store: Store, other: Store, body: bytes) -> None:
    """A body is read byte for byte as it was created."""
    created = await store.create("head", "a", body)
    read = await other.get("head", "a")
    assert created == read
    assert body == created.body


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
async def test_replaced_body_keeps_its_bytes(store: Store, other: Store, body: bytes) -> None:
    """A body is read byte for byte as it was replaced, whatever its length was before."""
    created = await store.create("head", "a", b"x" * 5000)
    replaced = await store.replace(created, body)
    read = await other.get("head", "a")
    assert replaced == read
    assert body == replaced.body


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
async def test_any_text_is_a_key(store: Store, text: str) -> None:
    """A key is found by its exact text, listed with it, and gone with its document."""
    created = await store.create("head", text, b"1")
    replaced = await store.replace(created, b"2")
    assert (replaced,) == (await store.list("head", prefix=text)).documents
    await store.delete(replaced)
    assert await store.get("head", text) is None


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
async def test_any_text_is_a_field_and_a_label(store: Store, text: str) -> None:
    """Names and values of fields and labels are kept, and labels are selected by them."""
    created = await store.create("head", "a", b"1", fields={text: text}, labels={text: text})
    assert {text: text} == dict(created.fields)
    assert created == await store.get("head", "a")
    assert (created,) == (await store.list("head", labels={text: text})).documents


async def test_keys_that_look_alike_are_told_apart(store: Store) -> None:
    """Case, spaces and composition make different keys."""
    keys = ["a", "A", "a ", " a", "\u00e9", "e\u0301", "\u0430"]
    for number, key in enumerate(keys):
        await store.create("head", key, str(number).encode())
    read = [await store.get("head", key) for key in keys]
    assert [str(n).encode() for n in range(len(keys))] == [d.body for d in read if d]


async def test_text_that_is_no_unicode_is_refused(store: Store) -> None:
    """A lone surrogate in a key, a field or a label is refused, and nothing is written."""
    for bad_key, texts in (("\ud800", {}), ("a", {"\udfff": "1"}), ("a", {"1": "\udfff"})):
        with pytest.raises(ValidationError):
            await store.create("head", bad_key, b"1", fields=texts)
        with pytest.raises(ValidationError):
            await store.create("head", bad_key, b"1", labels=texts)
    assert () == (await store.list("head")).documents
