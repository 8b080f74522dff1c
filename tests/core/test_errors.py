"""Errors as values: they survive the way to another process, and a copy."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import get_type_hints

import pytest

from mendloop.core import errors

CLASSES = [kind for name in errors.__all__ if isinstance(kind := getattr(errors, name), type)]
SAMPLES = {str: "words", int: 7, bytes: b"\xff", bool: True}


def _made(kind: type[errors.StateError]) -> errors.StateError:
    hints = get_type_hints(kind.__init__)
    first, *others = inspect.signature(kind).parameters
    return kind(SAMPLES[hints[first]], **{name: SAMPLES[hints[name]] for name in others})


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_error_can_be_sent_to_another_process(
    kind: type[errors.StateError], protocol: int
) -> None:
    """What one process raises, a pool of processes hands on as it was."""
    error = _made(kind)
    again = pickle.loads(pickle.dumps(error, protocol))  # noqa: S301 - our own bytes

    assert (kind, str(error), error.args) == (type(again), str(again), again.args)
    assert vars(error) == vars(again)


@pytest.mark.parametrize("kind", CLASSES)
def test_a_copy_is_another_error_of_the_same_content(kind: type[errors.StateError]) -> None:
    """A copy can be changed without changing what it was made of."""
    error = _made(kind)
    again = copy.copy(error)
    again.task_id = "other"

    assert (kind, str(error)) == (type(again), str(again))
    assert "words" == error.task_id
