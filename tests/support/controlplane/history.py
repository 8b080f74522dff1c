"""What callers saw, and whether tasks that do one thing after another could have told them so."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

__all__ = ["Judge", "Operation"]


class Operation(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"returned": "return"}
):
    """
    One operation on a task, which has the number 0 and no findings at first.

    Attributes:
        op: What was asked.
        call: When it was asked, in nanoseconds of one machine's monotonic clock.
        returned: When it was answered; none for an unknown outcome.
        value: What number a write or a compare-and-set stores.
        expected: What number a compare-and-set demands to find.
        result: The number that a read found or an increment made; the number and the count of
            findings that a look found; the place of an appended finding, where it is known; whether
            a compare-and-set stored.
        key: Which task.
        process: Who asked.
    """

    op: Literal["read", "look", "write", "cas", "increment", "append"]
    call: int
    returned: int | None = None
    value: int | None = None
    expected: int | None = None
    result: int | bool | tuple[int, int] | None = None
    key: str = ""
    process: str = ""


class Judge:
    """
    Tells whether a history is linearizable.

    Args:
        program: The checker.
        file: Where histories are written, and where the last one stays.
    """

    def __init__(self, program: Path, file: Path) -> None:
        self._program = program
        self._file = file

    def __call__(self, history: Iterable[Operation]) -> str:
        """
        Return what no register could have told; empty where the history is linearizable.

        An operation that surely did nothing is left out of the history.

        Raises:
            CalledProcessError: The checker refuses the history, or needs more than five minutes.
        """
        self._file.write_bytes(msgspec.json.Encoder().encode_lines(list(history)))
        done = subprocess.run(
            [self._program, self._file], stdout=subprocess.PIPE, text=True, check=False
        )
        if done.returncode > 1:
            done.check_returncode()
        return done.stdout.strip()
