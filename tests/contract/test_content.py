"""Bodies keep their bytes; keys, fields and labels keep their text, and have one grammar."""

from __future__ import annotations

import pytest

from mendloop.core.errors import ValidationError
from mendloop.stores.port import Document, Store

TEXT_BODIES = {
    "empty": b"",
    "json": b'{"task_id": "a", "iteration": 3}',
    "nul": b"\0a\0\0b\0",
    "line-ends": b"a\r\nb\rc\n\n\t ",
    "controls": bytes(range(32)) + b"\x7f",
    "odd-line-ends": "a\u0085b\u2028c\u2029d".encode(),
    "c1-controls": "".join(map(chr, range(0x80, 0xA0))).encode(),
    "no-characters": "\ufeff\ufffe\uffff\U0001fffe\U0010ffff".encode(),
    "escapes": rb"\u0041 \ud83d \\ \" </script> &amp; {{a}} ${b}",
    "cyrillic": "задача".encode(),
    "astral": "\U0001f600\U0010fffd".encode(),
    "bidi": "a\u202eb\u2066c".encode(),
    "combining": "e\u0301 \u00e9".encode(),
    "yaml": b"a: &b [*b, !!c, ---, '...]\n--- \n# d\n- e",
    "one-mebibyte": b"0123456789abcdef" * 65_536,
}
BODIES = TEXT_BODIES | {
    "not-utf-8": b"\xff\xfe\xc3\x28\x80",
    "every-byte": bytes(range(256)),
    "gzip-magic": b"\x1f\x8b\x08\0 no gzip at all",
    "one-mebibyte-of-bytes": bytes(range(256)) * 4096,
}
_OF_KINDS = [("head", name) for name in TEXT_BODIES] + [("note", name) for name in BODIES]

KEYS = ["a", "0", "a-b", "a1.b", "0042", "task-a.b-state", "a--b", "k" * 253]
NO_KEYS = {
    "empty": "",
    "blank": " ",
    "upper-case": "A",
    "line-end": "a\n",
    "nul": "a\0",
    "dash-first": "-a",
    "dash-last": "a-",
    "dot-last": "a.",
    "two-dots": "a..b",
    "dash-dot": "a-.b",
    "underscore": "a_b",
    "slashes": "../a/b",
    "sql": "'; DROP TABLE document; --",
    "wildcards": "%_*?[a]",
    "cyrillic": "задача",
    "digits-elsewhere": "\u0661",
    "surrogate": "\ud800",
    "too-long": "k" * 254,
}

FIELD_NAMES = ["a", "A", "0", "-", "_", ".a", "a..b", "state.JSON", "f" * 253]
NO_FIELD_NAMES = ["", ".", "..", "..a", "a b", "a/b", "é", "a\n", "\udfff", "f" * 254]
OWN_FIELD_NAMES = ["state.json", "body"]

LABELS = {
    "plain": ("a", "b"),
    "upper-case": ("Ab", "Cd"),
    "all-signs": ("a-b_c.d", "1-2_3.4"),
    "domain": ("a.example/b", "c"),
    "empty-value": ("a", ""),
    "longest": ("d" * 253 + "/" + "n" * 63, "v" * 63),
}
NO_LABELS = {
    "empty-name": ("", "a"),
    "no-base": ("a.example/", "a"),
    "no-prefix": ("/a", "a"),
    "two-slashes": ("a/b/c", "a"),
    "upper-case-domain": ("A.example/b", "a"),
    "dash-first": ("-a", "a"),
    "value-dash-last": ("a", "a-"),
    "blank": ("a", "b c"),
    "line-end": ("a", "b\n"),
    "slash": ("a", "b/c"),
    "cyrillic": ("a", "значение"),
    "surrogate-name": ("\udfff", "a"),
    "surrogate-value": ("a", "\udfff"),
    "long-name": ("n" * 64, "a"),
    "long-value": ("a", "v" * 64),
    "long-domain": ("d" * 254 + "/a", "a"),
    "of-the-store": ("app", "a"),
    "of-the-store-too": ("managed-by", "a"),
    "domain-of-the-store": ("mendloop.dev/a", "a"),
}


async def nothing_is_stored(store: Store, *kinds: str) -> bool:
    return not any([(await store.list(kind)).documents for kind in kinds])


@pytest.mark.parametrize(("kind", "name"), _OF_KINDS)
async def test_created_body_keeps_its_bytes(
    store: Store, other: Store, kind: str, name: str
) -> None:
    """A body is read byte for byte as it was created."""
    created = await store.create(kind, "a", BODIES[name])
    read = await other.get(kind, "a")
    assert created == read
    assert BODIES[name] == created.body


@pytest.mark.parametrize(("kind", "name"), _OF_KINDS)
async def test_replaced_body_keeps_its_bytes(
    store: Store, other: Store, kind: str, name: str
) -> None:
    """A body is read byte for byte as it was replaced, whatever its length was before."""
    created = await store.create(kind, "a", b"x" * 5000)
    replaced = await store.replace(created, BODIES[name])
    read = await other.get(kind, "a")
    assert replaced == read
    assert BODIES[name] == replaced.body


@pytest.mark.parametrize("body", [b"\xff", b"a\xc3", b"\xed\xa0\x80", b"\xc0\x80"])
async def test_head_that_is_no_text_is_refused(store: Store, body: bytes) -> None:
    """A head's body is UTF-8: anything else is refused, and nothing is written."""
    with pytest.raises(ValidationError):
        await store.create("head", "a", body)
    assert await store.get("head", "a") is None
    created = await store.create("head", "a", b"1")
    with pytest.raises(ValidationError):
        await store.replace(created, body)
    assert created == await store.get("head", "a")


@pytest.mark.parametrize("key", KEYS)
async def test_key_of_the_grammar_is_taken(store: Store, key: str) -> None:
    """A key is found by its exact text, listed with it, and gone with its document."""
    created = await store.create("head", key, b"1")
    replaced = await store.replace(created, b"2")
    assert (replaced,) == (await store.list("head")).documents
    assert key == replaced.key
    await store.delete(replaced)
    assert await store.get("head", key) is None


@pytest.mark.parametrize("key", NO_KEYS.values(), ids=NO_KEYS.keys())
async def test_other_key_is_refused(store: Store, key: str) -> None:
    """A key outside the grammar is refused by every call, and nothing is written."""
    document = Document(kind="head", key=key, revision="1", body=b"", fields={}, labels={})
    for call in (
        store.get("head", key),
        store.create("head", key, b"1"),
        store.replace(document, b"1"),
        store.delete(document),
    ):
        with pytest.raises(ValidationError):
            await call
    assert await nothing_is_stored(store, "head")


async def test_longest_key_leaves_room_for_its_kind(store: Store) -> None:
    """A key of another kind than head and chunk has 253 characters together with its kind."""
    longest = "k" * (253 - len("note."))
    assert longest == (await store.create("note", longest, b"1")).key
    with pytest.raises(ValidationError):
        await store.create("note", longest + "k", b"1")


@pytest.mark.parametrize(
    "kind", ["", "A", "a b", "a1", "a.b", "a-b", "é", "a\n", "\ud800", "k" * 64]
)
async def test_other_kind_is_refused(store: Store, kind: str) -> None:
    """A kind is 1 to 63 lower-case letters."""
    for call in (store.get(kind, "a"), store.create(kind, "a", b"1"), store.list(kind)):
        with pytest.raises(ValidationError):
            await call


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("head", "task-a-history-b"),
        ("head", "note.a"),
        ("chunk", "a"),
        ("chunk", "task-a-history-b-state"),
        ("chunk", "note.a-history-b"),
    ],
)
async def test_key_of_another_kinds_form_is_refused(store: Store, kind: str, key: str) -> None:
    """Heads and chunks have keys by which they are told from each other, and from other kinds."""
    with pytest.raises(ValidationError):
        await store.create(kind, key, b"1")
    assert await nothing_is_stored(store, "head", "chunk")


@pytest.mark.parametrize("name", FIELD_NAMES)
async def test_field_of_the_grammar_is_kept(store: Store, other: Store, name: str) -> None:
    """A field is read with the name and the text that it was created and replaced with."""
    for kind in ("head", "note"):
        created = await store.create(kind, "a", b"1", fields={name: "1"})
        assert {name: "1"} == dict(created.fields)
        replaced = await store.replace(created, b"1", fields={name: "2"})
        assert replaced == await other.get(kind, "a")
        assert {name: "2"} == dict(replaced.fields)


@pytest.mark.parametrize("name", NO_FIELD_NAMES + OWN_FIELD_NAMES)
async def test_other_field_name_is_refused(store: Store, name: str) -> None:
    """A field's name outside the grammar, or one that a store needs, is refused in every write."""
    created = await store.create("head", "a", b"1")
    for call in (
        store.create("head", "b", b"1", fields={name: "1"}),
        store.replace(created, b"2", fields={name: "1"}),
    ):
        with pytest.raises(ValidationError):
            await call
    assert (created,) == (await store.list("head")).documents


@pytest.mark.parametrize("body", TEXT_BODIES.values(), ids=TEXT_BODIES.keys())
async def test_field_keeps_any_text(store: Store, other: Store, body: bytes) -> None:
    """The value of a field is any text."""
    text = body.decode()
    created = await store.create("head", "a", b"", fields={"f": text})
    assert created == await other.get("head", "a")
    assert {"f": text} == dict(created.fields)
    replaced = await store.replace(created, b"", fields={"f": f"{text[1:]}1"})
    assert replaced == await other.get("head", "a")
    assert {"f": f"{text[1:]}1"} == dict(replaced.fields)


async def test_field_that_is_no_unicode_is_refused(store: Store) -> None:
    """A lone surrogate in a field is refused, and nothing is written."""
    with pytest.raises(ValidationError):
        await store.create("head", "a", b"1", fields={"f": "\ud800"})
    assert await nothing_is_stored(store, "head")


@pytest.mark.parametrize(("name", "value"), LABELS.values(), ids=LABELS.keys())
async def test_label_of_the_grammar_is_kept(
    store: Store, other: Store, name: str, value: str
) -> None:
    """Labels are kept, and documents are selected by them."""
    for kind in ("head", "note"):
        created = await store.create(kind, "a", b"1", labels={name: value})
        await store.create(kind, "b", b"1", labels={name: "other"})
        assert {name: value} == dict(created.labels)
        assert created == await other.get(kind, "a")
        assert (created,) == (await other.list(kind, labels={name: value})).documents


@pytest.mark.parametrize(("name", "value"), NO_LABELS.values(), ids=NO_LABELS.keys())
async def test_other_label_is_refused(store: Store, name: str, value: str) -> None:
    """A label outside the grammar, or one that a store needs, is refused in writes and selections."""
    created = await store.create("head", "a", b"1")
    for call in (
        store.create("head", "b", b"1", labels={name: value}),
        store.replace(created, b"2", labels={name: value}),
        store.list("head", labels={name: value}),
    ):
        with pytest.raises(ValidationError):
            await call
    assert (created,) == (await store.list("head")).documents


async def test_keys_that_look_alike_are_told_apart(store: Store) -> None:
    """Signs and zeros make different keys."""
    keys = ["a", "a-b", "a1.b", "ab", "a0b", "aob", "a-0", "a-00"]
    for number, key in enumerate(keys):
        await store.create("head", key, str(number).encode())
    read = [await store.get("head", key) for key in keys]
    assert [str(n).encode() for n in range(len(keys))] == [d.body for d in read if d]
