"""Reading what a sender sends, with an end to its size, its time, and to what is held at once."""

from __future__ import annotations

import asyncio

from aiohttp import web

__all__ = ["BodyReader", "Refusal"]

_HELD_MOST_BYTES = 48 * 1024 * 1024


class Refusal(Exception):
    """
    A request that is not taken.

    Attributes:
        status: Of HTTP.
        outcome: In one word, for the metrics.
        reason: In words, for the sender.
    """

    def __init__(self, status: int, outcome: str, reason: str) -> None:
        """Say why."""
        super().__init__(reason)
        self.status = status
        self.outcome = outcome
        self.reason = reason


class BodyReader:
    """
    Reads bodies, of which there is no more at once than fits in memory.

    Where more comes, the one that has been coming for longest counts as slow: who sends without an end
    holds up nobody who sends at once.
    """

    def __init__(self, *, limit_bytes: int, patience_seconds: float) -> None:
        """
        Read nothing yet.

        Args:
            limit_bytes: A longer body is refused, before it is read where its length is told.
            patience_seconds: So long a sender may take to send it.
        """
        self._limit_bytes = limit_bytes
        self._patience_seconds = patience_seconds
        self._held_bytes: dict[asyncio.Timeout, int] = {}

    async def read(self, request: web.Request) -> bytes:
        """
        Read the whole body, as it was sent.

        Raises:
            Refusal: It is too large, too slow, cut, or compressed.
        """
        if set(request.headers.getall("Content-Encoding", ())) - {"identity"}:
            raise Refusal(415, "encoded", "send the body as it is, without Content-Encoding")
        length = request.content_length
        if length is not None and length > self._limit_bytes:
            raise self._too_large()
        try:
            async with asyncio.timeout(self._patience_seconds) as patience:
                return await self._read(request, patience)
        except TimeoutError as error:
            raise Refusal(408, "slow", "the body did not come in time") from error
        except (web.HTTPException, OSError, ValueError) as error:
            raise Refusal(400, "cut", "the body was not sent whole") from error

    async def _read(self, request: web.Request, patience: asyncio.Timeout) -> bytes:
        pieces = bytearray()
        self._held_bytes[patience] = 0
        try:
            async for piece in request.content.iter_any():
                pieces += piece
                if len(pieces) > self._limit_bytes:
                    raise self._too_large()
                if patience in self._held_bytes:
                    self._held_bytes[patience] = len(pieces)
                    self._make_room()
        finally:
            self._held_bytes.pop(patience, None)
        return bytes(pieces)

    def _make_room(self) -> None:
        """Have no patience any more with those that have been coming for longest."""
        while sum(self._held_bytes.values()) > _HELD_MOST_BYTES:
            longest = next(iter(self._held_bytes))
            del self._held_bytes[longest]
            longest.reschedule(0)

    def _too_large(self) -> Refusal:
        return Refusal(413, "oversized", f"the body has more than {self._limit_bytes} bytes")
