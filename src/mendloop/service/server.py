"""HTTP: the doors for findings on one address; health and metrics on another."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import time
from http import HTTPStatus
from typing import Protocol

from aiohttp import web

from mendloop.core.errors import StateError
from mendloop.core.text import redact_secrets
from mendloop.service.bodies import Refusal
from mendloop.service.connections import Connection, Gate
from mendloop.service.health import Health
from mendloop.service.metrics import Metrics
from mendloop.service.traces import SpanKind, span

__all__ = ["Door", "Listener", "admin_app", "intake_app"]

_log = logging.getLogger(__name__)


_RETRY_AFTER = {"Retry-After": "5"}
_LAST_ANSWERS_SECONDS = 5.0


class Door(Protocol):
    """
    A way in.

    Attributes:
        name: For metrics and the history.
        path: Where it is.
    """

    name: str
    path: str

    async def take(self, request: web.Request) -> tuple[str, str]:
        """
        Take one delivery in; it is stored when this returns.

        Returns:
            What was done with it in one word, "queued" or "ignored", and in words.

        Raises:
            Refusal: It is not taken, and left nothing behind.
            StateError: The store refused; the sender may send it again.
        """


def intake_app(doors: list[Door], *, metrics: Metrics, health: Health) -> web.Application:
    """Make the application that senders talk to."""
    app = _app()

    def handler(door: Door) -> object:
        async def handle(request: web.Request) -> web.StreamResponse:
            with span(f"POST {door.path}", kind=SpanKind.SERVER) as served:
                answer = await _answer(door, request, metrics, health)
                served.set_attribute("http.response.status_code", answer.status)
                return answer

        return handle

    for door in doors:
        app.router.add_post(door.path, handler(door))  # type: ignore[arg-type]
    return app


async def _answer(
    door: Door, request: web.Request, metrics: Metrics, health: Health
) -> web.StreamResponse:
    begun_seconds = time.monotonic()
    status, headers = 202, {}
    try:
        if health.is_stopping:
            raise Refusal(503, "stopping", "the service is stopping: send it again")  # noqa: TRY301
        outcome, reason = await door.take(request)
    except Refusal as refusal:
        status, outcome, reason = refusal.status, refusal.outcome, refusal.reason
    except StateError as error:
        _log.warning("a delivery to %s could not be stored: %s", door.path, error)
        status, outcome, reason = 503, "unstored", "it could not be stored: send it again"
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers = _RETRY_AFTER
    metrics.deliveries.labels(door.name, outcome).inc()
    metrics.delivery_seconds.labels(door.name).observe(time.monotonic() - begun_seconds)
    # It may quote what was sent, and a sender may log what it is answered.
    told = {"reason": redact_secrets(reason)} if reason else {}
    answer = {"result": outcome, **told}
    return web.json_response(answer, status=status, headers=headers)


def admin_app(*, metrics: Metrics, health: Health) -> web.Application:
    """Make the application that probes and Prometheus talk to."""

    def probed(reason: str) -> web.Response:
        if reason:
            return web.json_response({"status": "failing", "reason": reason}, status=503)
        return web.json_response({"status": "ok", "reason": ""})

    async def healthz(_request: web.Request) -> web.StreamResponse:
        return probed(health.liveness())

    async def readyz(_request: web.Request) -> web.StreamResponse:
        return probed(health.readiness())

    async def exposition(_request: web.Request) -> web.StreamResponse:
        headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=metrics.exposition(), headers=headers)

    app = _app()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", exposition)
    return app


def _app() -> web.Application:
    app = web.Application(middlewares=[_connected, _plain_errors])
    app.on_response_prepare.append(_keep_versions_back)
    return app


async def _keep_versions_back(_request: web.Request, response: web.StreamResponse) -> None:
    """Tell no stranger which versions of what run here."""
    response.headers.pop("Server", None)


@web.middleware
async def _connected(request: web.Request, handler: object) -> web.StreamResponse:
    """Have its connection know what is answered; whoever is refused keeps none."""
    connection = request.protocol
    assert isinstance(connection, Connection)  # noqa: S101 - the gate has made it
    connection.begin(request)
    try:
        answer: web.StreamResponse = await handler(request)  # type: ignore[operator]
    finally:
        connection.asked = None
    if HTTPStatus.BAD_REQUEST <= answer.status < HTTPStatus.INTERNAL_SERVER_ERROR:
        answer.force_close()
    return answer


@web.middleware
async def _plain_errors(request: web.Request, handler: object) -> web.StreamResponse:
    """Answer what goes wrong as the rest is answered, and show nobody what is inside."""
    try:
        return await handler(request)  # type: ignore[operator,no-any-return]
    except web.HTTPException as error:
        return web.json_response({"result": "refused", "reason": error.reason}, status=error.status)
    except Exception:  # noqa: BLE001 - whatever it is, the sender is answered
        _log.exception("a request failed: %s %s", request.method, request.path)
        return web.json_response({"result": "failed", "reason": "see the log"}, status=500)


class Listener:
    """
    One application on one address.

    Attributes:
        host: That it listens on.
        port: That it listens on; the one that the system chose where 0 was asked for.
    """

    def __init__(self, app: web.Application, host: str, port: int) -> None:
        """Listen to nothing yet."""
        self._runner = web.AppRunner(
            app,
            handle_signals=False,
            shutdown_timeout=_LAST_ANSWERS_SECONDS,
        )
        self._listening: asyncio.Server | None = None
        self.host = host
        self.port = port

    async def start(self) -> None:
        """
        Listen from now on.

        Raises:
            OSError: The address is taken, or not ours.
        """
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        try:
            server = await loop.create_server(self._gate, self.host, self.port, backlog=1024)
        except OSError as error:
            # What the system says; asyncio adds the address, which is told already.
            number = error.errno or 0
            why = os.strerror(number) if number in errno.errorcode else error.strerror
            raise OSError(
                f"{self.host}:{self.port} cannot be listened on: {why}; "
                "choose another by --listen or --admin-listen"
            ) from error
        self._listening = server
        self.port = int(self._listening.sockets[0].getsockname()[1])

    async def stop_accepting(self) -> None:
        """Take no new connection; those that are open are answered."""
        if self._listening is not None:
            self._listening.close()
            self._listening = None

    async def close(self) -> None:
        """Take no new connection, wait for those under way, and let go. Idempotent."""
        await self.stop_accepting()
        await self._runner.cleanup()

    def _gate(self) -> asyncio.Protocol:
        assert self._runner.server is not None  # noqa: S101 - it listens since it was set up
        return Gate(self._runner.server)
