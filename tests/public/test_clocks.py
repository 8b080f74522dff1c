"""The clocks that are passed in."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from mendloop.clock import SteadyClock, boottime_seconds


def test_a_steady_clock_is_set_once() -> None:
    """What the day's clock says later does not matter: only time that passes moves it."""
    long_ago = datetime(2001, 1, 1, tzinfo=UTC)
    before, clock = boottime_seconds(), SteadyClock(long_ago)
    time.sleep(0.01)
    passed = (clock.now() - long_ago).total_seconds()

    assert 0.01 <= passed <= boottime_seconds() - before


def test_a_steady_clock_begins_with_the_time_of_day() -> None:
    """It is set to this machine's time of day, in UTC."""
    now = SteadyClock().now()

    assert abs(datetime.now(UTC) - now) < timedelta(seconds=5)
    assert timedelta() == now.utcoffset()
