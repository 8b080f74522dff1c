"""What the head keeps of the findings: the worst open ones and the latest, and what is too large to leave."""

from __future__ import annotations

import pytest
from states import entry

from mendloop.core.codec import encode
from mendloop.core.compaction import HEAD_FINDINGS_BYTES, Compacted, compact, place_of
from mendloop.core.model import FeedbackEntry
from mendloop.core.sealed import NO_OPEN, Sealed
from mendloop.core.sealing import Seal
from mendloop.core.shelf import Shelf
from mendloop.core.vocabulary import Severity


def compacted(entries: list[FeedbackEntry], *, is_forced: bool = False) -> Compacted:
    """Compact the findings of a task that has sealed nothing yet."""
    sealed = Sealed()
    seal = Seal("t", "abc", 1, "id")
    return compact((), entries, sealed, Shelf(sealed, {}), seal, is_forced=is_forced)


def kept(done: Compacted) -> list[str]:
    """What the head keeps, by name."""
    return [found.pr_comment_id for found in done.entries]


def several(count: int, severity: Severity = Severity.LOW) -> list[FeedbackEntry]:
    """Findings that are about 300 bytes long each."""
    return [entry(f"c{n}", severity=severity, description="x" * 150) for n in range(count)]


def test_a_small_head_is_left_as_it_is_unless_it_is_asked_for() -> None:
    """By hand a head that is no larger than it may be is compacted too, and leaves no tail."""
    few = several(20)
    assert sum(len(encode(found)) for found in few) < HEAD_FINDINGS_BYTES
    left = compacted(few)
    assert (tuple(few), 0, ()) == (left.entries, left.moved, left.documents)

    done = compacted(few, is_forced=True)

    assert 0 < done.moved < 20
    assert done.sealed.tail is None
    assert 1 == len(done.sealed.chunks) == len(done.sealed.indexes)
    assert (done.moved, 0, 0, 0) == done.sealed.open
    assert ["c0", "c19"] == [kept(done)[0], kept(done)[-1]]


def test_a_resolved_finding_is_not_among_the_worst() -> None:
    """However bad it was: it leaves the head, and an open one of less severity stays."""
    entries = several(200)
    entries[3] = entry("gone", severity=Severity.CRITICAL, resolved=True)
    entries[4] = entry("open", severity=Severity.MEDIUM)
    done = compacted(entries)

    assert "open" in kept(done)
    assert "gone" not in kept(done)


def test_the_worst_of_all_stay_and_the_others_are_counted_where_they_are() -> None:
    """The counts of what is sealed are of open findings alone, by severity."""
    entries = several(100)
    entries[10] = entry("bad", severity=Severity.CRITICAL)
    entries[20] = entry("done", severity=Severity.HIGH, resolved=True)
    done = compacted(entries)
    low = sum(found.severity is Severity.LOW for found in done.entries)

    assert "bad" in kept(done)
    assert (98 - low, 0, 0, 0) == done.sealed.open
    assert 100 == done.sealed.count


@pytest.mark.parametrize("is_forced", [False, True])
def test_a_finding_that_no_chunk_has_room_for_stays(*, is_forced: bool) -> None:
    """Others have made it so large; what can leave leaves all the same."""
    entries = several(200)
    entries[5] = entry("large", severity=Severity.LOW, description="x" * (1 << 20), resolved=True)
    done = compacted(entries, is_forced=is_forced)

    assert "large" in kept(done)
    assert NO_OPEN != done.sealed.open
    assert done.moved == 200 - len(done.entries)
    assert all(len(document.body) < 1 << 20 for document in done.documents)
    assert [place_of(found) for found in done.entries] == sorted(
        n for n, found in enumerate(entries) if found.pr_comment_id in kept(done)
    )
