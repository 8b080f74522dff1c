"""
What no record of a task can tell, since the task goes with its records, or comes with them.

That is its removal and its import. They stand in a log of the whole store, each in a document of its
own that is written before it is done.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from mendloop.core.carrying import Instant
from mendloop.core.codec import decode_head
from mendloop.core.errors import StateError
from mendloop.core.model import Ledger, RemediationState

__all__ = [
    "IMPORT",
    "REMOVE",
    "UNREADABLE",
    "Actor",
    "Entry",
    "encode_entry",
    "import_entry",
    "key_of",
    "read_entry",
    "removal_entry",
]

REMOVE = "remove"
IMPORT = "import"
UNREADABLE = "unreadable"

_ID_DIGITS = 16


class Actor(NamedTuple):
    """Who does something, and by which door."""

    by: str
    door: str


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """
    One removal or one import, as it was about to be done.

    Attributes:
        do: "remove" or "import"; "unreadable" where the entry itself is damaged.
        task_id: The task.
        at: When.
        by: Who.
        door: "cleanup" or "import".
        op_id: Names this entry.
        from_commit: The last commit of what was there before; 0 where nothing was, or where it
            cannot be read.
        to_commit: The last commit of what is there then; 0 where nothing is.
        incarnation: Which of the tasks that have had this id.
        chained: How many records hang on its chain.
        head: The link of the last of them.
        revision: The store's own, of the document that was removed or written over.
        deleted_at: When the task that was removed had been deleted.
        why: In words.
    """

    do: str
    task_id: str
    at: Instant
    by: str
    door: str
    op_id: str
    from_commit: int = 0
    to_commit: int = 0
    incarnation: str = ""
    chained: int = 0
    head: str = ""
    revision: str = ""
    deleted_at: Instant | None = None
    why: str = ""


def removal_entry(state: RemediationState, revision: str, actor: Actor, now: datetime) -> Entry:
    """
    Tell of the removal of a deleted task.

    Its operation id is made of the *revision*, which is never used twice: so whoever goes on with it
    after a crash makes the same entry.
    """
    ledger, deleted = state.ledger, state.ledger.deleted
    return Entry(
        do=REMOVE,
        task_id=state.task_id,
        at=now,
        by=actor.by,
        door=actor.door,
        op_id=hashlib.sha256(f"{state.task_id}\n{revision}".encode()).hexdigest()[:_ID_DIGITS],
        from_commit=ledger.commit,
        incarnation=ledger.incarnation,
        chained=_chained(ledger),
        head=_end(ledger),
        revision=revision,
        deleted_at=deleted.at if deleted else None,
        why=f"deleted by {deleted.by}: {deleted.reason}" if deleted else "",
    )


def import_entry(
    task_id: str,
    given: bytes,
    stored: bytes | None,
    *,
    revision: str,
    actor: Actor,
    now: datetime,
    token: str,
    copy: str = "",
) -> Entry:
    """
    Tell of the import of a task.

    Args:
        task_id: The task.
        given: The head that is imported; it need not be readable.
        stored: The head that it is written over, or None.
        revision: Of that one, or "".
        actor: Who imports.
        now: When.
        token: Fresh and random.
        copy: The name of the copy of *stored*, where that is damaged.
    """
    come, there = _ledger_in(task_id, given), _ledger_in(task_id, stored)
    return Entry(
        do=IMPORT,
        task_id=task_id,
        at=now,
        by=actor.by,
        door=actor.door,
        op_id=token,
        from_commit=there.commit if there else 0,
        to_commit=come.commit if come else 0,
        incarnation=come.incarnation if come else "",
        chained=_chained(come) if come else 0,
        head=_end(come) if come else "",
        revision=revision,
        why=_why(stored, copy),
    )


def _why(stored: bytes | None, copy: str) -> str:
    if copy:
        return f"it was damaged, and replaced: a copy is kept as {copy}"
    return "it was not there" if stored is None else "it was there, and was brought up to date"


def key_of(entry: Entry) -> str:
    """The key of the document: the log is in the order in which tasks came, or were deleted."""
    since = (entry.deleted_at or entry.at).astimezone(UTC)
    return f"{since:%Y%m%dt%H%M%S}.{since.microsecond:06d}.{entry.op_id}"


def encode_entry(entry: Entry) -> bytes:
    """Encode an entry as it is stored."""
    return msgspec.json.encode(entry)


def read_entry(
    task_id: str, key: str, body: bytes, made_at: datetime, *, damage: str = ""
) -> Entry:
    """
    Read an entry; where it is damaged, say so with what is known of it beside.

    Args:
        task_id: The task.
        key: It is stored under it.
        body: Its bytes.
        made_at: When, as it says beside them.
        damage: Why they are not what was written, as the store says; or "".
    """
    if not damage:
        try:
            return msgspec.json.decode(body, type=Entry)
        except msgspec.MsgspecError as error:
            damage = str(error)
    return Entry(
        do=UNREADABLE,
        task_id=task_id,
        at=made_at,
        by="",
        door="",
        op_id=key.rpartition(".")[2],
        why=f"this entry cannot be read: {damage}",
    )


def _ledger_in(task_id: str, body: bytes | None) -> Ledger | None:
    if body is None:
        return None
    try:
        return decode_head(task_id, body).ledger
    except StateError:
        return None


def _chained(ledger: Ledger) -> int:
    return ledger.chain.count if ledger.chain else 0


def _end(ledger: Ledger) -> str:
    return ledger.chain.head if ledger.chain else ""
