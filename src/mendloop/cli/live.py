"""The live view on a terminal: the tools' lines stream by, one line below them says where it is."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from mendloop.cli.narration import narrate, output_lines
from mendloop.cli.printing import cell
from mendloop.core.vocabulary import StepKind
from mendloop.events import (
    Event,
    IterationStarted,
    Output,
    ReviewDone,
    RunStarted,
    StepStarted,
)

__all__ = ["LiveView"]

_REFRESHES_A_SECOND = 4
_WINDOW_SECONDS = 0.25
_LINES_A_WINDOW = 50
"""More lines nobody can read, and the tool would have to wait for the terminal."""

_MINUTE = 60


class LiveView:
    """A `mendloop.cli.watch.Watcher` for a terminal."""

    def __init__(self) -> None:
        """Show nothing yet."""
        self._began = self._step_began = time.monotonic()
        self._iteration = self._max_iterations = 0
        self._phase = "starting"
        self._counts = ""
        self._window_began = 0.0
        self._in_window = self._left_out = 0
        self._console = Console(highlight=False, soft_wrap=True)
        self._live = Live(
            get_renderable=self._status,
            console=self._console,
            refresh_per_second=_REFRESHES_A_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        """Begin to show."""
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the status line away."""
        self._tell_left_out()
        self._live.stop()

    def __call__(self, event: Event) -> None:
        """Show *event*."""
        if isinstance(event, Output):
            self._show_output(event)
            return
        self._follow(event)
        self._tell_left_out()
        line = cell(narrate(event))
        if line:
            self._console.print(Text(line, style="bold"))

    def _follow(self, event: Event) -> None:
        match event:
            case RunStarted() | IterationStarted():
                self._iteration = event.iteration
                self._max_iterations = event.max_iterations
            case StepStarted():
                doing = "reviewing" if event.step is StepKind.REVIEW else "fixing"
                self._phase = doing if event.step is StepKind.FIX else f"{doing} ({event.name})"
                self._step_began = time.monotonic()
            case ReviewDone():
                self._counts = f"{event.open} open, {event.resolved} resolved, {event.new} new"
            case _:
                pass

    def _show_output(self, event: Output) -> None:
        now = time.monotonic()
        if now - self._window_began > _WINDOW_SECONDS:
            self._tell_left_out()
            self._window_began, self._in_window = now, 0
        self._in_window += 1
        if self._in_window > _LINES_A_WINDOW:
            self._left_out += 1
            return
        text = Text(output_lines(event))
        text.stylize("dim", 0, len(event.name) + 2)
        self._console.print(text)

    def _tell_left_out(self) -> None:
        if self._left_out:
            self._console.print(Text(f"{self._left_out} lines are not shown", style="dim"))
            self._left_out = 0

    def _status(self) -> Text:
        now = time.monotonic()
        parts = [
            f"iteration {self._iteration}/{self._max_iterations}" if self._max_iterations else "",
            f"{self._phase} {_clock(now - self._step_began)}",
            self._counts,
            f"{_clock(now - self._began)} in all",
        ]
        line = "  ".join(part for part in parts if part)
        return Text(line, style="reverse", no_wrap=True, overflow="ellipsis")


def _clock(seconds: float) -> str:
    return f"{int(seconds) // _MINUTE}:{int(seconds) % _MINUTE:02}"
