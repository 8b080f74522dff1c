"""Sizes are counted as the server counts them, before anything is sent."""

from __future__ import annotations

import base64

import pytest
from configmaps import HEAD, Others, read_head
from fault_proxy import FaultProxy

from controlplane import APIError
from mendloop.core.errors import TooLarge
from mendloop.stores.configmap import ConfigMapStore

LIMIT = 1_048_576


_FILLERS = {"ascii": "x", "cyrillic": "\u044f", "astral": "\U0001f600", "quotes": '"', "tags": "<"}


@pytest.mark.parametrize("filler", _FILLERS.values(), ids=_FILLERS.keys())
async def test_limit_is_the_servers_to_the_byte(
    store: ConfigMapStore, others: Others, proxy: FaultProxy, filler: str
) -> None:
    """What fits by our count is taken by the server; one byte more is refused here, and there."""
    width = len(filler.encode())
    text = filler * ((LIMIT - 16) // width)
    text += "." * (LIMIT - 16 - len(text.encode()))
    made = await store.create(*HEAD, b"1" * 8, fields={"f": text[:-1], "g": "12345678"})
    made = await store.replace(made, b"1" * 9, fields={"f": text[:-1]})
    made = await store.replace(made, b"1" * 8, fields={"f": text})
    for call in (
        store.replace(made, b"1" * 9, fields={"f": text}),
        store.replace(made, b"1" * 9),
        store.create("head", "b", b"1" * 17, fields={"f": text}),
        store.create("note", "b", b"1" * 17, fields={"f": text}),
    ):
        with pytest.raises(TooLarge) as caught:
            await call
        assert (LIMIT + 1, LIMIT) == (caught.value.size_bytes, caught.value.limit_bytes)
    assert made == await store.get(*HEAD)
    assert {200, 201} == {exchange.status for exchange in proxy.exchanges}
    with pytest.raises(APIError) as refused:
        others.create("c", data={"f": text, "g": "1" * 17})
    assert refused.value.status in {413, 422}


async def test_text_that_grows_by_escapes_is_refused_here(
    store: ConfigMapStore, proxy: FaultProxy
) -> None:
    """Control characters are six bytes each on the way: what a body may not hold is not sent."""
    with pytest.raises(TooLarge) as caught:
        await store.create(*HEAD, b"\x01" * 1_000_000)
    assert caught.value.size_bytes > 3_145_728 == caught.value.limit_bytes
    made = await store.create(*HEAD, b"\x01" * 500_000)
    assert b"\x01" * 500_000 == made.body
    assert [201] == [exchange.status for exchange in proxy.exchanges]


@pytest.mark.parametrize("extra", ["data", "binaryData"])
async def test_foreign_data_counts_with_ours(
    store: ConfigMapStore, others: Others, proxy: FaultProxy, extra: str
) -> None:
    """What others have put into a head takes room that is then not ours, to the byte, and is named."""
    await store.create(*HEAD, b"1", fields={"iteration": "12"})
    value = "x" * 700_000 if extra == "data" else base64.b64encode(b"x" * 700_000).decode()
    others.apply(HEAD[1], "helper", **{extra: {"extra": value}})
    room = LIMIT - 700_000 - 2
    read = await read_head(store)
    with pytest.raises(TooLarge) as caught:
        await store.replace(read, b"1" * (room + 1), fields={"iteration": "12"})
    await store.replace(read, b"1" * room, fields={"iteration": "12"})

    assert (LIMIT + 1, LIMIT) == (caught.value.size_bytes, caught.value.limit_bytes)
    assert "keys of others have 700000 of them, extra (700000 bytes)" in str(caught.value)
    assert not {413, 422} & {exchange.status for exchange in proxy.exchanges}


async def test_what_is_large_of_a_state_is_named(store: ConfigMapStore, proxy: FaultProxy) -> None:
    """A state that is too large by itself is told by its largest members, and nobody else is blamed."""
    body = b'{"task_id":"7","metadata":{"log":"%b"}}' % (b"x" * LIMIT)
    with pytest.raises(TooLarge) as caught:
        await store.create(*HEAD, body, fields={"iteration": "12"})

    size = LIMIT + len('{"log":""}')
    assert f"state.json ({len(body)} bytes), iteration (2 bytes)" in str(caught.value)
    assert f"in state.json: metadata ({size} bytes), task_id (3 bytes)" in str(caught.value)
    assert "others" not in str(caught.value)
    assert not proxy.exchanges


async def test_a_full_head_takes_what_annotations_may_hold(
    store: ConfigMapStore, others: Others
) -> None:
    """Annotations have a limit of their own: full ones leave all the room that data has."""
    made = await store.create(*HEAD, b"1")
    await store.replace(made, b"2")
    full = {"note": "n" * 200_000, "other": "o" * 60_000}
    others.apply(HEAD[1], "helper", metadata={"annotations": full})
    written = await store.replace(await read_head(store), b"1" * LIMIT)

    assert LIMIT == len(written.body)


async def test_no_room_among_annotations_is_told_as_too_large(
    store: ConfigMapStore, others: Others
) -> None:
    """Where others fill the annotations, the server refuses ours, and that is said as a size."""
    made = await store.create(*HEAD, b"1")
    room = 262_144 - len("remediation.5dlabs.com/version" + "v1")
    full = {"note": "n" * (room - len("note"))}
    others.apply(HEAD[1], "helper", metadata={"annotations": full})
    read = await read_head(store)
    with pytest.raises(TooLarge, match="annotations"):
        await store.replace(read, b"2")

    assert made.body == (await read_head(store)).body


async def test_room_is_what_a_configmap_takes(store: ConfigMapStore) -> None:
    """The limit of a document is told, and that of the whole cluster is not ours to know."""
    room = await store.room()
    assert (LIMIT, None, None) == (room.document_bytes, room.used_bytes, room.limit_bytes)
