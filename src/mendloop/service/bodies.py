"""Reading what a sender sends, with an end to its size, its time, and to what is held at once."""

from __future__ import annotations

import asyncio

from aiohttp import web

__all__ = ["BodyReader", "Refusal"]

_SMALL_BYTES = 256 * 1024
_LARGE_AT_ONCE = 4


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
    """Reads bodies; of large ones only a few at once, so that memory stays bounded."""

    def __init__(self, *, limit_bytes: int, patience_seconds: float) -> None:
        """
        Read nothing yet.

        Args:
            limit_bytes: A longer body is refused, before it is read where its length is told.
            patience_seconds: So long a sender may take to send it.
        """
        self._limit_bytes = limit_bytes
        self._patience_seconds = patience_seconds
        self._large = asyncio.Semaphore(_LARGE_AT_ONCE)

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
            async with asyncio.timeout(self._patience_seconds):
                if length is not None and length <= _SMALL_BYTES:
                    return await self._read(request)
                async with self._large:
                    return await self._read(request)
        except TimeoutError as error:
            raise Refusal(408, "slow", "the body did not come in time") from error
        except (web.HTTPException, OSError, ValueError) as error:
            raise Refusal(400, "cut", "the body was not sent whole") from error

    async def _read(self, request: web.Request) -> bytes:
        pieces = bytearray()
        async for piece in request.content.iter_any():
            pieces += piece
            if len(pieces) > self._limit_bytes:
                raise self._too_large()
        return bytes(pieces)

    def _too_large(self) -> Refusal:
        return Refusal(413, "oversized", f"the body has more than {self._limit_bytes} bytes")
