"""What is said where a connection fails: where to, what happened, what to check; on real sockets."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from kube_client import CONFIGMAPS
from wire import Pki

from mendloop.core.errors import AccessError, StateError, StoreUnavailable
from mendloop.kube.access import load_access
from mendloop.kube.api import Api

Answerer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_LIBRARY_WORDS = re.compile(r"<|>|\[|\]|Errno|object at|ssl:|_ssl|Error\b|None")
"""What a person can do nothing with."""


async def in_plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()


async def closed_at_once(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def reset_at_once(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    reset(writer)


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def closed_after_the_request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.close()


async def reset_after_the_request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    await reader.readuntil(b"\r\n\r\n")
    reset(writer)


async def cut_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
    await writer.drain()
    writer.close()


async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"220 mail.example.com ESMTP\r\n\r\n")
    await writer.drain()
    writer.close()


def reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


Ask = Callable[..., Awaitable[StateError]]


@pytest.fixture
async def ask(pki: Pki, tmp_path: Path) -> AsyncIterator[Ask]:
    """Ask a server of a URL, and be told what is wrong."""
    async with AsyncExitStack() as stack:

        async def ask_one(url: str, **cluster: Any) -> StateError:
            config = {
                "clusters": [{"name": "c", "cluster": {"server": url} | cluster}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "users": [{"name": "u", "user": {"token": "t"}}],
                "current-context": "x",
            }
            path = pki.folder / "config"
            path.write_text(json.dumps({"apiVersion": "v1", "kind": "Config"} | config))
            api = Api(await load_access(kubeconfig=str(path)), answer_seconds=1)
            stack.push_async_callback(api.close)
            with pytest.raises(StateError) as caught:
                await api.get(CONFIGMAPS, "a")
            return caught.value

        yield ask_one


Serve = Callable[..., Awaitable[int]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Listen on a port, with TLS where a context is given; returns the port."""
    async with AsyncExitStack() as stack:

        async def serve_one(answer: Answerer, context: ssl.SSLContext | None = None) -> int:
            async def answer_and_end(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter
            ) -> None:
                await answer(reader, writer)
                writer.close()

            server = await asyncio.start_server(answer_and_end, "127.0.0.1", 0, ssl=context)
            stack.callback(server.close)
            port: int = server.sockets[0].getsockname()[1]
            return port

        yield serve_one


def unused_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def is_plain(told: StateError) -> bool:
    return _LIBRARY_WORDS.search(str(told)) is None


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (in_plain, r"cannot connect: 127\.0\.0\.1:\d+ does not speak TLS .*: is this its port\?"),
        (closed_at_once, r"127\.0\.0\.1:\d+ (ends|does not speak)"),
        (reset_at_once, r"127\.0\.0\.1:\d+ ends connections at once"),
        (silent, r"no answer came in time"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_no_server_with_tls(ask: Ask, serve: Serve, answer: Answerer, words: str) -> None:
    """What listens and is no API server is told as what it does."""
    told = await ask(f"https://127.0.0.1:{await serve(answer)}")

    assert (StoreUnavailable, True) == (type(told), is_plain(told)), str(told)
    assert re.search(words, str(told)), str(told)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (silent, "the connection failed: no answer came in time"),
        (closed_after_the_request, "the connection failed: the server closed it without an answer"),
        (reset_after_the_request, "the connection failed: it was reset by the server"),
        (cut_off, "the connection failed: it ended in the middle of the answer"),
        (garbage, "the connection failed: what came is no HTTP: is that an API server?"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_lost_answer(ask: Ask, serve: Serve, answer: Answerer, words: str) -> None:
    """What becomes of a connection after the request is told in words."""
    told = await ask(f"http://127.0.0.1:{await serve(answer)}")

    assert (StoreUnavailable, True) == (type(told), is_plain(told)), str(told)
    assert words in str(told)


async def test_nobody_there(ask: Ask) -> None:
    """A port where nobody listens, a name without an address and a proxy that is off are named."""
    port = unused_port()
    refused = await ask(f"https://127.0.0.1:{port}")
    unknown = await ask("https://api.no-such-name.invalid:6443")
    proxy = await ask("https://api.example.com", **{"proxy-url": f"http://me:pw@127.0.0.1:{port}"})

    for told in (refused, unknown, proxy):
        assert (StoreUnavailable, True) == (type(told), is_plain(told)), str(told)
    assert f"127.0.0.1:{port} refuses connections: is the server running" in str(refused)
    assert "api.no-such-name.invalid:6443: no address is known for this name" in str(unknown)
    assert f"the proxy 127.0.0.1:{port} refuses connections" in str(proxy)
    assert "pw" not in str(proxy)


async def test_certificates(ask: Ask, serve: Serve, pki: Pki) -> None:
    """A certificate of a stranger and one for another name are told apart, with what to correct."""
    strange = await serve(silent, pki.server_context("127.0.0.1"))
    other = await serve(silent, pki.server_context("api.example.com"))
    stranger = await ask(
        f"https://127.0.0.1:{strange}",
        **{"certificate-authority": str(pki.folder / "stranger.pem")},
    )
    misnamed = await ask(
        f"https://127.0.0.1:{other}", **{"certificate-authority": str(pki.folder / "ca.pem")}
    )

    for told in (stranger, misnamed):
        assert (AccessError, True) == (type(told), is_plain(told)), str(told)
    assert "its certificate-authority in the kubeconfig" in str(stranger)
    assert "for another name (IP address mismatch" in str(misnamed)
    assert "tls-server-name" in str(misnamed)
