"""The one table of exit codes."""

from __future__ import annotations

from mendloop.cli.exit_codes import (
    ERROR_CODES,
    MEANINGS,
    REASON_CODES,
    ExitCode,
    code_of_error,
    code_of_reason,
)
from mendloop.core import errors
from mendloop.core.vocabulary import Status, StopReason


def test_every_error_has_a_code() -> None:
    """Every class of error that mendloop raises stands in the table itself, not only its base."""
    classes = {getattr(errors, name) for name in errors.__all__}

    assert classes == set(ERROR_CODES)


def test_every_stop_reason_has_a_code() -> None:
    """A loop may be over for any stop reason, paused, or ended by a program that gives none."""
    ended = {str(status) for status in Status if status.is_ended}

    assert {*map(str, StopReason), "paused", *ended} == set(REASON_CODES)


def test_every_code_is_explained() -> None:
    """The table for readers has a line for each code and no other."""
    assert set(ExitCode) == set(MEANINGS)


def test_the_codes_are_the_documented_ones() -> None:
    """Scripts rely on the numbers: they do not move."""
    expected = {
        "completed": 0,
        "max_iterations": 4,
        "no_progress": 5,
        "budget": 6,
        "step_failed": 7,
        "terminated": 8,
        "paused": 9,
    }

    assert expected == {reason: int(code_of_reason(reason)) for reason in expected}
    assert 3 == code_of_error(errors.StateNotFound())
    assert 10 == code_of_error(errors.WorkTreeBusy("busy", holder="somebody"))
    assert 11 == code_of_error(errors.LeaseLost())
    assert 12 == code_of_error(errors.ReadOnlyState("newer", raw=b""))
    assert 13 == code_of_error(errors.StoreFull())
    assert 14 == code_of_error(errors.OutcomeUnknown("silent", op_id="a"))


def test_an_error_of_a_subclass_has_its_bases_code() -> None:
    """A class that the table does not know is told by its nearest base."""

    class OddStore(errors.StoreCorrupt):
        """Odd."""

    assert ExitCode.STORE_FAILED == code_of_error(OddStore())
