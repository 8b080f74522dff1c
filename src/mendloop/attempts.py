"""
How long a write is tried again, how long it waits in between, and what is said when it gives up.

Whoever comes second is refused by the store and decides again. How soon is measured by how long a
try takes, since that is how long others need as well. One conflict is an accident, and soon tried
again. A second one tells of writers in numbers: then a long pause leaves the task to one of them,
and each further pause is shorter, so that who has waited longest comes first.
"""

from __future__ import annotations

import random

from mendloop.clock import Clock
from mendloop.core.errors import OutcomeUnknown, StateError, StoreUnavailable
from mendloop.core.model import Commit

__all__ = ["Attempt"]

_FAILURE_FIRST_SECONDS = 0.01
_PAUSE_CAP_SECONDS = 1.0
_CONFLICT_LEAST_TRIES = 4.0
_CONFLICT_MOST_TRIES = 64.0
_TRY_LEAST_SECONDS = 0.002
_LAST_ANSWER_SHARE = 0.2
"""So much longer than the deadline is waited for the store's own verdict on the last try."""


class Attempt:
    """
    How the writing of one batch goes: conflicts, failures, and the time that is left.

    Attributes:
        conflicts: How often somebody else was quicker.
        decided_on: Revision that the last try was decided on; "" where there was no document.
        is_outcome_unknown: Whether a write may have landed of which nothing is known.
        commits: That were written, or may have been.
    """

    def __init__(self, clock: Clock, deadline_seconds: float, *, task_id: str, op_id: str) -> None:
        """
        Begin to count the time.

        Args:
            clock: Whose time counts.
            deadline_seconds: How long all tries may take.
            task_id: For messages.
            op_id: What to ask again with where the outcome stays unknown.
        """
        self.conflicts = 0
        self.decided_on = ""
        self.is_outcome_unknown = False
        self.commits: list[Commit] = []
        self._failures = 0
        self._last_error: StoreUnavailable | None = None
        self._clock = clock
        self._deadline_seconds = deadline_seconds
        self._begun = clock.monotonic_seconds()
        self._deadline = self._begun + deadline_seconds
        self._most_seconds = 0.0
        self._task_id = task_id
        self._op_id = op_id

    def begin(self) -> None:
        """Begin a try."""
        self._begun = self._clock.monotonic_seconds()

    def lost(self) -> None:
        """Count a conflict: somebody else was quicker."""
        try_seconds = max(self._clock.monotonic_seconds() - self._begun, _TRY_LEAST_SECONDS)
        self.conflicts += 1
        tries = _CONFLICT_LEAST_TRIES
        if self.conflicts > 1:
            tries = max(tries, _CONFLICT_MOST_TRIES / 2.0 ** min(self.conflicts - 2, 10))
        self._most_seconds = min(tries * try_seconds, _PAUSE_CAP_SECONDS)

    def failed(self, error: StoreUnavailable) -> None:
        """Count a failure of the store, and whether it left the outcome open."""
        doubled = _FAILURE_FIRST_SECONDS * 2.0 ** min(self._failures, 10)
        self._most_seconds = min(doubled, _PAUSE_CAP_SECONDS)
        self._failures += 1
        self._last_error = error
        self.is_outcome_unknown = self.is_outcome_unknown or error.maybe_stored

    def patience_seconds(self) -> float:
        """How long the store may take over this try."""
        left = self._deadline - self._clock.monotonic_seconds()
        return max(left, 0.0) + _LAST_ANSWER_SHARE * self._deadline_seconds

    async def back_off(self) -> None:
        """
        Wait with full jitter before the next try.

        Raises:
            OutcomeUnknown: No time is left, and a write may have landed.
            StoreUnavailable: No time is left, and nothing was written.
        """
        pause_seconds = random.uniform(0, self._most_seconds)  # noqa: S311 - jitter, not a secret
        if self._clock.monotonic_seconds() + pause_seconds >= self._deadline:
            raise self.given_up(
                str(self._last_error) if self._last_error else f"{self.conflicts} conflicts"
            )
        await self._clock.sleep(pause_seconds)

    def given_up(self, why: str) -> StateError:
        """Return the error that says whether a write may have landed."""
        if self.is_outcome_unknown:
            return OutcomeUnknown(
                f"task {self._task_id}: gave up ({why}); "
                "a write may have landed: ask again with the same operation id",
                op_id=self._op_id,
                task_id=self._task_id,
            )
        return StoreUnavailable(
            f"task {self._task_id}: gave up after {self._deadline_seconds:.0f} s ({why}); "
            "this call wrote nothing",
            task_id=self._task_id,
        )
