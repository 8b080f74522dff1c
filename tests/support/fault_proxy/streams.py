"""The stream of one watch, on its way to the client."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

from fault_proxy.faults import StreamFault, status_body
from fault_proxy.messages import is_last_chunk, read_chunk

__all__ = ["WatchStream", "reset"]


class WatchStream:
    """
    Forwards the events of a watch, until it is spoiled.

    Args:
        upstream: Where the events come from.
        client: Where they go.
        from_client: Ends when the client goes.
    """

    def __init__(
        self,
        upstream: asyncio.StreamReader,
        client: asyncio.StreamWriter,
        from_client: asyncio.StreamReader,
    ) -> None:
        self.events = 0
        self._upstream = upstream
        self._client = client
        self._from_client = from_client
        self._fault: StreamFault | None = None
        self._after_events = 0
        self._is_between_events = True
        self._ended = asyncio.Event()

    def spoil(self, fault: StreamFault, *, after_events: int = 0) -> None:
        """Let *fault* happen, at once or after that many events of this stream."""
        self._fault, self._after_events = fault, after_events
        self._apply()

    async def forward(self) -> None:
        """Forward until one side or a fault ends the stream."""
        waits = (self._forward(), self._ended.wait(), self._from_client.read())
        tasks = [asyncio.ensure_future(wait) for wait in waits]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _forward(self) -> None:
        while True:
            try:
                chunk = await read_chunk(self._upstream)
            except (OSError, asyncio.IncompleteReadError):
                reset(self._client)
                return
            if self._fault is StreamFault.SILENCE and self.events >= self._after_events:
                continue
            self._client.write(chunk)
            if is_last_chunk(chunk):
                return
            # An event is a line, and may take several chunks.
            self.events += chunk.split(b"\r\n", 1)[1].count(b"\n") - 1
            self._is_between_events = chunk.endswith(b"\n\r\n")
            self._apply()
            if self._ended.is_set():
                return
            with contextlib.suppress(ConnectionError):
                await self._client.drain()

    def _apply(self) -> None:
        if self._fault is None or self.events < self._after_events or not self._is_between_events:
            return
        if self._fault is StreamFault.SILENCE:
            return
        if self._fault is StreamFault.CUT:
            reset(self._client)
        else:
            if self._fault is StreamFault.EXPIRE:
                gone = status_body(410, "Expired", "too old resource version: 1 (2)")
                event = b'{"type":"ERROR","object":' + gone + b"}\n"
                self._client.write(b"%x\r\n%b\r\n" % (len(event), event))
            self._client.write(b"0\r\n\r\n")
        self._ended.set()


def reset(client: asyncio.StreamWriter) -> None:
    """End a connection as a network does that has lost it: nothing that is still on its way arrives."""
    connection = client.get_extra_info("socket")
    if connection is not None:  # there is none any more once the client has gone
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.transport.abort()
