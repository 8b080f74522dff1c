"""What a ConfigMap can hold is counted here as the server counts it, before anything is sent."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest
from configmaps import Others
from crew import open_spec
from fault_proxy import FaultProxy
from opened import opened
from states import entry

from controlplane import APIError
from mendloop.core.errors import TooLarge
from mendloop.core.names import HEAD
from mendloop.manager import StateManager
from mendloop.stores.configmap_objects import DATA_LIMIT_BYTES, as_object
from mendloop.stores.port import Store

FIELDS = {"task_id": "t", "iteration": "12"}
REQUEST_LIMIT_BYTES = 3 * 1024 * 1024
_CHARACTERS = {
    "ascii": "a",
    "quotes": '"',
    "cyrillic": "ж",
    "emoji": "😀",
    "line separators": "\u2028",
}


def text_of(character: str, size_bytes: int) -> str:
    """A text of so many bytes, as many of them as possible in *character*."""
    count, rest = divmod(size_bytes, len(character.encode()))
    return character * count + "x" * rest


@pytest.fixture
async def store(proxied: str) -> AsyncIterator[Store]:
    """A store whose requests are counted."""
    async with opened(open_spec) as open_store:
        yield await open_store(proxied)


@pytest.mark.parametrize("character", _CHARACTERS.values(), ids=_CHARACTERS.keys())
async def test_our_count_is_the_servers(
    store: Store, others: Others, proxy: FaultProxy, character: str
) -> None:
    """The last size that the server takes is written and the next is refused before it is sent."""
    room = DATA_LIMIT_BYTES - sum(map(len, FIELDS.values()))
    for size_bytes in (room - 1, room):
        text = text_of(character, size_bytes)
        name = f"size-{size_bytes}"
        created = await store.create(HEAD, f"{name}-state", text.encode(), fields=FIELDS)
        small = await store.replace(created, b"{}", fields=FIELDS)
        replaced = await store.replace(small, text.encode(), fields=FIELDS)
        assert replaced == await store.get(HEAD, f"{name}-state")
        assert text == others.read(f"{name}-state")["data"]["state.json"]
    text = text_of(character, room + 1)
    sent = proxy.count()
    for write in (
        lambda: store.create(HEAD, "large-state", text.encode(), fields=FIELDS),
        lambda: store.replace(replaced, text.encode(), fields=FIELDS),
        # What stays of the document counts as well, though it is not named again.
        lambda: store.replace(replaced, text.encode()),
    ):
        with pytest.raises(TooLarge) as caught:
            await write()
        assert (DATA_LIMIT_BYTES + 1, DATA_LIMIT_BYTES) == (
            caught.value.size_bytes,
            caught.value.limit_bytes,
        )

    assert sent == proxy.count()
    with pytest.raises(APIError) as refused:
        others.create("over", data={"state.json": text, **FIELDS})
    assert 422 == refused.value.status


@pytest.mark.parametrize("character", ["\x01", "\x00", "\x1b", "\x7f"], ids=ascii)
async def test_what_only_grows_on_the_way_is_counted_as_well(
    store: Store, proxy: FaultProxy, character: str
) -> None:
    """Control characters take six bytes each in a request, and a request has a limit of its own."""

    def text_for(request_bytes: int) -> bytes:
        spare = request_bytes - len(as_object(HEAD, "a-state", b"", {}, {}))
        return (character * (spare // 6) + "x" * (spare % 6)).encode()

    largest = text_for(REQUEST_LIMIT_BYTES)
    await store.create(HEAD, "a-state", largest)
    sent = proxy.count()
    with pytest.raises(TooLarge, match="escaped"):
        await store.create(HEAD, "b-state", largest + b"x")

    assert sent == proxy.count()
    found = await store.get(HEAD, "a-state")
    assert found is not None
    assert largest == found.body


async def test_a_task_takes_more_than_a_configmap_holds(store: Store, proxy: FaultProxy) -> None:
    """Large findings that hardly compress, several times the limit in all: each is kept as it was."""
    dice = random.Random(7)
    given = [entry(f"c{number}", description=dice.randbytes(4000).hex()) for number in range(400)]
    async with StateManager(store, by="ann") as manager:
        await manager.create_task("t")
        for first in range(0, len(given), 20):
            await manager.append_feedback("t", *given[first : first + 20])
        kept = await manager.get_feedback_history("t")

    assert [(e.pr_comment_id, e.description) for e in given] == [
        (e.pr_comment_id, e.description) for e in kept
    ]
    assert 2 * DATA_LIMIT_BYTES < sum(len(e.description) for e in kept)
    assert not {exchange.status for exchange in proxy.exchanges} & {413, 422}
