"""The port by which the library tells how its operations go; what is made of it is the caller's."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Telemetry", "Untold"]


class Telemetry(Protocol):
    """
    What a manager tells while it works.

    Every method is called from the event loop, returns at once and raises nothing.
    """

    def operation(self, name: str, error: BaseException | None, seconds: float) -> None:
        """
        Tell that an operation has ended.

        Args:
            name: The command, such as "Increment".
            error: What it raised; None where it did what was asked.
            seconds: From its call to its answer.
        """

    def conflict(self) -> None:
        """Tell that a write was refused since somebody else was quicker; it is decided again."""

    def retry(self) -> None:
        """Tell that the store failed a write, which is tried again."""

    def throttled(self) -> None:
        """Tell that the store put a request off, and wants none for a while."""


class Untold:
    """Tells nobody."""

    def operation(self, name: str, error: BaseException | None, seconds: float) -> None:
        """See `Telemetry.operation`."""

    def conflict(self) -> None:
        """See `Telemetry.conflict`."""

    def retry(self) -> None:
        """See `Telemetry.retry`."""

    def throttled(self) -> None:
        """See `Telemetry.throttled`."""
