"""States to bytes and back, losing nothing."""

from __future__ import annotations

import json
from datetime import timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from states import NOW, any_state, entry, rich_state, state, with_unknown_members

from mendloop.core.codec import decode_state, digest, encode, encode_state, validated
from mendloop.core.errors import SerializationError, ValidationError
from mendloop.core.model import FeedbackEntry, Ledger, RemediationState, Settings
from mendloop.core.run import Lease
from mendloop.core.vocabulary import Severity, Status


@given(any_state())
def test_every_state_comes_back_equal(drawn: RemediationState) -> None:
    """What is decoded from the bytes of a state is that state, to the last member."""
    assert drawn == decode_state(encode_state(drawn))


@given(any_state())
def test_bytes_come_back_the_same(drawn: RemediationState) -> None:
    """A state that was read is written as the same bytes again."""
    raw = encode_state(drawn)
    assert raw == encode_state(decode_state(raw))


@given(any_state())
def test_the_digest_outlives_a_round_trip(drawn: RemediationState) -> None:
    """The digest of a state can be recomputed from what is stored."""
    assert digest(drawn) == digest(decode_state(encode_state(drawn)))


@given(any_state())
def test_heartbeats_and_commits_do_not_move_the_digest(drawn: RemediationState) -> None:
    """The digest names the content: neither the lease nor the commits are part of it."""
    if isinstance(drawn.mendloop, Ledger):
        ledger = msgspec.structs.replace(drawn.mendloop, commits=(), lease=Lease(generation=99))
        bare = msgspec.structs.replace(drawn, mendloop=ledger)
        assert digest(drawn) == digest(bare)
        moved = msgspec.structs.replace(bare, error_messages=(*bare.error_messages, "one more"))
        assert digest(drawn) != digest(moved)


def test_unknown_members_survive_at_every_level() -> None:
    """What others wrote comes back byte for byte, wherever it stands."""
    raw, added = with_unknown_members(encode_state(rich_state()))
    written = encode_state(decode_state(raw))
    assert len(added) >= 14
    assert [] == [member for member in added if member not in written]
    assert json.loads(raw) == json.loads(written)


@given(any_state(), st.data())
def test_a_change_of_ours_leaves_unknown_members(drawn: RemediationState, data: Any) -> None:
    """A state that is read, changed and written keeps what others wrote."""
    raw, added = with_unknown_members(encode_state(rich_state()))
    changed = msgspec.structs.replace(decode_state(raw), metadata=drawn.metadata)
    written = encode_state(changed)
    assert [] == [member for member in added if member not in written]


def test_times_finer_than_ours_are_kept_as_they_came() -> None:
    """Another program's nanoseconds stay in an entry that we do not change."""
    raw = encode_state(state(feedback_history=(entry(),)))
    fine = b"2026-03-04T05:06:07.123456789+00:00"
    given_raw = raw.replace(b"2026-03-04T05:06:07.000089Z", fine, 1)
    assert given_raw != raw
    assert given_raw == encode_state(decode_state(given_raw))


def test_a_member_of_the_name_we_carry_by_is_no_danger() -> None:
    """A member that has the codec's own inner name is carried like any other."""
    raw = encode_state(state())[:-1] + b',"__carried__":{"a":1.0}}'
    assert raw == encode_state(decode_state(raw))


def test_texts_without_utf8_form_are_refused() -> None:
    """A lone surrogate cannot be written, and the error says so."""
    with pytest.raises(SerializationError):
        encode_state(state(metadata={"a": "\ud800"}))


@pytest.mark.parametrize(
    "broken",
    [
        Settings(max_iterations=0),
        Settings(max_iterations=2**32),
        Settings(no_progress_rounds=1),
        Settings(budget_seconds=-1.0),
        Lease(ttl_seconds=float("nan")),
        entry(timestamp=NOW.replace(tzinfo=None)),
        entry(severity="Horrible"),
        entry(description="\ud800"),
        entry(resolved="yes"),
        entry(extra={"other": msgspec.Raw(b"{")}),
        entry(extra={"other": msgspec.Raw(b'{"a":1,"a":2}')}),
        entry(extra={"author": msgspec.Raw(b"1")}),
        state(iteration=-1),
        state(iteration=2**32),
        state(status="Sleeping"),
    ],
)
def test_what_no_reader_takes_is_refused_before_it_is_written(broken: Any) -> None:
    """A value that could be encoded, but never be read again, is a ValidationError."""
    with pytest.raises(ValidationError):
        validated(broken)


def test_validation_gives_what_a_reader_gets() -> None:
    """Numbers and names come out in the types that the stored bytes will have."""
    given_settings = Settings(budget_seconds=60)
    assert encode(Settings(budget_seconds=60.0)) == encode(validated(given_settings))
    made: FeedbackEntry = validated(entry(severity="Low"))
    assert made.severity is Severity.LOW


def test_statuses_are_the_five_of_the_specification() -> None:
    """The five statuses are spelled as the specification has them."""
    assert ["Initialized", "InProgress", "Completed", "Failed", "MaxIterationsReached"] == list(
        Status
    )


@given(any_state(), st.integers(-300, 300).filter(bool))
def test_equal_instants_of_other_zones_stay_what_they_are(
    drawn: RemediationState, minutes: int
) -> None:
    """A time with an offset comes back as the same instant."""
    zone = timezone(timedelta(minutes=minutes))
    moved = msgspec.structs.replace(drawn, last_update=NOW.astimezone(zone))
    assert NOW == decode_state(encode_state(moved)).last_update
