"""The service's log: a line of JSON for each event, on standard error, or words on a terminal."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from mendloop.core.text import Redactor, tidy

__all__ = ["configure_logs"]

_LINE_BYTES = 16_384
_SINGLE_LINE = str.maketrans({"\n": " "})


def configure_logs(*, redact: Redactor, level: int = logging.INFO) -> None:
    """
    Have all that the process logs written as lines to standard error.

    Args:
        redact: Takes secrets out of every text.
        level: What is less than this is not written.
    """

    def safe(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {key: _safe(value, redact) for key, value in event.items()}

    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        safe,
    ]
    last = (
        structlog.dev.ConsoleRenderer()
        if sys.stderr.isatty()
        else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)


def _safe(value: Any, redact: Redactor) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        return {_safe(str(key), redact): _safe(item, redact) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_safe(item, redact) for item in value]
    return tidy(str(value), limit_bytes=_LINE_BYTES, redact=redact)
