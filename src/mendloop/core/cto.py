"""
From the states of the 5dlabs/cto controller to ours: one pure function.

What has no place of its own here is kept in words in the description of its finding, or in the
metadata under a key that begins with "cto_"; docs/cto.md says where each field goes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mendloop.core.cto_feedback import entries_of, instant_of, text_of
from mendloop.core.errors import DeserializationError, ValidationError
from mendloop.core.model import (
    LEDGER_SCHEMA,
    STATE_VERSION,
    FeedbackEntry,
    Ledger,
    RemediationState,
    Settings,
)
from mendloop.core.names import check_task_id
from mendloop.core.progress import Pause, Step
from mendloop.core.text import METADATA_VALUE_LIMIT_BYTES, Redactor
from mendloop.core.vocabulary import Status, StepKind, StopReason

__all__ = ["DIGEST_KEY", "NAME_PREFIX", "from_cto"]

NAME_PREFIX = "remediation-state-"
"""Names of ConfigMaps that hold such a state begin with it."""

DIGEST_KEY = "cto_sha256"
"""The metadata that says which bytes a task was made from."""

_NAME = re.compile(r"remediation-state-pr-(?P<pr>[0-9]+)-task-(?P<task>.+)")
_LARGEST = 2**32 - 1
_OWN = ("pr_number", "task_id", "iteration", "max_iterations", "status", "feedback_history")
_TEXTS = ("workflow_id", "started_at", "updated_at", "active_run", "metadata")
_SIDE = ("workflow_id", "iteration", "status", "updated_at")

_STEPS = {
    "WaitingForFeedback": StepKind.REVIEW,
    "InProgress": StepKind.REVIEW,
    "WaitingForAgent": StepKind.FIX,
    "Paused": StepKind.REVIEW,
}
_ENDS = {
    "Completed": (Status.COMPLETED, StopReason.COMPLETED),
    "Failed": (Status.FAILED, StopReason.STEP_FAILED),
    "Terminated": (Status.FAILED, StopReason.TERMINATED),
}


def from_cto(
    name: str, data: Mapping[str, str], *, now: datetime, redact: Redactor
) -> RemediationState:
    """
    Make our state from a ConfigMap of the other controller.

    Args:
        name: Of the ConfigMap.
        data: Its data.
        now: Stands for a time that is missing.
        redact: Takes secrets out of texts before they are divided.

    Raises:
        DeserializationError: It is no such state, or damaged; the message says why.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise DeserializationError(f"{name}: not the name remediation-state-pr-PR-task-TASK")
    try:
        task_id = check_task_id(f"pr-{found['pr']}-task-{found['task']}".lower())
    except ValidationError as error:
        raise DeserializationError(f"{name}: {error}") from error
    given = _members(name, data)
    for key, part in (("pr_number", found["pr"]), ("task_id", found["task"])):
        if str(given.get(key, part)).casefold() != part.casefold():
            raise DeserializationError(f"{name}: its {key} is {given[key]!a}, and not {part!a}")
    iteration = max(_count(name, given, "iteration", 0), _side_iteration(data))
    limit = max(_count(name, given, "max_iterations", Settings().max_iterations), 1)
    status = given.get("status")
    if not isinstance(status, str) or status not in {*_STEPS, *_ENDS}:
        raise DeserializationError(f"{name}: the status {status!a} is not known")
    updated = instant_of(given.get("updated_at")) or now
    entries, rests = entries_of(
        given.get("feedback_history"),
        otherwise=instant_of(given.get("started_at")) or updated,
        is_completed=status == "Completed",
        redact=redact,
    )
    metadata = _metadata(name, data, given, redact)
    for key, rest in rests.items():
        metadata |= _divided(key, rest)
    return _state(
        task_id,
        status=status,
        iteration=iteration,
        limit=limit,
        entries=entries,
        metadata=metadata,
        started=instant_of(given.get("started_at")),
        updated=updated,
    )


def _state(
    task_id: str,
    *,
    status: str,
    iteration: int,
    limit: int,
    entries: tuple[FeedbackEntry, ...],
    metadata: dict[str, str],
    started: datetime | None,
    updated: datetime,
) -> RemediationState:
    """Put the parts together as the table of statuses says."""
    ended, reason = _ENDS.get(status, (None, None))
    if ended is None and iteration > limit:
        ended, reason = Status.MAX_ITERATIONS_REACHED, StopReason.MAX_ITERATIONS
    going = Status.IN_PROGRESS if iteration else Status.INITIALIZED
    is_paused = ended is None and status == "Paused"
    ledger = Ledger(
        schema=LEDGER_SCHEMA,
        min_writer=LEDGER_SCHEMA,
        incarnation="",
        settings=Settings(max_iterations=limit),
        step=Step(kind=_STEPS[status]) if ended is None and iteration else None,
        started_at=started,
        pause=Pause(by="cto", reason="paused when it was imported", at=updated)
        if is_paused
        else None,
        stop_reason=reason,
        stop_detail=f"{status} when it was imported" if reason else "",
    )
    return RemediationState(
        task_id=task_id,
        iteration=iteration,
        status=ended or going,
        feedback_history=entries,
        last_update=updated,
        error_messages=(),
        metadata=metadata,
        version=STATE_VERSION,
        mendloop=ledger,
    )


def _members(name: str, data: Mapping[str, str]) -> dict[str, Any]:
    raw = data.get("state.json")
    if raw is None:
        raise DeserializationError(f"{name}: it has no state.json")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) != len(pairs):
            raise DeserializationError(f"{name}: a key of its state.json stands twice")
        return members

    try:
        given = json.loads(raw, object_pairs_hook=unique, parse_constant=_refuse_constant)
        json.dumps(given, ensure_ascii=False).encode()  # a lone surrogate has no such form
    except (ValueError, RecursionError) as error:
        raise DeserializationError(f"{name}: its state.json is no JSON ({error})") from error
    if not isinstance(given, dict):
        raise DeserializationError(f"{name}: its state.json is no object")
    return given


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is none of its values")


def _count(name: str, given: dict[str, Any], key: str, default: int) -> int:
    found = given.get(key)
    if found is None:
        return default
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= _LARGEST:
        raise DeserializationError(f"{name}: its {key} {found!a} is no count")
    return found


def _side_iteration(data: Mapping[str, str]) -> int:
    """The counter beside the state: where it is ahead it counts, since a counter never falls."""
    text = data.get("iteration", "")
    return min(int(text), _LARGEST) if re.fullmatch("[0-9]{1,10}", text) else 0


def _metadata(
    name: str, data: Mapping[str, str], given: dict[str, Any], redact: Redactor
) -> dict[str, str]:
    """Keep what has no place of its own."""
    kept: dict[str, Any] = {"name": name, "status": given["status"]}
    kept |= {key: given[key] for key in _TEXTS if given.get(key) not in (None, {})}
    kept |= {key: given[key] for key in ("pr_number", "task_id") if key in given}
    other = {key: value for key, value in given.items() if key not in {*_OWN, *_TEXTS}}
    if other:
        kept["other"] = other
    beside = {
        key: text
        for key, text in data.items()
        if key != "state.json" and (key not in _SIDE or text != str(given.get(key)))
    }
    if beside:
        kept["beside"] = beside
    metadata = {DIGEST_KEY: hashlib.sha256(data["state.json"].encode(errors="replace")).hexdigest()}
    for key, value in kept.items():
        metadata |= _divided(f"cto_{key}", redact(text_of(value)))
    return metadata


def _divided(key: str, text: str) -> dict[str, str]:
    """Divide a long text over several keys, so that nothing of it is cut."""
    pieces: dict[str, str] = {}
    encoded = text.encode(errors="replace")
    while True:
        piece = encoded[:METADATA_VALUE_LIMIT_BYTES].decode(errors="ignore")
        pieces[f"{key}_{len(pieces) + 1}" if pieces else key] = piece
        encoded = encoded[len(piece.encode()) :]
        if not encoded:
            return pieces
