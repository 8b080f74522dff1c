"""What was seen of ConfigMaps: never back in time, bounded, and told to everybody who watches."""

from __future__ import annotations

import asyncio
import random
import tracemalloc
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mendloop.core.errors import StoreError
from mendloop.kube.watch import Gone, ListBegun, ListDone, Present
from mendloop.stores.configmap_cache import Cache, Change

NAMES = ("a", "b", "c")


def present(name: str, version: int) -> Present:
    return Present(name, "u", version, b"%s@%d" % (name.encode(), version))


def gone(name: str, version: int) -> Gone:
    return Gone(name, "u", version)


@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.booleans()), max_size=30),
    st.randoms(use_true_random=False),
)
def test_news_in_any_order_end_at_the_newest(
    history: list[tuple[str, bool]], dice: random.Random
) -> None:
    """However late and often each change is told, no name goes back, and the last one stands."""
    news: list[Present | Gone] = []
    newest: dict[str, Present | Gone] = {}
    for version, (name, is_there) in enumerate(history, start=1):
        news.append(present(name, version) if is_there else gone(name, version))
        newest[name] = news[-1]
    told = news + dice.choices(news, k=len(news)) if news else []
    dice.shuffle(told)
    cache = Cache()
    last = dict.fromkeys(NAMES, 0)
    for event in told:
        cache.take(event)
        for name in NAMES:
            raw = cache.get(name)
            if raw is not None:
                version = int(raw.split(b"@")[1])
                assert version >= last[name]
                last[name] = version
    for name, event in newest.items():
        assert (event.raw if isinstance(event, Present) else None) == cache.get(name)


def test_removed_name_is_free_for_a_new_object() -> None:
    """After a removal late news of the old object count no more, and a new one does."""
    cache = Cache()
    cache.take(present("a", 5))
    cache.take(gone("a", 7))
    cache.take(present("a", 6))
    assert cache.get("a") is None
    cache.take(present("a", 8))
    assert b"a@8" == cache.get("a")
    cache.take(gone("a", 7))
    assert b"a@8" == cache.get("a")


def test_what_a_list_does_not_hold_is_gone() -> None:
    """A removal that was missed shows in the next list; what is newer than the list stays."""
    cache = Cache()
    for version, name in enumerate("abc", start=1):
        cache.take(present(name, version))
    cache.take(ListBegun(10, is_behind=False))
    cache.take(present("a", 1))
    cache.see("d", 12, b"d@12")
    cache.see("c", 13, b"c@13")
    cache.take(ListDone())
    assert [b"a@1", None, b"c@13", b"d@12"] == [cache.get(name) for name in "abcd"]
    cache.take(present("b", 2))
    assert cache.get("b") is None


def test_list_that_breaks_off_removes_nothing() -> None:
    """Only a list that came to its end says what is gone."""
    cache = Cache()
    cache.take(present("a", 1))
    cache.take(present("b", 2))
    cache.take(ListBegun(10, is_behind=False))
    cache.take(ListBegun(11, is_behind=False))
    cache.take(present("b", 2))
    assert b"a@1" == cache.get("a")
    cache.take(ListDone())
    assert [None, b"b@2"] == [cache.get(name) for name in "ab"]


def test_restored_server_counts_as_it_is() -> None:
    """Where the server went back behind what was seen, its state is taken, lower versions and all."""
    cache = Cache()
    cache.take(present("a", 50))
    cache.take(present("b", 60))
    cache.take(gone("c", 70))
    cache.take(ListBegun(40, is_behind=True))
    cache.take(present("a", 30))
    cache.take(present("c", 31))
    cache.take(ListDone())
    assert [b"a@30", None, b"c@31"] == [cache.get(name) for name in "abc"]


def test_bytes_are_bounded() -> None:
    """Beyond the limit the longest unchanged are let go; their versions still count."""
    cache = Cache(limit_bytes=100)
    for number in range(10):
        cache.see(f"{number}", number + 1, b"x" * 30)
    assert 3 == sum(cache.get(f"{number}") is not None for number in range(10))
    cache.see("0", 1, b"x" * 30)
    assert cache.get("0") is None
    cache.see("0", 20, b"y" * 30)
    assert b"y" * 30 == cache.get("0")


def test_removals_are_bounded() -> None:
    """A hundred thousand removals are not remembered for ever."""
    cache = Cache()
    for number in range(100_000):
        cache.take(gone(f"{number}", number))
    assert len(cache._graves) <= 10_000


def test_ten_thousand_tasks_fit_in_memory() -> None:
    """10,000 heads of 4 kB, as a server sends them, take at most 120 MB."""
    raw = b"x" * 6_500  # 4 kB of state, escaped, with what the server adds
    tracemalloc.start()
    cache = Cache()
    for number in range(10_000):
        cache.take(Present(f"task-{number}-state", "u" * 36, number, bytes(bytearray(raw))))
    held_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held_bytes < 120_000_000
    assert 10_000 == sum(cache.get(f"task-{n}-state") is not None for n in range(10_000))


async def test_every_watcher_is_told_everything() -> None:
    """A late one begins with all that is there, and each is told of later changes at its own pace."""
    cache = Cache()
    cache.see("a", 1, b"a@1")
    early = cache.changes()
    assert Change("a", b"a@1", is_gone=False) == await anext(early)
    cache.see("b", 2, b"b@2")
    late = cache.changes()
    assert {"a", "b"} == {(await anext(late)).name, (await anext(late)).name}
    cache.remove("a", 3)
    for watcher, expected in ((early, ["b", "a"]), (late, ["a"])):
        assert expected == [(await anext(watcher)).name for _ in expected]
        await watcher.aclose()
    assert not cache._watchers


async def test_what_came_and_went_untold_is_not_told() -> None:
    """Who was never told that a name is there is not told that it is gone."""
    cache = Cache()
    async with aclosing(cache.changes()) as changes:
        waiting = asyncio.create_task(anext(changes))
        await asyncio.sleep(0)
        cache.see("a", 1, b"a@1")
        cache.remove("a", 2)
        cache.see("b", 3, b"b@3")
        assert Change("b", b"b@3", is_gone=False) == await waiting


async def test_failure_ends_every_watch_after_what_is_known() -> None:
    """What was seen before a failure is still told, and then why there is no more."""
    cache = Cache()
    cache.see("a", 1, b"a@1")
    cache.fail(StoreError("no more"))
    async with aclosing(cache.changes()) as changes:
        assert "a" == (await anext(changes)).name
        with pytest.raises(StoreError, match="no more"):
            await anext(changes)
