"""Connections to the API server, used again where nothing went wrong."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

__all__ = ["LONGEST_LINE_BYTES", "Upstream", "Upstreams"]

LONGEST_LINE_BYTES = 2**20


class Upstream:
    """One connection; `is_reusable` while no request is under way on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.is_reusable = True


class Upstreams:
    """
    The connections to one API server.

    Args:
        port: Where it listens on loopback.
        ca_file: What vouches for it.
    """

    def __init__(self, port: int, ca_file: Path) -> None:
        self._port = port
        self._trust = ssl.create_default_context(cafile=str(ca_file))
        self._open: set[Upstream] = set()
        self._idle: list[Upstream] = []

    @contextlib.asynccontextmanager
    async def lend(self) -> AsyncIterator[Upstream]:
        """Give a connection inside the block; it is closed after it unless it is reusable."""
        upstream = await self._take()
        try:
            yield upstream
        finally:
            if upstream.is_reusable:
                self._idle.append(upstream)
            else:
                upstream.writer.close()

    async def end(self) -> None:
        """End all connections."""
        for upstream in self._open:
            upstream.writer.transport.abort()
        for upstream in self._open:
            with contextlib.suppress(OSError):
                await upstream.writer.wait_closed()
        self._open.clear()
        self._idle.clear()

    async def _take(self) -> Upstream:
        while self._idle:
            upstream = self._idle.pop()
            if not upstream.reader.at_eof():
                return upstream
            upstream.writer.close()
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self._port, ssl=self._trust, limit=LONGEST_LINE_BYTES
        )
        upstream = Upstream(reader, writer)
        self._open.add(upstream)
        return upstream
