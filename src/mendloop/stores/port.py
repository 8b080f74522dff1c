"""
The port that every store keeps: documents with a revision, compared and set.

A document lives under (kind, key). Heads, history chunks and whatever else mendloop keeps are all
documents, so no store needs a second interface. One contract suite, ``tests/contract``, runs on
every store; a store that wins a race it should lose fails it. Which kinds, keys, fields and labels
there can be is one grammar for all stores, `mendloop.stores.grammar`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Protocol, runtime_checkable

import msgspec

__all__ = ["Bounded", "Document", "Page", "Remembering", "Room", "Seen", "Store"]


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """
    One stored document.

    Attributes:
        kind: What it is, for instance "head" or "chunk". A chunk never changes.
        key: Its name within the kind, unique.
        revision: Opaque; changes with every write and is never used twice, also not after a
            delete and a new create of the same key.
        body: The payload, byte for byte as it was written; that of a head is UTF-8.
        fields: A few small texts beside the payload that a person or a repair can read without it.
        labels: A few small texts that `Store.list` can select by.
        obstacle: Why no write goes into it as it stands, and what to do about it; "" where one does.
        blobs: Binary values that others keep beside the payload; no write changes them.
        damage: Why it is not as it was written, or "" where it is. Body, fields, labels and blobs are
            then what is left of it, for a copy and a repair alone; its labels are those that a
            listing goes by. A write is refused but to who has read it so.
    """

    kind: str
    key: str
    revision: str
    body: bytes
    fields: Mapping[str, str]
    labels: Mapping[str, str]
    obstacle: str = ""
    blobs: Mapping[str, bytes] = {}
    damage: str = ""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """
    One page of a listing.

    Attributes:
        documents: In ascending order of key.
        cursor: Hand it back for the next page, which may be empty; None on the last.
    """

    documents: tuple[Document, ...]
    cursor: str | None


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a watch has seen.

    Attributes:
        key: Of which document.
        document: As it is now, or None where it is gone.
    """

    key: str
    document: Document | None


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """
    How much a store takes.

    Attributes:
        document_bytes: Of one document at most.
        used_bytes: That all documents take now; None where nobody but a count of them tells.
        limit_bytes: That they may take at most; None where that is not known.
    """

    document_bytes: int
    used_bytes: int | None = None
    limit_bytes: int | None = None


class Store(Protocol):
    """
    Compare-and-set storage of documents. Acknowledged means durable.

    Every method raises `ValidationError` for a name or content that `mendloop.stores.grammar`
    does not have, and has done nothing then. Every method but `peek` may raise `StoreUnavailable` (try again later; ``maybe_stored`` says whether a
    write may have landed), `StoreFull`, `StoreReadOnly`, `StoreCorrupt` or `StoreTooNew`.
    """

    async def get(self, kind: str, key: str) -> Document | None:
        """Read the newest acknowledged revision, or None where there is no such document."""

    def peek(self, kind: str, key: str) -> Document | None:
        """
        Give the newest revision that this process has seen, without asking the store.

        It may have passed; None says only that nothing is known.
        """

    async def create(
        self,
        kind: str,
        key: str,
        body: bytes,
        *,
        fields: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Document:
        """
        Write a document that is not there yet: of many creators one wins.

        Raises:
            DocumentExists: The key is taken; nothing was written.
        """

    async def replace(
        self,
        document: Document,
        body: bytes,
        *,
        fields: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Document:
        """
        Write over *document*, if it still has the revision it was read with.

        Args:
            document: As it was read; its kind, key and revision say what is replaced.
            body: The whole new payload.
            fields: Those to set; others stay as they are, whoever has set them.
            labels: Those to set; others stay as they are, whoever has set them.

        Raises:
            RevisionConflict: It moved or is gone; nothing was written.
            BeingDeleted: It is on its way out; nothing was written.
            DeserializationError: It is stored in a way that no write fits; nothing was written.
            ValidationError: It is a chunk.
        """

    async def delete(self, document: Document) -> None:
        """
        Remove *document*, if it still has the revision it was read with.

        Raises:
            RevisionConflict: It moved or is gone; nothing was removed.
        """

    async def list(
        self,
        kind: str,
        *,
        labels: Mapping[str, str] | None = None,
        limit: int = 500,
        cursor: str | None = None,
    ) -> Page:
        """
        List documents of *kind* in ascending order of key, a page at a time.

        A document that exists throughout the listing is listed once. One that comes, goes or
        changes meanwhile may be listed as it was at any moment of it.

        Args:
            labels: Only documents that carry all of these.
            limit: At most this many a page; there may be fewer.
            cursor: Where the page before ended.

        Raises:
            ValidationError: The cursor is not one of this listing's, or the limit is not in
                1..1000000.
        """

    def watch(self, kind: str) -> AsyncGenerator[Seen, None]:
        """
        Yield all documents of *kind*, then each change and deletion as it happens, without end.

        No key goes back in time. What changes several times while nobody asks for the next one is
        yielded as it is by then. End it with ``aclose``, for instance by `contextlib.aclosing`.
        """

    async def scrub(self) -> None:
        """Make sure that nothing of what was deleted can be read back from what this store writes."""

    async def close(self) -> None:
        """Let go of files and connections. Idempotent."""


@runtime_checkable
class Remembering(Protocol):
    """What a store has beside the port where it still knows what was deleted a while ago."""

    async def remembered(self, kind: str, key: str) -> Document | None:
        """Give a document as it was when it was last deleted, or None where that is not known any more."""


@runtime_checkable
class Bounded(Protocol):
    """What a store has beside the port where it knows how much it takes."""

    async def room(self) -> Room:
        """Tell how much it takes, and how much of that is used."""
