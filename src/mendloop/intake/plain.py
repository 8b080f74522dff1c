"""Plain text with an exit code, the last resort: the whole output is one finding."""

from __future__ import annotations

import re
import sys

from mendloop.core.findings import RawFinding
from mendloop.core.text import DESCRIPTION_LIMIT_BYTES, redact_secrets, tidy
from mendloop.core.vocabulary import IssueType, Severity
from mendloop.intake.reading import Reading, shortened

__all__ = ["LAST_TOOL_EXIT_CODE", "read"]

LAST_TOOL_EXIT_CODE = 125
"""Above it the shell speaks: not executable, not found, ended by a signal."""

_TITLE_CHARACTERS = 200
# Both ends are kept of a long output: the first fault is at the top, the summary at the bottom.
_END_BYTES = DESCRIPTION_LIMIT_BYTES // 2 - 256
_READ_BYTES = 16 * _END_BYTES

# What differs between two runs over the same code.
_NOISE = re.compile(
    r"(?<!\d)\d+(?:\.\d+)?\s?(?:µs|us|ms|s|sec|secs|seconds?|m|min|minutes?)\b"
    r"|\b\d{4}-\d\d-\d\d(?:[T ][\d:.,]+(?:Z|[+-]\d\d:?\d\d)?)?"
    r"|\b\d\d?:\d\d(?::\d\d)?(?:[.,]\d+)?\b"
    r"|\b0x[0-9a-fA-F]+\b"
    r"|\bpid[ =:]+\d+"
    r"|/tmp/[^\s:'\"]+",
    re.IGNORECASE,
)


def read(data: bytes, *, exit_code: int) -> Reading:
    """
    Take the whole output of a command that failed as one finding; no failure, no finding.

    Args:
        data: Any bytes; what is not UTF-8 is replaced.
        exit_code: 0 for no fault; one that a shell or a signal makes says nothing about faults.
    """
    reading = Reading()
    if 0 < exit_code <= LAST_TOOL_EXIT_CODE:
        text = _both_ends(data)
        reading.add(
            RawFinding(
                severity=Severity.MEDIUM,
                issue_type=IssueType.BUG,
                description=_titled(text, exit_code),
                identity=_NOISE.sub("#", text),
            )
        )
    return reading


def _titled(text: str, exit_code: int) -> str:
    if not text:
        return f"exit code {exit_code} and no output"
    title = shortened(text, _TITLE_CHARACTERS)
    return text if text.startswith(title) else f"{title}\n\n{text}"


def _both_ends(data: bytes) -> str:
    if len(data) <= 2 * _READ_BYTES:
        text = _tidied(data)
    else:
        # Part of a line may be part of a secret, which would not be known for one.
        first, last = data[:_READ_BYTES], data[-_READ_BYTES:]
        first = first.rpartition(b"\n")[0] or first.rpartition(b" ")[0] or first
        last = last.partition(b"\n")[2] or last.partition(b" ")[2] or last
        text = _tidied(first) + "\n" + _tidied(last)
    encoded = text.encode()
    if len(encoded) <= 2 * _END_BYTES:
        return text
    head = encoded[:_END_BYTES].rpartition(b"\n")[0] or encoded[:_END_BYTES]
    tail = encoded[-_END_BYTES:].partition(b"\n")[2] or encoded[-_END_BYTES:]
    kept = len(head) + len(tail)
    mark = f"\n… [left out: about {max(len(data) - kept, 1)} bytes]\n"
    return head.decode(errors="ignore") + mark + tail.decode(errors="ignore")


def _tidied(data: bytes) -> str:
    """
    Cleaned and without secrets, before anything is measured or cut.

    Escape sequences may be most of an output, and half a secret is not known for one.
    """
    return tidy(
        data.decode(errors="replace"), limit_bytes=sys.maxsize, redact=redact_secrets
    ).strip()
