"""What can go wrong with one request."""

from __future__ import annotations

import json
from enum import Enum, auto

import msgspec

__all__ = [
    "BUSY",
    "CUT_ANSWER",
    "INTERNAL_ERROR",
    "LOST_ANSWER",
    "RESET_AFTER_REQUEST",
    "RESET_BEFORE_REQUEST",
    "SILENCE",
    "SLOW_DRIP",
    "STORED_BUT_TIMED_OUT",
    "THROTTLED",
    "TIMED_OUT",
    "UNAVAILABLE",
    "Answer",
    "Ending",
    "Fault",
    "StreamFault",
    "delayed",
    "gone",
    "spoiled",
]


class Ending(Enum):
    """What the client gets in the end."""

    ANSWER = auto()
    """The whole answer."""
    HALF = auto()
    """Half of the answer's body, then an end."""
    RESET = auto()
    """A reset, once the API server has answered in full: what it was asked for is done."""
    RESET_AT_ONCE = auto()
    """A reset, and one for the API server as well: what it was asked for may be done or not."""
    SILENCE = auto()
    """Nothing at all, until the client goes."""


class StreamFault(Enum):
    """What can go wrong with the stream of a watch."""

    CUT = auto()
    """A reset."""
    END = auto()
    """An orderly end, as after the server's own time limit."""
    EXPIRE = auto()
    """An ERROR event with 410, then an orderly end."""
    SILENCE = auto()
    """No more events on a connection that stays open."""


class Answer(msgspec.Struct, frozen=True):
    """An answer that the proxy gives itself."""

    status: int
    body: bytes
    content_type: str = "application/json"
    retry_after: str = ""

    def raw(self) -> bytes:
        """The answer as it stands on the wire."""
        lines = [
            f"HTTP/1.1 {self.status} ",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(self.body)}",
        ]
        if self.retry_after:
            lines.append(f"Retry-After: {self.retry_after}")
        return "\r\n".join([*lines, "", ""]).encode() + self.body


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """
    What goes wrong with one request.

    Attributes:
        is_forwarded: Whether the API server gets the request.
        delay_seconds: How late it gets it.
        answer: Given in place of the API server's own.
        ending: What the client gets in the end.
        drip_bytes_per_second: How slowly the answer comes; all at once if 0.
        stream: What happens to a watch that the API server has begun to answer.
        after_events: After so many of its events.
    """

    is_forwarded: bool = True
    delay_seconds: float = 0
    answer: Answer | None = None
    ending: Ending = Ending.ANSWER
    drip_bytes_per_second: int = 0
    stream: StreamFault | None = None
    after_events: int = 0


def status_body(code: int, reason: str, message: str, *, retry_after_seconds: int = 0) -> bytes:
    """An error as the API server words it."""
    details = {"details": {"retryAfterSeconds": retry_after_seconds}} if retry_after_seconds else {}
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    return json.dumps(
        status | {"message": message, "reason": reason} | details | {"code": code}
    ).encode()


def _refusal(code: int, reason: str, message: str, *, retry_after_seconds: int = 0) -> Answer:
    body = status_body(code, reason, message, retry_after_seconds=retry_after_seconds)
    return Answer(code, body, retry_after=str(retry_after_seconds or ""))


_TIMEOUT = _refusal(
    504, "Timeout", "Timeout: request did not complete within 60s", retry_after_seconds=1
)

RESET_BEFORE_REQUEST = Fault(is_forwarded=False, ending=Ending.RESET)
RESET_AFTER_REQUEST = Fault(ending=Ending.RESET_AT_ONCE)
LOST_ANSWER = Fault(ending=Ending.RESET)
CUT_ANSWER = Fault(ending=Ending.HALF)
SILENCE = Fault(ending=Ending.SILENCE)
SLOW_DRIP = Fault(drip_bytes_per_second=2000)
THROTTLED = Fault(
    is_forwarded=False,
    answer=Answer(
        429,
        b"Too many requests, please try again later.\n",
        content_type="text/plain; charset=utf-8",
        retry_after="1",
    ),
)
"""What priority-and-fairness says: no Status, and the time in the header alone."""

BUSY = Fault(
    is_forwarded=False,
    answer=_refusal(500, "ServerTimeout", "try again", retry_after_seconds=1),
)
INTERNAL_ERROR = Fault(
    is_forwarded=False, answer=_refusal(500, "InternalError", "etcdserver: request timed out")
)
UNAVAILABLE = Fault(
    is_forwarded=False,
    answer=Answer(503, b"service unavailable\n", content_type="text/plain; charset=utf-8"),
)
TIMED_OUT = Fault(is_forwarded=False, answer=_TIMEOUT)
STORED_BUT_TIMED_OUT = Fault(answer=_TIMEOUT)


def delayed(seconds: float) -> Fault:
    """The request comes late to the API server."""
    return Fault(delay_seconds=seconds)


def gone() -> Fault:
    """A list or a watch is answered with the status 410."""
    answer = _refusal(410, "Expired", "too old resource version")
    return Fault(is_forwarded=False, answer=answer)


def spoiled(stream: StreamFault, *, after_events: int = 0) -> Fault:
    """A watch goes wrong after some of its events."""
    return Fault(stream=stream, after_events=after_events)
