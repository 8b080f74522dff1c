from __future__ import annotations

import pytest
from drive import Driver

from mendloop.core import commands
from mendloop.core.errors import StateNotFound


def _order(order: commands.Pause | commands.Resume | commands.Stop) -> commands.Order:
    return commands.Order(order=order)


def test_an_order_does_what_it_says() -> None:
    """A pause that is ordered pauses, and the record says who wanted what."""
    driver = Driver()
    driver.apply(commands.Create())
    done = driver.apply(_order(commands.Pause(reason="wait for ann")))
    assert {"order": "pause", "done": True} == done.result
    assert driver.state.ledger.pause is not None
    assert "wait for ann" == done.facts["reason"]


def test_an_order_that_is_refused_leaves_a_record_and_nothing_else() -> None:
    """What cannot be done is recorded with the reason, so that it is not done when it comes again."""
    driver = Driver()
    driver.apply(commands.Create())
    before = driver.state
    done = driver.apply(_order(commands.Resume()))
    assert done.is_changed
    assert done.leaves_record
    assert "neither" in done.facts["refused"]
    assert (before.status, before.iteration) == (driver.state.status, driver.state.iteration)
    assert before.ledger.pause is driver.state.ledger.pause is None


def test_an_order_that_is_so_already_leaves_a_record() -> None:
    """A second pause changes nothing but the record, and the first one's reason stands."""
    driver = Driver()
    driver.apply(commands.Create())
    driver.apply(_order(commands.Pause(reason="first")))
    done = driver.apply(_order(commands.Pause(reason="second")))
    assert done.is_changed
    assert {"order": "pause", "done": False} == done.result
    assert driver.state.ledger.pause is not None
    assert "first" == driver.state.ledger.pause.reason


def test_an_order_for_no_task_is_refused() -> None:
    """Where there is no task there is nothing to record it in."""
    with pytest.raises(StateNotFound):
        Driver().apply(_order(commands.Stop(reason="")))
