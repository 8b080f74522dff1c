"""
What sealed documents say for themselves: whose they are, which commits made them, what is in them.

A head points at the documents that count. Where there is no head, or not all of it, this is what it
is rebuilt from: each gzip member begins with a line that names its task, incarnation and commit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

import msgspec

from mendloop.core.carrying import Incarnation
from mendloop.core.codec import decode_part
from mendloop.core.commits import ChunkBody, row_of_commit
from mendloop.core.errors import DeserializationError
from mendloop.core.model import COUNT_MOST, ChunkRef
from mendloop.core.sealing import open_severity
from mendloop.core.shelf import Row, is_packed, unpacked

__all__ = ["CLOSED", "Facts", "Header", "Member", "facts_of", "members_of"]

CLOSED = -1
"""Stands for a row that is no open finding."""

_row = msgspec.json.Decoder(Row)


class Header(msgspec.Struct, frozen=True):
    """The first line of what was sealed at once."""

    task_id: str
    incarnation: Incarnation
    commit: int
    commit_id: str
    part: str


class Member(NamedTuple):
    """What was sealed at once."""

    header: Header
    rows: tuple[Row, ...]


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """
    What one document says.

    Attributes:
        key: It is stored under it.
        digest: Of its bytes.
        problem: Why it is damaged, or "".
        part: "findings", "commits", or "" where nothing of it can be read.
        is_index: Whether it holds keys and no rows.
        incarnation: Whose it is, or "".
        commits: Number and id of the commits that sealed something in it.
        ranks: How bad each open finding is, by number of its row; `CLOSED` for all other rows.
        ids: Of the commits that are in it, by number.
        given_out: The highest iteration that a commit in it gave out.
        last_at: When the last commit in it was made; None where it has none.
        refs: Other documents that it points at; schema 1 had such.
    """

    key: str
    digest: str
    problem: str = ""
    part: str = ""
    is_index: bool = False
    incarnation: str = ""
    commits: tuple[tuple[int, str], ...] = ()
    ranks: dict[int, int] = {}
    ids: dict[int, str] = {}
    given_out: int = 0
    last_at: datetime | None = None
    refs: tuple[ChunkRef, ...] = ()


def facts_of(task_id: str, key: str, body: bytes, *, damage: str = "") -> Facts:
    """
    Read what a document says; one that is damaged says so, and what is whole in it.

    Args:
        task_id: The task.
        key: It is stored under it.
        body: Its bytes.
        damage: Why it is not as it was written, as the store says; "" where it is.
    """
    digest = hashlib.sha256(body).hexdigest()
    problem = "" if key.endswith(digest[:16]) else "its bytes are not those that it was named by"
    problem = damage or problem
    facts = Facts(key=key, digest=digest, problem=problem)
    replace = msgspec.structs.replace
    if not is_packed(body):
        return _plain_facts(task_id, body, facts)
    ranks: dict[int, int] = {}
    commits: list[tuple[int, str]] = []
    try:
        for member in members_of(task_id, body):
            header = member.header
            commits.append((header.commit, header.commit_id))
            if header.part == "commits":
                facts = _with_commits(facts, member.rows)
                ranks |= dict.fromkeys((row.number for row in member.rows), CLOSED)
            else:
                ranks |= {row.number: _rank(row) for row in member.rows}
            facts = replace(facts, part=header.part, incarnation=header.incarnation)
    except (DeserializationError, msgspec.MsgspecError) as error:
        facts = replace(facts, problem=problem or str(error))
    return replace(facts, ranks=ranks, commits=tuple(commits))


def members_of(task_id: str, body: bytes) -> Iterator[Member]:
    """
    Yield what was sealed at once, one after another; that of schema 1 too.

    Raises:
        DeserializationError: What follows is damaged, or that of another task.
    """
    if not is_packed(body):
        yield from _old_members(task_id, body)
        return
    for piece in unpacked(body):
        try:
            first, *lines = piece.split(b"\n")
            header = msgspec.json.decode(first, type=Header)
            rows = tuple(_row.decode(line) for line in lines if line)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise DeserializationError(f"it has no rows in it: {error}") from error
        if header.task_id != task_id:
            raise DeserializationError(f"it is that of task {header.task_id!a}")
        yield Member(header, rows)


def _old_members(task_id: str, body: bytes) -> Iterator[Member]:
    chunk = _old_chunk(task_id, body)
    if chunk is not None and chunk.commits:
        last = chunk.commits[-1]
        header = Header(task_id, chunk.incarnation, last.number, last.id, "commits")
        yield Member(header, tuple(map(row_of_commit, chunk.commits)))


def _old_chunk(task_id: str, body: bytes) -> ChunkBody | None:
    """Read a chunk of schema 1; None for an index, which has nothing that is nowhere else."""
    if b"\n" in body:
        return None
    chunk = decode_part(ChunkBody, body)
    if chunk.task_id != task_id:
        raise DeserializationError(f"it is that of task {chunk.task_id!a}")
    return chunk


def _plain_facts(task_id: str, body: bytes, facts: Facts) -> Facts:
    replace = msgspec.structs.replace
    try:
        chunk = _old_chunk(task_id, body)
        if chunk is None:
            header = msgspec.json.decode(body[: body.index(b"\n")], type=Header)
            if header.task_id != task_id:
                return replace(facts, problem=f"it is that of task {header.task_id!a}")
            return replace(
                facts,
                part=header.part,
                is_index=True,
                incarnation=header.incarnation,
                commits=((header.commit, header.commit_id),),
            )
    except (DeserializationError, msgspec.MsgspecError, ValueError) as error:
        return replace(facts, problem=facts.problem or f"it is no sealed document: {error}")
    facts = replace(facts, part="commits", incarnation=chunk.incarnation, refs=chunk.chunks)
    rows = tuple(map(row_of_commit, chunk.commits))
    made = tuple((commit.number, commit.id) for commit in chunk.commits)
    facts = replace(facts, commits=made, ranks=dict.fromkeys((r.number for r in rows), CLOSED))
    return _with_commits(facts, rows)


def _rank(row: Row) -> int:
    severity = open_severity(row)
    return CLOSED if severity is None else severity.rank


class _Result(msgspec.Struct):
    iteration: object = 0


class _Told(msgspec.Struct):
    result: _Result = msgspec.field(default_factory=_Result)


class _Made(msgspec.Struct):
    number: int
    id: str
    at: datetime
    changes: tuple[_Told, ...] = ()


_made = msgspec.json.Decoder(_Made)


def _with_commits(facts: Facts, rows: tuple[Row, ...]) -> Facts:
    made = [_made.decode(row.content) for row in rows]
    told = [change.result.iteration for commit in made for change in commit.changes]
    numbers = [n for n in told if isinstance(n, int) and n <= COUNT_MOST]
    return msgspec.structs.replace(
        facts,
        ids=facts.ids | {commit.number: commit.id for commit in made},
        given_out=max([facts.given_out, *numbers]),
        last_at=max([commit.at for commit in made], default=facts.last_at),
    )
