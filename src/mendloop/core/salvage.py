"""
The state that can still be read in a damaged head: field by field, and finding by finding.

What cannot be read gets what a new task has, and is named. The counter is never below any number
that is told anywhere in the head or beside it. A head that is another task's tells nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from mendloop.core.carrying import Carrying
from mendloop.core.codec import decode_head, decode_member, decode_part, digest, encode_state
from mendloop.core.counters import iteration_beside
from mendloop.core.diagnosis import Case, state_of
from mendloop.core.errors import DeserializationError, ReadOnlyState, StateError
from mendloop.core.model import (
    COUNT_MOST,
    LEDGER_SCHEMA,
    STATE_VERSION,
    Commit,
    FeedbackEntry,
    Ledger,
    RemediationState,
)
from mendloop.core.names import started_iteration
from mendloop.core.run import Lease, generation_beyond
from mendloop.core.scraps import Scrap, members, objects
from mendloop.core.vocabulary import Status

__all__ = ["Salvaged", "fields_of_own", "is_own", "other_task_in", "salvage"]

_FIELDS = tuple(name for name in RemediationState.__struct_fields__ if name != "extra")
_LEDGER_FIELDS = tuple(name for name in Ledger.__struct_fields__ if name != "extra")
_NUMBER = re.compile(r"[0-9]{1,10}")
_SCHEMA = re.compile(r'"(?:schema|min_writer)"\s*:\s*([0-9]{1,6})')

_IN_DOUBT = "a part of its state, which can be read and is not what was written"

_replace = msgspec.structs.replace
_Members = dict[str, list[Scrap]]


class Salvaged(msgspec.Struct, frozen=True):
    """
    What is left of a head.

    Attributes:
        state: Sound by itself; what it says of sealed documents is not compared with them.
        lost: What could not be read, in words.
    """

    state: RemediationState
    lost: tuple[str, ...]


def salvage(case: Case, *, now: datetime) -> Salvaged:
    """
    Read what is left of a task's head, and what stands beside it.

    Raises:
        ReadOnlyState: A newer version wrote it.
    """
    state = state_of(_replace(case, damage=""))
    if isinstance(state, ReadOnlyState):
        raise state
    if isinstance(state, RemediationState):
        is_sound = not case.damage or _is_as_committed(state)
        return Salvaged(_with_counter(state, case, []), () if is_sound else (_IN_DOUBT,))
    if _incarnations(case) and other_task_in(case, now=now):
        case = _replace(case, body=None, fields=fields_of_own(case))
    lost: list[str] = []
    found = _members_of(case)
    _refuse_newer(case, found)
    read = RemediationState(
        task_id=case.task_id,
        iteration=0,
        status=_field(found, "status", None, lost) or _status_of(case, found),
        feedback_history=_entries(found, lost),
        last_update=_field(found, "last_update", None, lost) or _instant(case, now),
        error_messages=_field(found, "error_messages", (), lost),
        metadata=_texts(found, lost),
        version=STATE_VERSION,
        mendloop=_ledger(found, lost, now),
        extra=_others(found),
    )
    read = _with_counter(read, case, found.get("iteration", []))
    if case.body is None:
        lost = ["all that stood in the head alone"]
    return Salvaged(_writable(read, lost), tuple(lost))


def other_task_in(case: Case, *, now: datetime) -> str:
    """The task whose head stands in the place of this one's; "" where it is the task's own."""
    found = _members_of(case)
    named: str = _field(found, "task_id", case.task_id, [])
    is_foreign = named != case.task_id and not (
        _incarnations(case) and is_own(case, _ledger(found, [], now).incarnation)
    )
    return named if is_foreign else ""


def is_own(case: Case, incarnation: str) -> bool:
    """Whether the task can be of this *incarnation*, as what is sealed of it says."""
    own = _incarnations(case)
    return incarnation in own or not own


def fields_of_own(case: Case) -> Mapping[str, str]:
    """What stands beside the head, where it is told to be of this task."""
    return case.fields if case.fields.get("task_id") == case.task_id else {}


def _incarnations(case: Case) -> frozenset[str]:
    return frozenset(facts.incarnation for facts in case.facts if facts.incarnation)


def _members_of(case: Case) -> _Members:
    return members((case.body or b"").decode(errors="replace"), _FIELDS)


def _is_as_committed(state: RemediationState) -> bool:
    commits = state.ledger.commits
    return bool(commits) and commits[-1].digest == digest(state)


def _refuse_newer(case: Case, found: _Members) -> None:
    """What a newer version wrote is not ours to repair, also where it is damaged."""
    versions = {scrap.text for scrap in found.get("version", []) if scrap.is_whole}
    ours = [s.text for s in found.get("mendloop", []) if not s.is_whole or '"schema"' in s.text]
    schemas = [int(number) for text in ours for number in _SCHEMA.findall(text)]
    is_newer = any(re.fullmatch(r'"v([2-9]|[1-9][0-9]+)"', version) for version in versions)
    if is_newer or max(schemas, default=0) > LEDGER_SCHEMA:
        raise ReadOnlyState(
            f"the state of task {case.task_id} is damaged, and a newer version wrote it: repair it "
            "with that version",
            raw=case.body or b"",
            task_id=case.task_id,
        )


def _field(found: _Members, name: str, default: Any, lost: list[str]) -> Any:
    for scrap in found.get(name, []):
        value = _decoded(RemediationState, name, scrap)
        if value is not None:
            return value
    lost.append(f"the field {name}")
    return default


def _decoded(cls: type[Carrying], name: str, scrap: Scrap) -> Any:
    """The value of a member, or None where it cannot be read."""
    if not scrap.is_whole:
        return None
    try:
        return decode_member(cls, name, scrap.text.encode())
    except (StateError, UnicodeError):
        return None


def _status_of(case: Case, found: _Members) -> Status:
    numbers = _numbers(case, found.get("iteration", []))
    return Status.IN_PROGRESS if max(numbers, default=0) else Status.INITIALIZED


def _numbers(case: Case, scraps: list[Scrap]) -> list[int]:
    texts = [scrap.text for scrap in scraps if scrap.is_whole]
    told = [int(text) for text in texts if _NUMBER.fullmatch(text)]
    return [number for number in (*told, iteration_beside(case.fields)) if number <= COUNT_MOST]


def _instant(case: Case, now: datetime) -> datetime:
    try:
        instant = msgspec.convert(case.fields.get("last_update", ""), datetime)
    except msgspec.ValidationError:
        return now
    return instant if instant.tzinfo else now


def _texts(found: _Members, lost: list[str]) -> dict[str, str]:
    """The metadata; where one of its values is no text, the others."""
    whole = [_decoded(RemediationState, "metadata", s) for s in found.get("metadata", [])]
    metadata: dict[str, str] = next((value for value in whole if value is not None), {})
    if not metadata:
        pieces = [members(scrap.text, ()) for scrap in found.get("metadata", [])]
        for name, scrap in ((n, s) for piece in pieces for n, all_ in piece.items() for s in all_):
            try:
                metadata[name] = msgspec.json.decode(scrap.text, type=str)
            except msgspec.MsgspecError:
                continue
    if None in whole or not whole:
        lost.append("some of the metadata")
    return {
        name: text
        for name, text in metadata.items()
        if (number := started_iteration(name)) is None or number <= COUNT_MOST
    }


def _entries(found: _Members, lost: list[str]) -> tuple[FeedbackEntry, ...]:
    for scrap in found.get("feedback_history", []):
        entries: tuple[FeedbackEntry, ...] | None = _decoded(
            RemediationState, "feedback_history", scrap
        )
        if entries is not None:
            return entries
    read: list[FeedbackEntry] = []
    unread = 0
    for scrap in found.get("feedback_history", []):
        for text in objects(scrap.text):
            entry = _part(FeedbackEntry, text)
            if entry is not None:
                read.append(entry)
            elif scrap.is_whole:
                unread += 1
        if read:
            break
    what = f"{unread} findings" if unread else "findings, how many is not known"
    lost.append(f"{what} in the head (read: {len(read)})")
    return tuple(read)


def _part(cls: type[Any], text: str) -> Any:
    try:
        return decode_part(cls, text.encode())
    except (DeserializationError, UnicodeError):
        return None


def _ledger(found: _Members, lost: list[str], now: datetime) -> Ledger:
    """What mendloop kept of the task; where it is broken, what of it is whole."""
    scraps = found.get("mendloop", [])
    for scrap in scraps:
        ledger: Ledger | None = _decoded(RemediationState, "mendloop", scrap)
        if ledger is not None:
            return ledger
    pieces = [members(s.text, _LEDGER_FIELDS) for s in scraps if '"incarnation"' in s.text]
    values: dict[str, Any] = {}
    for name in _LEDGER_FIELDS:
        told = [scrap for piece in pieces[:1] for scrap in piece.get(name, [])]
        read = [value for s in told if (value := _decoded(Ledger, name, s)) is not None]
        if read:
            values[name] = read[0]
        elif name == "commits":
            texts = [text for scrap in told for text in objects(scrap.text)]
            commits = [commit for text in texts if (commit := _part(Commit, text)) is not None]
            values[name] = tuple(commits)
        if told and not read and any(scrap.text != "null" for scrap in told):
            lost.append(f"mendloop.{name}")
    if not pieces:
        lost.append("what mendloop kept in the head: settings, step, reviews, latest commits")
    if "lease" not in values:
        # Above any generation that a run may still hold, so that it can write no more.
        values["lease"] = Lease(generation=generation_beyond(now))
    defaults: dict[str, Any] = {
        "schema": LEDGER_SCHEMA,
        "min_writer": LEDGER_SCHEMA,
        "incarnation": "",
    }
    return Ledger(**(defaults | values))


def _others(found: _Members) -> dict[str, msgspec.Raw] | msgspec.UnsetType:
    """What other programs keep in the state, as far as it is whole."""
    known = RemediationState.__struct_encode_fields__
    others = {
        name: msgspec.Raw(scraps[0].text.encode(errors="replace"))
        for name, scraps in found.items()
        if name not in known and scraps[0].is_whole
    }
    return others or msgspec.UNSET


def _with_counter(state: RemediationState, case: Case, scraps: list[Scrap]) -> RemediationState:
    return _replace(state, iteration=max([state.iteration, *_numbers(case, scraps)]))


def _writable(state: RemediationState, lost: list[str]) -> RemediationState:
    """Return *state* as it can be written: with others' members where a reader takes them."""
    try:
        return decode_head(state.task_id, encode_state(state))
    except StateError:
        lost.append("members of other programs")
        return _replace(state, extra=msgspec.UNSET)
