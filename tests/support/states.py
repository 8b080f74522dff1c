"""States of every kind: built one by one, or drawn by Hypothesis from the model's own types."""

from __future__ import annotations

import json
import types
import typing
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from functools import lru_cache
from typing import Any

import msgspec
from hypothesis import strategies as st

from mendloop.core.carrying import Carrying
from mendloop.core.model import (
    LEDGER_SCHEMA,
    STATE_VERSION,
    Change,
    ChunkRef,
    Commit,
    FeedbackEntry,
    Finding,
    Ledger,
    RemediationState,
    Settings,
)
from mendloop.core.progress import Pause, Round, Source, Step
from mendloop.core.run import Holder, Lease
from mendloop.core.sealed import Sealed
from mendloop.core.vocabulary import IssueType, Phase, Severity, Status, StepKind

__all__ = [
    "NOW",
    "ODD_VALUES",
    "any_state",
    "any_struct",
    "entry",
    "holder",
    "rich_state",
    "state",
    "with_unknown_members",
]

NOW = datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=UTC)

ODD_VALUES = (
    b"1.0",
    b"1e400",
    b"-0",
    b"12345678901234567890",
    b"123456789012345678901234567890",
    b'"\\u0041\\/ \\ud83d\\ude00"',
    b'{ "a" : [ 1.0 , null, {"b": 1E5} ] }',
    b"[]",
    b"null",
    '"é\u2028"'.encode(),
)
"""JSON that does not come out the same from a decode and an encode."""


def holder(token: str = "t1", **changes: Any) -> Holder:  # noqa: S107 - names a run
    """A holder that is no process of this host."""
    return Holder(**({"name": "ann@laptop", "token": token, "boot_id": "elsewhere"} | changes))


def entry(comment_id: str = "c1", **changes: Any) -> FeedbackEntry:
    """A finding as another program would bring it."""
    members: dict[str, Any] = {
        "timestamp": NOW,
        "author": "ann",
        "severity": Severity.HIGH,
        "issue_type": IssueType.BUG,
        "description": "it breaks",
        "resolved": False,
        "pr_comment_id": comment_id,
    }
    return FeedbackEntry(**(members | changes))


def state(task_id: str = "t", **changes: Any) -> RemediationState:
    """A state as a writer of the specification would make it."""
    members: dict[str, Any] = {
        "task_id": task_id,
        "iteration": 0,
        "status": Status.INITIALIZED,
        "feedback_history": (),
        "last_update": NOW,
        "error_messages": (),
        "metadata": {},
        "version": STATE_VERSION,
    }
    return RemediationState(**(members | changes))


def rich_state(task_id: str = "t") -> RemediationState:
    """A state with one of everything that can stand in one."""
    change = Change(do="increment", op_id="o", by="ann", door="cli", result={"iteration": 1})
    ledger = Ledger(
        schema=LEDGER_SCHEMA,
        min_writer=LEDGER_SCHEMA,
        incarnation="abc",
        commit=1,
        settings=Settings(budget_seconds=1e6),
        phase=Phase.REVIEWING,
        step=Step(kind=StepKind.REVIEW),
        started_at=NOW,
        budget_from=NOW,
        pause=Pause(by="ann", reason="lunch", at=NOW),
        rounds=(
            Round(iteration=1, at=NOW, open=1, new=1, resolved=0, reopened=0, open_digest="d"),
        ),
        sources={"ruff": Source(format="sarif", last_complete_iteration=1)},
        lease=Lease(generation=3, ttl_seconds=30.0),
        commits=(Commit(number=1, id="i", at=NOW, digest="d", changes=(change,)),),
        findings=Sealed(count=2),
        sealed=(ChunkRef(first=1, last=1, digest="0" * 64),),
    )
    finding = Finding(fingerprint="f1", source="ruff:ruff", path="a.py", line=3)
    return state(
        task_id,
        iteration=1,
        status=Status.IN_PROGRESS,
        feedback_history=(entry("c1", mendloop=finding), entry("c2")),
        error_messages=("it failed",),
        metadata={"iteration_1_started": "2026-03-04T05:06:07Z", "theirs": "1.0"},
        mendloop=ledger,
    )


_NO_STRUCTS = {"metadata", "result", "facts", "sources"}


def with_unknown_members(raw: bytes) -> tuple[bytes, list[bytes]]:
    """Give each object of the model a member that it does not know; also lists what was added."""
    added: list[bytes] = []

    def write(value: Any, key: str) -> bytes:
        if isinstance(value, list):
            return b"[" + b",".join(write(item, key) for item in value) + b"]"
        if not isinstance(value, dict) or key in {"metadata", "result", "facts"}:
            return json.dumps(value).encode()
        members = [
            json.dumps(name).encode() + b":" + write(inner, "" if key == "sources" else name)
            for name, inner in value.items()
        ]
        if key not in _NO_STRUCTS:
            odd = ODD_VALUES[len(added) % len(ODD_VALUES)]
            added.append(b'"other_%d":[%d,%b]' % (len(added), len(added), odd))
            members.insert(len(added) % (len(members) + 1), added[-1])
        return b"{" + b",".join(members) + b"}"

    return write(json.loads(raw), ""), added


_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=5,
)
_INSTANTS = st.datetimes(
    min_value=datetime(1970, 1, 2),  # noqa: DTZ001 - Hypothesis wants naive bounds
    max_value=datetime(2200, 1, 1),  # noqa: DTZ001 - Hypothesis wants naive bounds
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]),
)


def any_state() -> st.SearchStrategy[RemediationState]:
    """Draw any state that may be written here with nothing sealed, unknown members included."""
    return any_struct(RemediationState).map(_ours)


def _ours(drawn: RemediationState) -> RemediationState:
    ledger = drawn.mendloop
    if isinstance(ledger, Ledger):
        ledger = msgspec.structs.replace(
            ledger,
            schema=LEDGER_SCHEMA,
            min_writer=LEDGER_SCHEMA,
            findings=Sealed(),
            log=Sealed(),
        )
    return msgspec.structs.replace(drawn, version=STATE_VERSION, mendloop=ledger)


@lru_cache
def any_struct(cls: type[Carrying]) -> st.SearchStrategy[Any]:
    """Draw any value of *cls*."""
    hints = typing.get_type_hints(cls, include_extras=True)
    members = {name: _draw(hint) for name, hint in hints.items() if name != "extra"}
    unknown = st.dictionaries(
        _TEXTS.map(lambda text: f"x_{text}"),
        st.sampled_from(ODD_VALUES).map(msgspec.Raw),
        min_size=1,
        max_size=2,
    )
    return st.builds(cls, extra=st.just(msgspec.UNSET) | unknown, **members)


def _draw(hint: Any) -> st.SearchStrategy[Any]:  # noqa: PLR0911 - one answer for each kind
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _draw_bounded(arguments[0], arguments[1])
    if origin in {types.UnionType, typing.Union}:
        return st.one_of(*[_draw(argument) for argument in arguments])
    if origin is tuple and arguments[-1] is not ...:
        return st.tuples(*map(_draw, arguments))
    if origin is tuple:
        return st.lists(_draw(arguments[0]), max_size=2).map(tuple)
    if origin is dict:
        return st.dictionaries(_TEXTS, _draw(arguments[1]), max_size=2)
    if isinstance(hint, type) and issubclass(hint, Carrying):
        return any_struct(hint)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return st.sampled_from(hint)
    if hint is msgspec.UnsetType:
        return st.just(msgspec.UNSET)
    return _PLAIN[hint]


_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: _TEXTS,
    bytes: st.binary(max_size=9),
    bool: st.booleans(),
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False, allow_infinity=False),
    datetime: _INSTANTS,
    type(None): st.none(),
    Any: _JSON,
}


def _draw_bounded(kind: Any, meta: msgspec.Meta) -> st.SearchStrategy[Any]:
    if meta.pattern is not None:
        return st.from_regex(meta.pattern, fullmatch=True)
    if kind is int:
        return st.integers(meta.ge, 2**32 - 1)
    if kind is float:
        return st.floats(min_value=1e-3, max_value=1e12)
    return _INSTANTS
