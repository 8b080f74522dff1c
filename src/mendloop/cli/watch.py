"""Showing what a loop does while it runs: in a live view, as plain lines, or as JSON Lines."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Protocol, Self

import msgspec

from mendloop.cli.narration import narrate, output_lines
from mendloop.cli.printing import as_json_line, shown
from mendloop.cli.session import Session
from mendloop.cli.streams import forget_stdout
from mendloop.core.codec import rfc3339
from mendloop.events import Event, Output

__all__ = ["Watcher", "watcher_for"]


class Watcher(Protocol):
    """An observer with a beginning and an end."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was."""

    def __call__(self, event: Event) -> None:
        """Show *event*."""


def watcher_for(session: Session) -> Watcher:
    """The watcher that fits where standard output goes."""
    if session.output == "json":
        return _Lines(_json_line)
    if session.is_terminal:
        from mendloop.cli.live import LiveView

        return LiveView()
    return _Lines(_plain_line)


class _Lines:
    """
    Writes a line for each event.

    Where the reader has gone the loop goes on without: it is work, not a listing. Where nothing can
    be written any more it ends: nobody would know what it did.
    """

    def __init__(self, line_of: Callable[[Event], bytes]) -> None:
        self._line_of = line_of

    def __enter__(self) -> Self:
        sys.stdout.flush()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        sys.stdout.flush()

    def __call__(self, event: Event) -> None:
        line = self._line_of(event)
        if not line:
            return
        try:
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            forget_stdout()
        except OSError as error:
            forget_stdout()
            reason = f"standard output cannot be written: {error.strerror}"
            raise OSError(error.errno, reason) from error


def _json_line(event: Event) -> bytes:
    members = msgspec.to_builtins(event)
    kind = members.pop("event")
    return as_json_line({"event": kind, "at": rfc3339(datetime.now(UTC)), **members})


def _plain_line(event: Event) -> bytes:
    if isinstance(event, Output):
        text = output_lines(event)
    else:
        text = " ".join(shown(narrate(event)).split())
    if not text:
        return b""
    return f"{text}\n".encode(sys.stdout.encoding or "utf-8", errors="backslashreplace")
