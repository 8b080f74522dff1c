"""What is moved out of a head is read back by number, by key and in whole, however it was moved."""

from __future__ import annotations

import gzip
import hashlib
import json
import tracemalloc
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mendloop.core.errors import DeserializationError
from mendloop.core.sealed import Sealed
from mendloop.core.sealing import (
    CHUNK_BYTES,
    TAIL_ROWS,
    Seal,
    Sealer,
    closed_off,
    commit_of,
    open_counts_of,
)
from mendloop.core.shelf import (
    Held,
    Lacking,
    Row,
    Shelf,
    key_digest,
    open_chunk,
    open_index,
    tail_keys,
    unpacked,
)
from mendloop.core.vocabulary import Severity

SEVERITIES = tuple(Severity)


class Log:
    """A log that is sealed step by step, and beside it what has to be read back."""

    def __init__(self) -> None:
        self.sealed = Sealed()
        self.at_hand: dict[str, Held] = {}
        self.rows: dict[int, Row] = {}
        self.commit = 0

    @property
    def shelf(self) -> Shelf:
        return Shelf(self.sealed, self.at_hand)

    def put_away(self, rows: list[Row], *, is_settling: bool = False) -> None:
        """Move *rows* out as the next commit does."""
        self.commit += 1
        seal = Seal("t", "abc", self.commit, f"id{self.commit}")
        sealer = Sealer("findings", self.sealed, self.shelf, seal)
        sealer.put_away(rows, is_settling=is_settling)
        for document in sealer.documents:
            reader = open_index if document.is_index else open_chunk
            self.at_hand[document.digest] = reader(document.body, document.digest)
        self.sealed = sealer.sealed
        self.rows |= {row.number: row for row in rows}

    def check(self) -> None:
        """Compare all ways to read with what was put away last."""
        shelf, rows = self.shelf, self.rows
        assert rows == {number: shelf.row(number) for number in rows}
        found = {key: shelf.find(key) for row in rows.values() for key in row.keys}
        assert {key: row for row in rows.values() for key in row.keys} == found
        assert shelf.find("never put away") is None
        read = list(shelf.rows(self.sealed.chunks))
        assert sorted(rows) == sorted(row.number for row in read)
        assert rows == {row.number: row for row in read}
        lasts = [-1]
        for pointer in self.sealed.chunks:
            own = shelf.open(pointer).rows
            assert (pointer.first, pointer.last) == (min(own), max(own))
            assert pointer.first > lasts[-1]
            lasts.append(pointer.last)
            assert pointer.size_bytes <= CHUNK_BYTES or len(own) == 1
            if not pointer.keys:
                severities = (severity_of(row) for row in own.values())
                assert pointer.open == open_counts_of(s for s in severities if s is not None)


def row(number: int, version: int = 0, *, size_bytes: int = 0, is_open: bool = True) -> Row:
    """Some version of a row with two keys, one of which has no other row."""
    content = {
        "severity": SEVERITIES[(number + version) % len(SEVERITIES)],
        "resolved": not is_open,
        "version": version,
        "pad": "x" * size_bytes,
    }
    return Row(number, (f"c{number}", f"print-{number}"), msgspec.Raw(json.dumps(content).encode()))


def severity_of(given_row: Row) -> Severity | None:
    """How bad the open finding in a row is."""
    content = json.loads(bytes(given_row.content))
    return None if content["resolved"] else Severity(content["severity"])


_SIZES = st.sampled_from([0, 300, 40_000, 180_000])
_STEPS = st.lists(
    st.tuples(
        st.integers(0, 70),  # new rows
        st.lists(st.integers(0, 400), max_size=8),  # rows that get a newer version
        _SIZES,
        st.booleans(),  # whether to settle
    ),
    min_size=1,
    max_size=9,
)


@given(steps=_STEPS)
def test_the_newest_version_of_each_row_is_read_back(
    steps: list[tuple[int, list[int], int, bool]],
) -> None:
    """Appended, edited and settled in any order, in one chunk or many."""
    log = Log()
    for version, (new, edited, size_bytes, is_settling) in enumerate(steps, start=1):
        count = len(log.rows)
        old = {number % count for number in edited} if count else set()
        numbers = sorted(old | set(range(count, count + (new if size_bytes < 40_000 else new % 8))))
        log.put_away(
            [row(n, version, size_bytes=size_bytes, is_open=n % 3 > 0) for n in numbers],
            is_settling=is_settling,
        )
        log.check()
        assert not (is_settling and log.sealed.tail)


def test_a_newer_version_in_the_tail_hides_the_one_in_its_chunk() -> None:
    """By number, by each of its keys and among all; the others of that chunk stay as they are."""
    log = Log()
    log.put_away([row(n) for n in range(10)], is_settling=True)
    log.put_away([row(9, 1, is_open=False), row(3, 1), row(10, 1)])
    log.put_away([row(3, 2), row(0, 2)])

    assert log.sealed.tail is not None
    log.check()


def test_each_key_of_a_tail_is_among_those_that_the_head_keeps() -> None:
    """The first and the last too: what is in the tail is never looked for in chunks alone."""
    log = Log()
    log.put_away([row(n) for n in range(TAIL_ROWS)])

    assert log.sealed.tail is not None
    for number in range(TAIL_ROWS):
        with pytest.raises(Lacking) as lacking:
            Shelf(log.sealed, {}).find(f"print-{number}")
        assert (log.sealed.tail,) == lacking.value.pointers


def test_a_key_that_only_seems_to_be_in_the_tail_costs_no_read() -> None:
    """Three bytes of a digest that are there across two others do not count; behind them they do."""
    wanted = key_digest("wanted")[:3]
    across = b"\x00" + wanted + b"\x00\x00"
    log = Log()
    log.put_away([row(0)])
    tail = log.sealed.tail
    assert tail is not None

    def with_keys(keys: bytes) -> Shelf:
        other = msgspec.structs.replace(tail, keys=keys)
        return Shelf(msgspec.structs.replace(log.sealed, tail=other), {})

    assert with_keys(across).find("wanted") is None
    with pytest.raises(Lacking):
        with_keys(across + tail_keys([key_digest("wanted")])).find("wanted")


def test_what_is_in_chunks_alone_is_found_without_the_tail_being_read() -> None:
    """By the index: its number leads to its chunk."""
    log = Log()
    log.put_away([row(n) for n in range(20)], is_settling=True)
    log.put_away([row(20)])
    assert log.sealed.tail is not None
    del log.at_hand[log.sealed.tail.digest]

    assert log.rows[7] == log.shelf.find("c7")
    assert log.rows[7] == log.shelf.row(7)


def test_a_closed_off_tail_is_still_found_by_its_keys() -> None:
    """No index has them: the head keeps them with the chunk that it has become, which stays as it is."""
    log = Log()
    log.put_away([row(n) for n in range(5)])
    log.sealed = closed_off(log.sealed)
    for first, is_settling in ((5, False), (9, True), (13, False)):
        log.put_away([row(n) for n in range(first, first + 4)], is_settling=is_settling)
        log.check()
    assert [(0, 4, 5 * 2 * 3), (5, 12, 0)] == [
        (pointer.first, pointer.last, len(pointer.keys)) for pointer in log.sealed.chunks
    ]


def test_the_last_commit_that_wrote_in_a_document_is_told() -> None:
    """Not the first one; of an index too."""
    log = Log()
    documents: list[tuple[bool, bytes]] = []
    for number in range(3):
        log.commit = 10 + number
        seal = Seal("t", "abc", log.commit, "id")
        sealer = Sealer("findings", log.sealed, log.shelf, seal)
        sealer.put_away([row(number)], is_settling=number == 2)
        log.sealed = sealer.sealed
        for document in sealer.documents:
            reader = open_index if document.is_index else open_chunk
            log.at_hand[document.digest] = reader(document.body, document.digest)
            documents.append((document.is_index, document.body))

    assert [(False, 10), (False, 11), (False, 12), (True, 12)] == [
        (is_index, commit_of(body)) for is_index, body in documents
    ]
    assert 0 == commit_of(b"") == commit_of(b"no chunk") == commit_of(documents[0][1][:9])


_ZEROS = gzip.compress(b"0" * (3 << 20))


@pytest.mark.parametrize(
    "body", [gzip.compress(b"0" * (5 << 20)), _ZEROS + _ZEROS], ids=["one member", "in whole"]
)
def test_a_chunk_that_unpacks_to_too_much_is_refused(body: bytes) -> None:
    """In one gzip member, or in several that are each small enough."""
    with pytest.raises(DeserializationError, match="unpacks to more than"):
        sum(len(piece) for piece in unpacked(body))


def test_a_bomb_is_refused_before_it_goes_off() -> None:
    """A member that unpacks to much more than a chunk may have takes no more memory than that."""
    body = gzip.compress(b"0" * (64 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(DeserializationError, match="unpacks to more than"):
            open_chunk(body, hashlib.sha256(body).hexdigest())
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak_bytes < 16 << 20


@pytest.mark.parametrize("reader", [open_chunk, open_index])
def test_bytes_that_are_not_those_of_the_head_are_refused(
    reader: Callable[[bytes, str], Held],
) -> None:
    """A sound document in the place of another one is not read."""
    log = Log()
    log.put_away([row(0)])
    assert log.sealed.tail is not None
    held = log.at_hand[log.sealed.tail.digest]

    with pytest.raises(DeserializationError, match="its digest differs"):
        reader(getattr(held, "body"), "0" * 64)  # noqa: B009 - either kind
