"""
The lines of a bundle: the documents of a store in one file, which shows where it was cut or altered.

Each line has its number and the SHA-256 of its content; the last one has that of all lines before.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from mendloop.core.carrying import Instant
from mendloop.core.codec import decode_head, digest, encode_state
from mendloop.core.errors import (
    BundleDamaged,
    DeserializationError,
    StateError,
    StateExists,
    ValidationError,
)
from mendloop.core.model import Ledger, RemediationState
from mendloop.core.rebuilding import with_lease_beyond
from mendloop.core.transitions.outcome import lease_held, vacated

__all__ = [
    "BUNDLE_FORMAT",
    "LINE_LIMIT_BYTES",
    "BundleLines",
    "Header",
    "LineReader",
    "Packed",
    "Trailer",
    "Verdict",
    "forked",
    "judge",
    "outliving",
    "without_holder",
]

BUNDLE_FORMAT = 1

LINE_LIMIT_BYTES = 64 * 1024 * 1024
"""No line is longer: a document of a store is far below it."""

_WAY_ON = "; --replace-damaged copies it aside and puts the bundle's in its place"

_replace = msgspec.structs.replace


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is written by nobody else, and so has no members that are not known."""


class Header(_Strict, frozen=True, kw_only=True):
    """
    The first line.

    Attributes:
        bundle: Its format.
        written_at: When the export began.
        written_by: Which mendloop wrote it.
        source: The store that it is from, in words.
        tasks: How many tasks were asked for.
    """

    bundle: int
    written_at: Instant
    written_by: str
    source: str
    tasks: int


class Packed(_Strict, frozen=True, kw_only=True, omit_defaults=True):
    """
    One document.

    Attributes:
        task: The task that it belongs to.
        kind: As in the store.
        key: As in the store.
        fields: As in the store.
        labels: As in the store.
        text: The body where it is UTF-8.
        base64: The body where it is not.
    """

    task: str
    kind: str
    key: str
    fields: dict[str, str] = {}
    labels: dict[str, str] = {}
    text: str | None = None
    base64: bytes | None = None

    @property
    def body(self) -> bytes:
        """The payload, byte for byte."""
        return self.text.encode() if self.text is not None else self.base64 or b""


class Trailer(_Strict, frozen=True, kw_only=True):
    """
    The last line.

    Attributes:
        documents: How many there are before it.
        sha256: Of all lines before it, hex.
    """

    documents: int
    sha256: str


_NOTHING = msgspec.Raw(b"")


class _Line(_Strict, frozen=True, kw_only=True, omit_defaults=True):
    line: int
    sha256: str
    header: msgspec.Raw = _NOTHING
    document: msgspec.Raw = _NOTHING
    trailer: msgspec.Raw = _NOTHING


_encoder = msgspec.json.Encoder()
_lines = msgspec.json.Decoder(_Line)


class BundleLines:
    """
    Makes the lines of one bundle, in the order in which they are asked for.

    Attributes:
        documents: How many there are so far.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self.documents = 0
        self._count = 0
        self._all = hashlib.sha256()

    def header(self, header: Header) -> bytes:
        """Make the first line."""
        return self._line("header", header)

    def document(self, task: str, kind: str, key: str, body: bytes, **beside: Any) -> bytes:
        """
        Make the line of one document.

        Args:
            task: The task that it belongs to.
            kind: As in the store.
            key: As in the store.
            body: Its payload.
            beside: Its "fields" and "labels".
        """
        self.documents += 1
        try:
            packed = Packed(task=task, kind=kind, key=key, text=body.decode(), **beside)
        except UnicodeDecodeError:
            packed = Packed(task=task, kind=kind, key=key, base64=body, **beside)
        return self._line("document", packed)

    def trailer(self) -> bytes:
        """Make the last line."""
        trailer = Trailer(documents=self.documents, sha256=self._all.hexdigest())
        return self._line("trailer", trailer)

    def _line(self, part: str, content: _Strict) -> bytes:
        self._count += 1
        raw = _encoder.encode(content)
        line = _Line(
            line=self._count,
            sha256=hashlib.sha256(raw).hexdigest(),
            **{part: msgspec.Raw(raw)},
        )
        encoded = _encoder.encode(line) + b"\n"
        self._all.update(encoded)
        return encoded


class LineReader:
    """
    Reads the lines of one bundle in order, and refuses the first that is not as it was written.

    Attributes:
        number: Of the line that was read last.
    """

    def __init__(self) -> None:
        """Begin before the first line."""
        self.number = 0
        self._documents = 0
        self._task = ""
        self._all = hashlib.sha256()
        self._is_over = False

    def read(self, line: bytes) -> Header | Packed | Trailer:
        """
        Read the next line.

        Raises:
            BundleDamaged: It is not as it was written, or not the next one.
            ValidationError: A newer mendloop wrote the bundle.
        """
        self.number += 1
        if self._is_over:
            raise self.damaged("there is something after the last line of the bundle")
        if not line.endswith(b"\n"):
            raise self.damaged("the line is cut")
        wrapped = self._unwrapped(line)
        part = self._content(wrapped)
        if isinstance(part, Trailer):
            self._is_over = True
            self._check_end(part)
        elif isinstance(part, Packed):
            self._documents += 1
            self._task = part.task
        self._all.update(line)
        return part

    def end(self) -> None:
        """
        Make sure that nothing is left to come.

        Raises:
            BundleDamaged: There were lines that are missing now.
        """
        if not self._is_over:
            self.number += 1
            raise self.damaged("the bundle is cut: it has no last line")

    def damaged(self, what: str) -> BundleDamaged:
        """Return the error that says *what* is wrong with this line, and where that is."""
        after = f", after a document of task {self._task}" if self._task else ""
        return BundleDamaged(
            f"line {self.number} of the bundle{after}: {what}; nothing was imported: get another "
            "copy of it, or export again",
            line=self.number,
            task_id=self._task,
        )

    def _unwrapped(self, line: bytes) -> _Line:
        try:
            wrapped = _lines.decode(line)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise self.damaged(f"it is no line of a bundle ({error})") from error
        if wrapped.line != self.number:
            raise self.damaged(f"here stands line {wrapped.line}")
        return wrapped

    def _content(self, wrapped: _Line) -> Header | Packed | Trailer:
        kinds = {"header": Header, "document": Packed, "trailer": Trailer}
        parts = {name: raw for name in kinds if (raw := getattr(wrapped, name))}
        if len(parts) != 1 or ("header" in parts) != (self.number == 1):
            raise self.damaged("a bundle has its header first, then documents, then a trailer")
        [(name, raw)] = parts.items()
        if hashlib.sha256(raw).hexdigest() != wrapped.sha256:
            raise self.damaged(f"the {name} is not as it was written: its digest differs")
        if name == "header":
            self._refuse_newer(raw)
        try:
            part: Header | Packed | Trailer = msgspec.json.decode(raw, type=kinds[name])
        except (msgspec.MsgspecError, ValueError) as error:
            raise self.damaged(f"it is no {name} ({error})") from error
        return part

    def _refuse_newer(self, raw: msgspec.Raw) -> None:
        found = msgspec.json.decode(raw)
        number = found.get("bundle") if isinstance(found, dict) else None
        if isinstance(number, int) and number > BUNDLE_FORMAT:
            raise ValidationError(
                f"the bundle has format {number}, and this mendloop reads {BUNDLE_FORMAT}: upgrade "
                "to import it"
            )

    def _check_end(self, trailer: Trailer) -> None:
        if trailer.documents != self._documents:
            raise self.damaged(f"{self._documents} documents are left of {trailer.documents}")
        if trailer.sha256 != self._all.hexdigest():
            raise self.damaged("the lines before are not those that were written")


class Verdict(StrEnum):
    """What an import does with a head."""

    CREATED = "created"
    UPDATED = "updated"
    PRESENT = "present"
    REPLACED = "replaced"


def judge(
    task_id: str,
    given: bytes,
    stored: bytes | None,
    *,
    damage: str = "",
    is_damage_replaced: bool = False,
) -> Verdict:
    """
    Decide what becomes of the head *given* where *stored* is.

    Args:
        task_id: The task.
        given: The head in the bundle.
        stored: The head in the store, or None.
        damage: Why *stored* is not what was written, as the store says; or "".
        is_damage_replaced: Whether *given* takes the place of a damaged head, where it is sound.

    Raises:
        StateExists: What is stored is newer, or another task of the same id, or cannot be compared.
        LeaseHeld: It is older, and a run works on it.
    """
    if stored is None:
        return Verdict.CREATED
    if not damage and stored in {given, without_holder(task_id, given)}:
        return Verdict.PRESENT
    theirs: RemediationState | None = None
    try:
        theirs = decode_head(task_id, given)
        ours = decode_head(task_id, stored, damage=damage)
    except StateError as error:
        is_damaged = theirs is not None and isinstance(error, DeserializationError)
        if is_damaged and is_damage_replaced:
            return Verdict.REPLACED
        way = _WAY_ON if is_damaged else ""
        raise _exists(task_id, f"with a state that cannot be compared ({error})", way) from error
    there, come = ours.ledger, theirs.ledger
    if there.incarnation != come.incarnation or not come.incarnation:
        raise _exists(task_id, "and is not the one in the bundle, but another of the same id")
    if there.commit > come.commit:
        raise _exists(
            task_id, f"and is newer: it is at commit {there.commit}, the bundle at {come.commit}"
        )
    if there.commit == come.commit:
        if digest(ours) == digest(theirs):
            return Verdict.PRESENT
        raise _exists(task_id, f"and differs from the bundle's at the same commit {come.commit}")
    if there.lease.holder is not None:
        raise lease_held(ours, there)
    return Verdict.UPDATED


def forked(ours: RemediationState, theirs: RemediationState, common: int) -> StateExists:
    """
    The refusal of a task that went on in the store and in the bundle, each by itself.

    Args:
        ours: As it is stored.
        theirs: As it is in the bundle.
        common: The last commit that both have, or 0 where that is not known.
    """
    at = f"the store is at commit {ours.ledger.commit}, the bundle at {theirs.ledger.commit}"
    since = f"after commit {common}, the last that both have" if common else "long ago"
    way = "; import the bundle into an empty store to see what only it has, and add that here"
    return _exists(ours.task_id, f"and both went on by themselves {since}: {at}", way)


def without_holder(task_id: str, given: bytes) -> bytes:
    """
    Return a head as it is imported: byte for byte, but for the run that held it.

    The run is on another store, and can neither renew here nor be recognised as dead.
    """
    try:
        state: RemediationState = decode_head(task_id, given)
    except StateError:
        return given
    ledger = state.mendloop
    if not isinstance(ledger, Ledger) or ledger.lease.holder is None:
        return given
    lease = vacated(ledger.lease, generation=ledger.lease.generation, child=None)
    return encode_state(_replace(state, mendloop=_replace(ledger, lease=lease)))


def outliving(task_id: str, given: bytes, now: datetime) -> bytes:
    """
    Return a sound head as it takes the place of a damaged one: no run of before writes any more.

    Which number the lease had in that one is not known: so it is raised above any.
    """
    state: RemediationState = decode_head(task_id, given)
    if not isinstance(state.mendloop, Ledger):
        return given
    return encode_state(with_lease_beyond(state, now))


def _exists(task_id: str, how: str, way: str = "") -> StateExists:
    return StateExists(
        f"task {task_id} is there already, {how}: it is left as it is{way}", task_id=task_id
    )
