"""A bundle that is not as it was written is refused whole, and the place is named."""

from __future__ import annotations

import gzip
import hashlib
import random
import re
from collections.abc import Awaitable, Callable, Iterator

import pytest
from porter import NOW, Porter, documents

from mendloop.core.bundle import BUNDLE_FORMAT, BundleLines, Header
from mendloop.core.errors import BundleDamaged, ValidationError
from mendloop.core.names import AUDIT, CHUNK, HEAD, QUEUE, head_name
from mendloop.stores.port import Store

OpenStore = Callable[[str], Awaitable[Store]]


@pytest.fixture
async def bundle(open_store: OpenStore, porter: Porter) -> bytes:
    """Five tasks with sealed history."""
    one = await open_store("one")
    await porter.fill(one, 5)
    return await porter.export(one)


async def refused(store: Store, porter: Porter, damaged: bytes) -> BundleDamaged:
    """Import what is damaged; returns the refusal, after which the store has to be empty."""
    with pytest.raises(BundleDamaged) as caught:
        await porter.import_(store, damaged)
    assert [] == documents(await porter.export(store))
    return caught.value


async def test_a_cut_anywhere_is_refused(
    open_store: OpenStore, porter: Porter, bundle: bytes, scaled: Callable[[int, int], int]
) -> None:
    """Nothing is written, and the line that is cut, or lacking, is named."""
    other = await open_store("other")
    ends = [found.end() for found in re.finditer(b"\n", bundle)][:-1]
    dice = random.Random(1)
    middles = [dice.randrange(len(bundle)) for _ in range(scaled(1000, 100))]
    for end in (0, *ends, *(end - 1 for end in ends), *middles, len(bundle) - 1):
        refusal = await refused(other, porter, bundle[:end])
        assert bundle[:end].count(b"\n") + 1 == refusal.line, end


async def test_a_flipped_bit_anywhere_is_refused(
    open_store: OpenStore, porter: Porter, bundle: bytes, scaled: Callable[[int, int], int]
) -> None:
    """Nothing is written, and the line with the flipped bit is named."""
    other = await open_store("other")
    dice = random.Random(2)
    for _ in range(scaled(5000, 300)):
        at = dice.randrange(len(bundle))
        flipped = bytearray(bundle)
        flipped[at] ^= 1 << dice.randrange(8)
        refusal = await refused(other, porter, bytes(flipped))
        assert bundle[:at].count(b"\n") + 1 == refusal.line, at


def _changed(lines: list[bytes]) -> Iterator[tuple[str, list[bytes], int]]:
    last = len(lines)
    yield "no trailer", lines[:-1], last
    yield "no header", lines[1:], 1
    yield "two lines swapped", [*lines[:2], lines[3], lines[2], *lines[4:]], 3
    yield "a line twice", [*lines[:3], lines[2], *lines[3:]], 4
    yield "a line left out", [*lines[:3], *lines[4:]], 4
    yield "the last document left out", [*lines[:-2], lines[-1]], last - 1
    yield "another after the end", [*lines, lines[2]], last + 1
    yield "an empty line", [*lines[:2], b"\n", *lines[2:]], 3
    yield "another's line", [lines[0], b'{"kind":"ConfigMap"}\n', *lines[1:]], 2
    yield "deep nesting", [lines[0], b'{"line":' + b"[" * 10**6 + b"\n"], 2


async def test_lines_out_of_place_are_refused(
    open_store: OpenStore, porter: Porter, bundle: bytes
) -> None:
    """Swapped, doubled, left out or put in: the first line that is not in its place is named."""
    other = await open_store("other")
    for what, lines, place in _changed(bundle.splitlines(keepends=True)):
        assert place == (await refused(other, porter, b"".join(lines))).line, what


async def test_the_task_is_named(open_store: OpenStore, porter: Porter, bundle: bytes) -> None:
    """Whoever reads the refusal knows after which task it is, and that nothing was imported."""
    at = bundle.rindex(b"job-4")
    refusal = await refused(await open_store("other"), porter, bundle[:at])
    assert "after a document of task job-4: the line is cut; nothing was imported" in str(refusal)
    assert "job-4" == refusal.task_id


async def test_a_line_of_two_bundles_is_refused(
    open_store: OpenStore, porter: Porter, bundle: bytes
) -> None:
    """A line that is sound in itself, from another export, is found by the digest of all lines."""
    one = await open_store("another")
    await porter.fill(one, 5)
    lines = bundle.splitlines(keepends=True)
    others = (await porter.export(one)).splitlines(keepends=True)
    refusal = await refused(
        await open_store("other"), porter, b"".join([*lines[:2], others[2], *lines[3:]])
    )
    assert "the lines before are not those that were written" in str(refusal)


async def test_a_bundle_of_a_newer_format_is_refused(
    open_store: OpenStore, porter: Porter, bundle: bytes
) -> None:
    """It is not taken for a damaged one."""
    header = bundle.splitlines()[0].replace(b'"bundle":1', b'"bundle":2')
    content = header[header.index(b'"header":') + 9 : -1]
    digest = hashlib.sha256(content).hexdigest().encode()
    newer = re.sub(rb'"sha256":"[0-9a-f]+"', b'"sha256":"' + digest + b'"', header) + b"\n"
    with pytest.raises(ValidationError, match="upgrade"):
        await porter.import_(await open_store("other"), newer)


async def test_a_sound_line_after_the_end_is_refused(open_store: OpenStore, porter: Porter) -> None:
    """Nothing comes after the last line, though it has the number and the digest that are due."""
    lines = BundleLines()
    header = Header(bundle=BUNDLE_FORMAT, written_at=NOW, written_by="0", source="x", tasks=0)
    made = [
        lines.header(header),
        lines.trailer(),
        lines.document("a", HEAD, head_name("a"), b"{}"),
    ]

    assert 3 == (await refused(await open_store("other"), porter, b"".join(made))).line


async def test_an_end_that_counts_otherwise_is_refused(
    open_store: OpenStore, porter: Porter, bundle: bytes
) -> None:
    """A last line that is sound in itself, and says that there were more documents."""
    *lines, last = bundle.splitlines(keepends=True)
    count = len(lines) - 1
    before = last[last.index(b'"trailer":') + 10 : -2]
    content = before.replace(b'"documents":%d' % count, b'"documents":%d' % (count + 1))
    digests = [hashlib.sha256(part).hexdigest().encode() for part in (before, content)]
    other = last.replace(before, content).replace(*digests)
    refusal = await refused(await open_store("other"), porter, b"".join([*lines, other]))

    assert f"{count} documents are left of {count + 1}" in str(refusal)


@pytest.mark.parametrize(
    ("task", "kind", "key"),
    [
        ("a", HEAD, head_name("b")),
        ("a", CHUNK, head_name("a")),
        ("a", HEAD, "task-a-history-0123456789abcdef-0000000001-0123456789abcdef"),
        ("a", CHUNK, "task-b-history-0123456789abcdef-0000000001-0123456789abcdef"),
        ("A", HEAD, head_name("A")),
        ("a", QUEUE, "task-a-x"),
        ("a", AUDIT, "task-a-x"),
    ],
)
async def test_what_no_export_writes_is_refused(
    open_store: OpenStore, porter: Porter, task: str, kind: str, key: str
) -> None:
    """A document of another task, or of a kind or name that none has, though each line is sound."""
    lines = BundleLines()
    header = Header(bundle=BUNDLE_FORMAT, written_at=NOW, written_by="0", source="x", tasks=1)
    made = [lines.header(header), lines.document(task, kind, key, b"{}"), lines.trailer()]

    assert 2 == (await refused(await open_store("other"), porter, b"".join(made))).line


@pytest.mark.parametrize("size", [0, 1, 2, 9, 18, 100])
def test_a_cut_packed_file_is_refused(quick_import: Callable[..., str], size: int) -> None:
    """What ends in the middle of the compressed bytes is named by the line too."""
    packed = gzip.compress(b'{"line":1}\n' * 50, mtime=0)
    assert "line 1 of the bundle: " in quick_import(packed[:size])


def test_a_packed_file_with_a_flipped_byte_is_refused(quick_import: Callable[..., str]) -> None:
    """What cannot be unpacked is told as damage, and not as an error of the system."""
    packed = bytearray(gzip.compress(random.Random(3).randbytes(5000).hex().encode()))
    packed[len(packed) // 2] ^= 0xFF
    assert "line 1 of the bundle: it cannot be unpacked" in quick_import(bytes(packed))
