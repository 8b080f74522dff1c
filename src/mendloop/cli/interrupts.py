"""Ending a run by a signal: its child first, and the lease given back."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["Interrupted", "run_interruptibly"]

_T = TypeVar("_T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_EXIT_BASE = 128


class Interrupted(Exception):
    """
    A signal has ended the run, which has cleaned up behind it.

    Attributes:
        exit_code: By the shells' custom.
    """

    def __init__(self, number: int) -> None:
        """Keep which signal it was."""
        super().__init__(signal.Signals(number).name)
        self.exit_code = _EXIT_BASE + number


async def run_interruptibly(work: Coroutine[Any, Any, _T]) -> _T:
    """
    Run *work* to its end, or to the first signal.

    The first signal cancels it, so that it ends its child with patience. The second cancels that
    patience. A third one kills this process.

    Raises:
        Interrupted: A signal has ended it.
    """
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
    received: list[int] = []

    def stop(number: int) -> None:
        received.append(number)
        task.cancel()
        if len(received) > 1:
            for other in watched:
                loop.remove_signal_handler(other)
                signal.signal(other, signal.SIG_DFL)

    # What nohup or a shell's background job has set to be ignored stays ignored.
    watched = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    for number in watched:
        loop.add_signal_handler(number, stop, number)
    try:
        return await task
    except asyncio.CancelledError:
        if not received:
            raise
        raise Interrupted(received[0]) from None
    finally:
        for number in watched:
            loop.remove_signal_handler(number)
