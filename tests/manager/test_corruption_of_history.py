"""Damage of every kind to sealed documents: what is whole stays, and what is lost is named."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from faulty_store import FaultyStore
from states import entry

from mendloop.core.codec import encode
from mendloop.core.diagnosis import SymptomKind
from mendloop.core.lives import life_of
from mendloop.core.names import CHUNK, HEAD, QUARANTINE, head_name
from mendloop.core.sealed import Sealed
from mendloop.core.sealing import Seal, Sealer, pointers_of, sealed_key
from mendloop.core.shelf import Row, Shelf
from mendloop.core.vocabulary import Life
from mendloop.manager import StateManager
from mendloop.stores.port import Document

Manage = Callable[..., StateManager]

FINDINGS = 1500
FOLDED = 64
"""So many commits a head has that nothing else tells of."""

IN_HEAD = 16
"""So many findings are in no other place than the newest head, at most."""

ITERATIONS = 40


async def filled(manager: StateManager) -> None:
    """Make a task with chunks, tails and indexes of findings and of commits."""
    await manager.create_task("t")
    for number in range(ITERATIONS):
        await manager.increment_iteration("t", max_iterations=1000)
        per = FINDINGS // ITERATIONS + 1
        names = range(number * per, min(FINDINGS, (number + 1) * per))
        await manager.append_feedback("t", *(entry(f"c{n}") for n in names))


async def document_of(store: FaultyStore, manager: StateManager, which: str) -> Document:
    """One of the documents that the head points at."""
    ledger = (await manager.require_state("t")).ledger
    pointers = {
        "the tail of findings": ledger.findings.tail,
        "a chunk of findings": ledger.findings.chunks[0],
        "an index of findings": ledger.findings.indexes[0],
        "the tail of commits": ledger.log.tail,
    }
    pointer = pointers[which]
    assert pointer is not None
    document = await store.get(CHUNK, sealed_key("t", ledger.incarnation, pointer))
    assert document is not None
    return document


def flipped(body: bytes) -> bytes:
    """One bit in the middle is another."""
    place = len(body) // 2
    return body[:place] + bytes([body[place] ^ 4]) + body[place + 1 :]


def bomb(_: bytes) -> bytes:
    """A gzip of a GiB of zeros, in a MiB."""
    packed = gzip.compress(b"[" + b"0" * (8 << 20))
    return packed * 100


def first_line(body: bytes) -> bytes:
    """What says whose the document is; an index is not packed."""
    plain = gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body
    return plain.split(b"\n")[0]


def nested(body: bytes) -> bytes:
    """A row that is nested a hundred thousand times."""
    header = first_line(body)
    return gzip.compress(header + b'\n[0,["a"],' + b"[" * 100_000 + b"]" * 100_000 + b"]\n")


def huge(body: bytes) -> bytes:
    """A row whose number has five thousand digits."""
    header = first_line(body)
    return gzip.compress(header + b"\n[" + b"9" * 5000 + b',["a"],{}]\n')


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "flipped": flipped,
    "cut": lambda body: body[: len(body) // 2],
    "emptied": lambda _: b"",
    "swapped": lambda body: body[len(body) // 2 :] + body[: len(body) // 2],
    "no gzip": lambda _: b"no gzip",
    "a gzip bomb": bomb,
    "deep nesting": nested,
    "a huge number": huge,
    "of another task": lambda body: gzip.compress(
        gzip.decompress(body).replace(b'"task_id":"t"', b'"task_id":"u"')
        if body[:2] == b"\x1f\x8b"
        else body.replace(b'"task_id":"t"', b'"task_id":"u"', 1)
    ),
}
DOCUMENTS = (
    "the tail of findings",
    "a chunk of findings",
    "an index of findings",
    "the tail of commits",
)


@pytest.mark.parametrize("name", [*DAMAGE, "gone"])
@pytest.mark.parametrize("which", DOCUMENTS)
async def test_damaged_history_is_kept_aside_and_gone_on_without(
    which: str, name: str, store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """What is lost is named row for row, before as after; everything else is read back in order."""
    await filled(manager)
    document = await document_of(store, manager, which)
    await store.delete(document)
    if name != "gone":
        body = DAMAGE[name](document.body)
        await store.create(CHUNK, document.key, body, labels=document.labels)
    kind = SymptomKind.MISSING_CHUNK if name == "gone" else SymptomKind.BROKEN_CHUNK
    diagnosis = await manage(store).validate_state("t")
    assert {kind} == {symptom.kind for symptom in diagnosis.symptoms}

    foreseen = await manage(store).recover_state("t", is_dry_run=True)
    assert () == (await store.list(QUARANTINE)).documents
    assert diagnosis == await manage(store).validate_state("t")

    recovery = await manage(store).recover_state("t")

    assert foreseen == msgspec.structs.replace(recovery, is_changed=False, quarantined=())
    if name != "gone":
        kept = await store.list(QUARANTINE)
        assert body in {document.body for document in kept.documents}
    await check_told(manage(store), recovery.lost)
    assert () == (await manage(store).validate_state("t")).symptoms
    assert not (await manage(store).recover_state("t")).is_changed
    if "index" in which:
        assert () == recovery.lost
    assert ITERATIONS + 1 == await manage(store).increment_iteration("t", max_iterations=1000)


async def test_all_that_is_damaged_is_kept_aside(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """However much of the history one repair finds damaged, each document is copied as it was found."""
    await filled(manager)
    damaged = [await document_of(store, manager, which) for which in DOCUMENTS]
    for document in damaged:
        await store.delete(document)
        await store.create(CHUNK, document.key, flipped(document.body), labels=document.labels)
    recovery = await manage(store).recover_state("t")
    kept = await store.list(QUARANTINE)

    assert {flipped(document.body) for document in damaged} <= {
        document.body for document in kept.documents
    }
    assert len(kept.documents) == len(recovery.quarantined)


async def check_told(manager: StateManager, lost: tuple[str, ...]) -> None:
    """What is read back and what is named as lost are together all that there was."""
    state = await manager.require_state("t")
    assert ITERATIONS == state.iteration
    names = [found.pr_comment_id for found in await manager.get_feedback_history("t")]
    gone = rows_of(lost, "findings")
    assert [f"c{n}" for n in range(FINDINGS) if n not in gone] == names
    numbers = [commit.number async for commit in manager.commits(state)]
    gone = rows_of(lost, "commits")
    assert [n for n in range(1, state.ledger.commit + 1) if n not in gone] == numbers
    assert len(names) == state.open_total


def rows_of(lost: tuple[str, ...], part: str) -> set[int]:
    """The numbers that are named as lost."""
    found: set[int] = set()
    for line in lost:
        words = line.split()
        if words[0] == part:
            found |= set(range(int(words[1]), int(words[-1]) + 1))
    return found


async def test_what_the_loser_of_a_race_sealed_is_not_taken(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """Of a commit number with two ids only the one that was written counts, however late it sealed."""
    await filled(manager)
    state = await manager.require_state("t")
    commits = [commit async for commit in manager.commits(state)]
    seal = Seal("t", state.ledger.incarnation, commits[-20].number, "another")
    false = Row(3, ("c3",), msgspec.Raw(encode(entry("c3", description="never written"))))
    sealer = Sealer("findings", Sealed(), Shelf(Sealed(), {}), seal)
    sealer.put_away([false])
    [loser] = sealer.documents
    await store.create(CHUNK, loser.key, loser.body, labels=loser.labels)
    assert [SymptomKind.ORPHAN] == [
        s.kind for s in (await manage(store).validate_state("t")).symptoms
    ]
    head = await store.get(HEAD, head_name("t"))
    assert head is not None
    await store.replace(head, head.body[:-2])
    await manage(store).recover_state("t")
    history = await manage(store).get_feedback_history("t")
    assert "never written" not in {found.description for found in history}
    assert await store.get(CHUNK, loser.key) is None


async def test_a_newer_version_of_a_row_counts(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """A finding that was edited after it was sealed is read back as it was edited, with no head."""
    await filled(manager)
    await manager.append_feedback("t", *(entry(f"c{n}", description="edited") for n in range(50)))
    await manager.compress_feedback_history("t")
    head = await store.get(HEAD, head_name("t"))
    assert head is not None
    await store.delete(head)
    await manage(store).recover_state("t")
    history = {f.pr_comment_id: f for f in await manage(store).get_feedback_history("t")}
    assert {"edited"} == {history[f"c{n}"].description for n in range(50) if f"c{n}" in history}
    assert len(history) > FINDINGS - 50


async def test_the_history_of_an_earlier_task_is_not_taken(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """A task id that was used before: a repair brings nothing of the earlier task back."""
    await filled(manager)
    before = await store.get(HEAD, head_name("t"))
    assert before is not None
    await store.delete(before)
    other = manage(store)
    await other.create_task("t")
    await other.append_feedback("t", entry("own"))
    symptoms = (await other.validate_state("t")).symptoms
    assert [SymptomKind.ORPHAN] == [symptom.kind for symptom in symptoms]
    head = await store.get(HEAD, head_name("t"))
    assert head is not None
    await store.replace(head, head.body[:-2])
    await manage(store).recover_state("t")
    history = await manage(store).get_feedback_history("t")
    assert ["own"] == [found.pr_comment_id for found in history]


_MEASURED = """
import asyncio, pathlib, sys
from memory import peak_mebibytes
from mendloop.core.vocabulary import Life
from mendloop.manager import StateManager
from mendloop.stores.sqlite import open_sqlite
async def main():
    store = await open_sqlite(pathlib.Path(sys.argv[1]))
    async with StateManager(store) as manager:
        before = int(peak_mebibytes())
        await manager.validate_state("t")
        await manager.recover_state("t")
    await store.close()
    print(int(peak_mebibytes()) - before)
asyncio.run(main())
"""


@pytest.mark.parametrize("what", ["bombs", "deep", "large"])
async def test_repairs_take_little_memory(
    what: str, store: FaultyStore, manager: StateManager, path: Path
) -> None:
    """Below 64 MB over the empty process, whatever is stored."""
    await filled(manager)
    ledger = (await manager.require_state("t")).ledger
    head = await store.get(HEAD, head_name("t"))
    assert head is not None
    if what == "bombs":
        for pointer in pointers_of(ledger.findings):
            document = await store.get(CHUNK, sealed_key("t", ledger.incarnation, pointer))
            assert document is not None
            await store.delete(document)
            await store.create(CHUNK, document.key, bomb(b""), labels=document.labels)
    elif what == "deep":
        await store.replace(head, b'{"mendloop":' + b'{"a":' * 200_000)
    else:
        many = [json.loads(encode(entry(f"x{n}"))) for n in range(5000)]
        document_ = json.loads(head.body) | {"feedback_history": many}
        await store.replace(head, json.dumps(document_).encode()[:-1])
    measuring = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _MEASURED, str(path)),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    told, _ = await measuring.communicate()
    assert 0 < int(told) < 64


@pytest.mark.parametrize("cut", [0, 3, 30, 140, 250, 297])
async def test_an_older_head_that_is_put_back_loses_nothing_that_is_sealed(
    store: FaultyStore, manager: StateManager, manage: Manage, cut: int
) -> None:
    """
    A head from a backup, with a history that went on: a repair takes all that is sealed.

    What only the newer head had is lost, and named. The counter and the lease do not fall, what a
    person said of a sealed finding stays, and the next cleanup removes nothing that counts.
    """
    count = 300
    await manager.create_task("t")
    old = None
    for number in range(count):
        if number == cut:
            old = await store.get(HEAD, head_name("t"))
        await manager.increment_iteration("t", max_iterations=1000)
        await manager.append_feedback("t", entry(f"c{number}"))
        if number == count // 2:
            await manager.judge("t", Life.DISMISSED, "c20", reason="no fault")
    assert old is not None
    newer = await store.get(HEAD, head_name("t"))
    assert newer is not None
    given_out = count - FOLDED
    await store.replace(newer, old.body, fields=old.fields)
    after = manage(store)
    kinds = {symptom.kind for symptom in (await after.validate_state("t")).symptoms}
    assert SymptomKind.OLD_HEAD in kinds
    recovery = await after.recover_state("t")
    assert recovery.iteration >= max(given_out, cut)
    assert any("only the newer state had" in line for line in recovery.lost)
    await after.cleanup_old_states()
    found = {e.pr_comment_id: e for e in await after.get_feedback_history("t")}
    missing = {f"c{number}" for number in range(count)} - found.keys()
    assert len(missing) <= IN_HEAD, missing
    assert life_of(found["c20"]) is Life.DISMISSED
    assert (await after.validate_state("t")).is_sound
    assert (
        sum(not e.resolved for e in found.values()) == (await after.require_state("t")).open_total
    )
    names = [f"c{number}" for number in range(count) if f"c{number}" in found]
    assert names == [name for name in found if name in set(names)]
    assert recovery.iteration + 1 == await after.increment_iteration("t", max_iterations=1000)
