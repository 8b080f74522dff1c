"""Sizes are counted as the server counts them, before anything is sent."""

from __future__ import annotations

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


async def test_foreign_data_counts_with_ours(store: ConfigMapStore, others: Others) -> None:
    """What others have put into a head takes room that is then not ours."""
    await store.create(*HEAD, b"1")
    others.apply(HEAD[1], "helper", data={"extra": "x" * 1_000_000})
    with pytest.raises(TooLarge):
        await store.replace(await read_head(store), b"1" * 100_000)
    await store.replace(await read_head(store), b"1" * 40_000)
