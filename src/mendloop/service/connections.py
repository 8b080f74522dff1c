"""Connections to one address: how many there are, how long a silent one lasts, and what no HTTP is told."""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus

from aiohttp import web
from aiohttp.http import HttpProcessingError

__all__ = ["Connection", "Gate"]

_HEADERS_MOST_BYTES = 8190
_HEAD_SECONDS = 10.0
_IDLE_SECONDS = 75.0
"""Longer than reverse proxies keep a connection that nobody uses."""

_CONNECTIONS_MOST = 384
"""On one address; with those of the other and what the store opens it stays below 1,024 files."""


class _Terse(logging.Filter):
    """Tells in one line of what a stranger sent that is no HTTP: it is no error of ours."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], HttpProcessingError):
            record.exc_info = None
            record.levelno, record.levelname = logging.INFO, "INFO"
        return True


_http_log = logging.getLogger("mendloop.service.server.http")
_http_log.addFilter(_Terse())


class Connection(web.RequestHandler):
    """
    One connection.

    Attributes:
        asked: The request that is being answered, or None.
        heard_seconds: When something came last, on the clock of the event loop.
        is_ended: Whether its place was given to another.
    """

    def __init__(self, server: web.Server, loop: asyncio.AbstractEventLoop) -> None:
        """Belong to *server*."""
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]
            logger=_http_log,
            max_line_size=_HEADERS_MOST_BYTES,
            max_field_size=_HEADERS_MOST_BYTES,
            keepalive_timeout=_IDLE_SECONDS,
            auto_decompress=False,
        )
        self.asked: web.BaseRequest | None = None
        self.heard_seconds = loop.time()
        self.is_ended = False
        self._patience = loop.call_later(_HEAD_SECONDS, self.end)

    @property
    def waits_for_its_sender(self) -> bool:
        """Whether nothing is to be answered that has come whole."""
        return self.asked is None or not self.asked.content.is_eof()

    def begin(self, request: web.BaseRequest) -> None:
        """Answer *request*, whose head is there."""
        self._patience.cancel()
        self.asked = request

    def end(self) -> None:
        """End it at once, without a word: nobody listens."""
        self.is_ended = True
        if self.transport is not None:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take in what came."""
        self.heard_seconds = asyncio.get_running_loop().time()
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Let go of it."""
        self._patience.cancel()
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP as the rest is answered, and repeat nothing of it."""
        super().handle_error(request, status, exc, message)
        told = {"result": "refused", "reason": HTTPStatus(status).phrase}
        # Where it is not set, aiohttp names itself and its version.
        answer = web.json_response(told, status=status, headers={"Server": ""})
        answer.force_close()
        return answer


class Gate(asyncio.Protocol):
    """
    Hands a connection on to the server.

    Where there are too many, the one ends whose sender has been silent for longest in the middle of a
    request, or between two: whoever opens them all and says nothing shuts nobody out.
    """

    def __init__(self, server: web.Server) -> None:
        """Hand on to *server*."""
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let it in where there is room, or room can be made."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - it is a stream's
        if not self._has_room():
            transport.abort()
            return
        connection = Connection(self._server, asyncio.get_running_loop())
        transport.set_protocol(connection)
        connection.connection_made(transport)

    def _has_room(self) -> bool:
        """Whether there is room for one more, if need be since another has ended."""
        there = [one for one in self._server.connections if isinstance(one, Connection)]
        living = [one for one in there if not one.is_ended]
        if len(living) < _CONNECTIONS_MOST:
            return True
        silent = [one for one in living if one.waits_for_its_sender]
        if not silent:
            return False
        min(silent, key=lambda one: one.heard_seconds).end()
        return True
