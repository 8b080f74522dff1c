"""The proxy: HTTPS on both sides, one request after another on each connection."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from http import HTTPStatus
from types import TracebackType
from typing import Self

import msgspec
from controlplane.cluster import Cluster
from controlplane.server import free_port

from fault_proxy.faults import Ending, Fault, StreamFault
from fault_proxy.messages import (
    Request,
    read_answer_body,
    read_answer_head,
    read_request,
)
from fault_proxy.script import Choose, never
from fault_proxy.streams import WatchStream, reset
from fault_proxy.upstreams import LONGEST_LINE_BYTES, Upstream, Upstreams

__all__ = ["Exchange", "FaultProxy"]

_NO_FAULT = Fault()
_DRIPS_PER_SECOND = 20


class Exchange(msgspec.Struct):
    """
    One request that the proxy got.

    Attributes:
        at: When, in seconds of the event loop's clock.
        request: What was asked.
        fault: What it met, if anything.
        status: What the client was answered; 0 for nothing, or nothing yet.
    """

    at: float
    request: Request
    fault: Fault | None
    status: int = 0


class FaultProxy:
    """
    Stands in front of an API server and lets a test choose what goes wrong on the way.

    A context manager; it runs in the event loop of the test. It shows the API server's own
    certificate, so that a client needs no other authority.

    Attributes:
        choose: Asked for the fault of each request; see `fault_proxy.script`.
        cluster: The cluster as it is seen through the proxy: its url, its kubeconfig.
        connections: How many there have been.
        exchanges: The requests so far.

    Args:
        cluster: Whose API server it is.
    """

    def __init__(self, cluster: Cluster, choose: Choose = never) -> None:
        self.choose = choose
        self.connections = 0
        self.exchanges: list[Exchange] = []
        self.cluster = Cluster(cluster.folder, cluster.binaries, free_port(), cluster.admin_token)
        self._certificate = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._certificate.load_cert_chain(cluster.ca_file, cluster.ca_file.with_suffix(".key"))
        self._upstreams = Upstreams(cluster.port, cluster.ca_file)
        self._server: asyncio.Server | None = None
        self._serving: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._streams: set[WatchStream] = set()
        self._flows = asyncio.Event()
        self._flows.set()

    async def __aenter__(self) -> Self:
        """Take connections."""
        await self._listen()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End all connections, with resets."""
        await self._stop()

    def count(self, verb: str = "", resource: str = "") -> int:
        """How many requests there were so far, of one verb or any, about one resource or any."""
        requests = (exchange.request for exchange in self.exchanges)
        return sum(
            verb in {"", request.verb} and resource in {"", request.resource}
            for request in requests
        )

    @property
    def watches(self) -> int:
        """How many watches are open."""
        return len(self._streams)

    def spoil_watches(self, fault: StreamFault) -> None:
        """Let *fault* happen to every watch that is open now."""
        for stream in list(self._streams):
            stream.spoil(fault)

    @contextlib.asynccontextmanager
    async def outage(self) -> AsyncIterator[None]:
        """Reset all connections and refuse new ones inside the block."""
        await self._stop()
        try:
            yield
        finally:
            await self._listen()

    @contextlib.asynccontextmanager
    async def standstill(self) -> AsyncIterator[None]:
        """Take connections and requests inside the block, and forward nothing until its end."""
        self._flows.clear()
        try:
            yield
        finally:
            self._flows.set()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(
            self._serve,
            "127.0.0.1",
            self.cluster.port,
            ssl=self._certificate,
            limit=LONGEST_LINE_BYTES,
        )

    async def _stop(self) -> None:
        assert self._server is not None
        self._server.close()
        serving = dict(self._serving)
        for task, client in serving.items():
            reset(client)
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        await self._upstreams.end()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving[task] = client
        self.connections += 1
        try:
            while await self._serve_one(reader, client):
                pass
        except (OSError, asyncio.IncompleteReadError):
            reset(client)
        except asyncio.CancelledError:
            return  # whoever stops us has reset it
        finally:
            del self._serving[task]
            client.close()

    async def _serve_one(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> bool:
        """Serve one request; returns whether the connection may bring another."""
        request = await read_request(reader)
        if request is None:
            return False
        met = self.choose(request)
        exchange = Exchange(asyncio.get_running_loop().time(), request, met)
        self.exchanges.append(exchange)
        fault = met or _NO_FAULT
        await asyncio.sleep(fault.delay_seconds)
        await self._flows.wait()
        answer = fault.answer and (fault.answer.status, fault.answer.raw())
        if fault.is_forwarded:
            async with self._upstreams.lend() as upstream:
                theirs = await self._ask(upstream, exchange, fault, reader, client)
            if theirs is None:
                return False
            answer = answer or theirs
        await self._flows.wait()
        if answer is None or fault.ending in {Ending.RESET, Ending.SILENCE}:
            if fault.ending is Ending.SILENCE:
                await reader.read()
            reset(client)
            return False
        exchange.status = answer[0]
        return await _give(client, answer[1], fault)

    async def _ask(
        self,
        upstream: Upstream,
        exchange: Exchange,
        fault: Fault,
        reader: asyncio.StreamReader,
        client: asyncio.StreamWriter,
    ) -> tuple[int, bytes] | None:
        """Ask the API server; returns its answer, or None where the client needs none any more."""
        upstream.is_reusable = False
        upstream.writer.write(exchange.request.raw)
        await upstream.writer.drain()
        if fault.ending is Ending.RESET_AT_ONCE:
            reset(client)
            return None
        head = await read_answer_head(upstream.reader)
        if exchange.request.verb == "watch" and head.status == HTTPStatus.OK:
            exchange.status = head.status
            client.write(head.raw)
            stream = WatchStream(upstream.reader, client, reader)
            if fault.stream:
                stream.spoil(fault.stream, after_events=fault.after_events)
            self._streams.add(stream)
            try:
                await stream.forward()
            finally:
                self._streams.remove(stream)
            return None
        body = await read_answer_body(upstream.reader, exchange.request, head)
        upstream.is_reusable = True
        return head.status, head.raw + body


async def _give(client: asyncio.StreamWriter, answer: bytes, fault: Fault) -> bool:
    """Write the answer, or half of its body; returns whether the connection may be used again."""
    if fault.ending is Ending.HALF:
        body = answer.index(b"\r\n\r\n") + 4
        client.write(answer[: (body + len(answer)) // 2])
        await client.drain()
        # A reset would take from the client what it has not read yet.
        client.close()
        return False
    step = fault.drip_bytes_per_second // _DRIPS_PER_SECOND or len(answer)
    for place in range(0, len(answer), step):
        client.write(answer[place : place + step])
        await client.drain()
        if fault.drip_bytes_per_second:
            await asyncio.sleep(1 / _DRIPS_PER_SECOND)
    return True
