"""
Requests to an API server, as raw bytes: one session, one pool of connections, one way to fail.

A request is sent again by itself only where that is safe: a read, or what the server said that it
did not begin. What becomes of a write whose answer was lost is the caller's to find out.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping

import aiohttp

from mendloop.core.errors import AccessError, NotPermitted, StoreError, StoreUnavailable
from mendloop.kube.access import Access
from mendloop.kube.connections import connection_errors, send_once
from mendloop.kube.errors import Answer, Call, from_answer, is_absent, no_namespace
from mendloop.kube.requests import Request, Resource
from mendloop.kube.throttle import Throttle
from mendloop.telemetry import Telemetry, Untold

__all__ = ["FIELD_MANAGER", "Api"]

FIELD_MANAGER = "state-manager"
"""Whom the server takes for the writer of our fields; the specification's name."""

_CONNECT_SECONDS = 10.0
_LAST_WORDS_SECONDS = 0.25
"""So long TLS may take to end a connection (aiohttp's documents, "Graceful Shutdown")."""

_CREATED_BY = {"fieldManager": FIELD_MANAGER}
_APPLIED_BY = {"fieldManager": FIELD_MANAGER, "force": "true"}
_CONNECTIONS = 100
_DOUBT_SECONDS = 5.0
_DOUBT_PAUSE_SECONDS = 0.2
_REDIRECTS = 300


class Api:
    """
    One user's requests to one API server, in the namespace of its access.

    Every method may raise `StoreUnavailable` (``maybe_stored`` says whether a write may have
    landed), `AccessError`, `NotPermitted` or `StoreFull`, and any `StoreError` for what should not
    happen. May be used from any task of one event loop.
    """

    def __init__(
        self,
        access: Access,
        *,
        patience_seconds: float = 30.0,
        answer_seconds: float = 30.0,
        telemetry: Telemetry | None = None,
    ) -> None:
        """
        Send nothing yet.

        Args:
            access: The way to the server; `close` closes it too.
            patience_seconds: How long one call waits, at most, where the server wants it to come
                later.
            answer_seconds: How long one answer may take, from the connection to its last byte.
            telemetry: Is told what the server puts off.
        """
        self._access = access
        self._timeout = aiohttp.ClientTimeout(total=answer_seconds, sock_connect=_CONNECT_SECONDS)
        self._patience_seconds = patience_seconds
        self._session: aiohttp.ClientSession | None = None
        self._throttle = Throttle()
        self._telemetry = telemetry or Untold()
        self._permitted: set[tuple[str, str]] = set()
        self._under_way = 0
        self._is_quiet = asyncio.Event()
        self._is_closed = False
        self._was_cut_off = False

    @property
    def namespace(self) -> str:
        """Where the objects are."""
        return self._access.namespace

    @property
    def server(self) -> str:
        """Its URL, for messages."""
        return self._access.server

    async def get(self, resource: Resource, name: str) -> bytes | None:
        """Read the newest version of an object, or None where there is none."""
        request = self._request("get", resource, name)
        answer = await self._ask(request)
        if isinstance(answer, Answer) and is_absent(answer, request.call):
            return None
        return self._good(answer, request)

    async def list(self, resource: Resource, query: Mapping[str, str]) -> bytes:
        """
        Read one page of a listing.

        Args:
            resource: What to list.
            query: labelSelector, limit and continue.

        Raises:
            VersionExpired: The place to go on at has expired.
        """
        request = self._request("list", resource, query=query)
        return self._good(await self._ask(request), request)

    async def check_namespace(self) -> None:
        """
        Make sure that the namespace is there, as far as the server tells this user.

        Raises:
            AccessError: It is not there.
        """
        call = Call(
            verb="get", resource="namespaces", namespace=self.namespace, name=self.namespace
        )
        path = f"/api/v1/namespaces/{self.namespace}"
        request = Request(call, path, {}, None, self._timeout)
        answer = await self._ask(request)
        if not isinstance(answer, Answer) or answer.meaning is NotPermitted:
            return
        if is_absent(answer, call):
            raise no_namespace(self.namespace)
        raise from_answer(answer, call, self.server)

    async def create(self, resource: Resource, body: bytes) -> bytes:
        """
        Make an object; returns it as it was stored.

        Raises:
            DocumentExists: There is one of that name.
            TooLarge: The server takes no such body.
        """
        request = self._request("create", resource, query=_CREATED_BY, body=body)
        return self._good(await self._ask(request), request)

    async def apply(self, resource: Resource, name: str, body: bytes) -> bytes:
        """
        Apply a part of an object, and own it whoever has owned it before; returns it as stored.

        Args:
            resource: What the object is.
            name: Of the object.
            body: With the uid and the resourceVersion that it was decided on, or else it writes
                over whatever is there.

        Raises:
            RevisionConflict: The object moved, is gone, or is another one.
            TooLarge: The server takes no such body.
        """
        request = self._request("patch", resource, name, query=_APPLIED_BY, body=body)
        return self._good(await self._ask(request), request)

    async def delete(self, resource: Resource, name: str, body: bytes) -> None:
        """
        Remove an object.

        Args:
            resource: What the object is.
            name: Of the object.
            body: DeleteOptions, with the preconditions that it was decided on.

        Raises:
            RevisionConflict: The object moved, is gone, or is another one.
        """
        request = self._request("delete", resource, name, body=body)
        self._good(await self._ask(request), request)

    @contextlib.asynccontextmanager
    async def watch(
        self, resource: Resource, query: Mapping[str, str], *, silence_seconds: float
    ) -> AsyncGenerator[AsyncIterator[bytes], None]:
        """
        Read what the server sends of a watch, in pieces as they come.

        Args:
            resource: What to watch.
            query: labelSelector, resourceVersion and the like.
            silence_seconds: The stream is given up when nothing came for so long.

        Raises:
            VersionExpired: The version to go on from has expired.
        """
        timeout = aiohttp.ClientTimeout(sock_connect=_CONNECT_SECONDS, sock_read=silence_seconds)
        request = self._request("watch", resource, query={"watch": "1", **query}, timeout=timeout)
        self._was_cut_off = True  # a watch has no other end
        response = await self._respond(request)
        if isinstance(response, Answer):
            raise from_answer(response, request.call, self.server)
        async with response:
            try:
                yield self._pieces(response, request.call)
            finally:
                # An orderly end would need the server's help, and nobody waits for it.
                connection = response.connection
                if connection is not None and connection.transport is not None:
                    connection.transport.abort()

    async def close(self) -> None:
        """Refuse new calls, wait for those under way, and let go of the connections. Idempotent."""
        self._is_closed = True
        while self._under_way:
            self._is_quiet.clear()
            await self._is_quiet.wait()
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        if self._was_cut_off:
            # A connection that was left within a call is closed with the server's help.
            await asyncio.sleep(_LAST_WORDS_SECONDS)
        await self._access.close()

    async def _ask(self, request: Request) -> bytes | Answer:
        """Have *request* answered, and read all of the answer."""
        self._check_open()
        self._under_way += 1
        try:
            response = await self._respond(request)
            if isinstance(response, Answer):
                return response
            async with response:
                with connection_errors(self.server, request.call):
                    return await response.read()
        except BaseException:
            self._was_cut_off = True
            raise
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._is_quiet.set()

    def _good(self, answer: bytes | Answer, request: Request) -> bytes:
        if isinstance(answer, Answer):
            raise from_answer(answer, request.call, self.server)
        return answer

    async def _pieces(
        self, response: aiohttp.ClientResponse, call: Call
    ) -> AsyncGenerator[bytes, None]:
        with connection_errors(self.server, call):
            async for piece in response.content.iter_any():
                yield piece

    async def _respond(self, request: Request) -> aiohttp.ClientResponse | Answer:
        """Send *request*, again where that is safe, until there is an answer that stands."""
        now = asyncio.get_running_loop().time
        give_up_at = now() + self._patience_seconds
        doubt_until = min(now() + _DOUBT_SECONDS, give_up_at)
        has_new_credentials = False
        while True:
            response = await self._in_turn(request, give_up_at)
            if not isinstance(response, Answer):
                self._permitted.add(request.call.right)
                return response
            if response.meaning is NotPermitted:
                # A server that has just begun knows of no rights yet, and refuses everybody.
                if request.call.right not in self._permitted or now() > doubt_until:
                    self._permitted.discard(request.call.right)
                    return response
                await asyncio.sleep(_DOUBT_PAUSE_SECONDS)
            elif response.meaning is AccessError:
                if has_new_credentials:
                    raise self._access.refused()
                self._access.forget_credentials()
                has_new_credentials = True
            elif not response.allows_again(request.call):
                if response.meaning is not StoreUnavailable:
                    self._permitted.add(request.call.right)
                return response

    async def _in_turn(
        self, request: Request, give_up_at: float
    ) -> aiohttp.ClientResponse | Answer:
        """Send *request* once, and not before the server wants to be asked."""
        pause_seconds = self._throttle.pause_seconds
        try:
            if asyncio.get_running_loop().time() + pause_seconds > give_up_at:
                raise self._put_off(request)
            async with asyncio.timeout_at(give_up_at) as waiting, self._throttle.turn():
                waiting.reschedule(None)
                self._check_open()
                response = await self._send(request)
                asked_seconds = getattr(response, "retry_after_seconds", None)
                if asked_seconds is None:
                    self._throttle.open()
                else:
                    self._throttle.close(asked_seconds)
                    self._telemetry.throttled()
                return response
        except TimeoutError as error:
            raise self._put_off(request) from error

    def _put_off(self, request: Request) -> StoreUnavailable:
        return StoreUnavailable(
            f"{self.server}: {request.call}: the server is overloaded, and wants to be "
            f"asked in {self._throttle.pause_seconds:.0f} s; nothing was done: try again later"
        )

    async def _send(self, request: Request) -> aiohttp.ClientResponse | Answer:
        headers = await self._access.headers()
        headers.update(request.headers)
        headers["Accept-Encoding"] = "identity" if self._access.disable_compression else "gzip"
        with connection_errors(self.server, request.call):
            response = await self._opened().request(
                request.method,
                f"{self.server}{request.path}",
                params=request.query,
                data=request.content,
                headers=headers,
                timeout=request.timeout,
                allow_redirects=False,
                ssl=self._access.ssl or True,
                server_hostname=self._access.server_hostname,
                proxy=self._access.proxy,
                middlewares=(send_once,) if request.call.is_write else (),
            )
            if response.status < _REDIRECTS:
                return response
            async with response:
                retry_after = response.headers.get("Retry-After", "")
                return Answer(response.status, await response.read(), retry_after)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_CONNECTIONS),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    def _check_open(self) -> None:
        if self._is_closed:
            raise StoreError("the store is closed: open it again")

    def _request(
        self,
        verb: str,
        resource: Resource,
        name: str = "",
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout: aiohttp.ClientTimeout | None = None,
    ) -> Request:
        call = Call(
            verb=verb,
            resource=resource.plural,
            namespace=self.namespace,
            name=name,
            size_bytes=len(body or b""),
        )
        path = f"{resource.group_path}/namespaces/{self.namespace}/{resource.plural}"
        return Request(
            call, f"{path}/{name}" if name else path, query or {}, body, timeout or self._timeout
        )
