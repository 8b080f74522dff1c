"""Deliveries that GitHub did not send: unsigned, changed, cut, encoded otherwise, or no HTTP at all."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import random
from collections.abc import Callable
from urllib.parse import urlencode, urlsplit

from hook_sender import Hook, headers_of

__all__ = ["KINDS", "hostile", "hostile_bytes", "send_bytes"]

_SIGNATURE = "X-Hub-Signature-256"
_PATIENCE_SECONDS = 30.0


def _flipped(dice: random.Random, body: bytes) -> bytes:
    place = dice.randrange(len(body))
    return body[:place] + bytes([body[place] ^ (1 << dice.randrange(8))]) + body[place + 1 :]


def _reordered(_dice: random.Random, body: bytes) -> bytes:
    return json.dumps(dict(reversed(json.loads(body).items()))).encode()


_BODIES: dict[str, Callable[[random.Random, bytes], bytes]] = {
    "a bit is other": _flipped,
    "cut": lambda dice, body: body[: dice.randrange(len(body))],
    "longer": lambda dice, body: body + dice.randbytes(dice.randrange(1, 4)),
    "with a line end": lambda _, body: body + b"\n",
    "in other words of JSON": _reordered,
    "in UTF-16": lambda _, body: body.decode().encode("utf-16"),
    "with a byte order mark": lambda _, body: b"\xef\xbb\xbf" + body,
    "compressed, and not said so": lambda _, body: gzip.compress(body),
    "as a form": lambda _, body: urlencode({"payload": body.decode()}).encode(),
    "twice": lambda _, body: body + body,
    "random": lambda dice, _: dice.randbytes(dice.randrange(2000)),
    "empty": lambda _dice, _body: b"",
    "open brackets": lambda dice, _: b"[" * dice.randrange(1, 100_000),
}
_HEADERS: dict[str, Callable[[random.Random, dict[str, str]], dict[str, str]]] = {
    "unsigned": lambda _, headers: {
        name: value for name, value in headers.items() if name != _SIGNATURE
    },
    "a signature of the older kind": lambda _, headers: {
        "X-Hub-Signature": f"sha1={headers[_SIGNATURE][7:47]}",
        **{name: value for name, value in headers.items() if name != _SIGNATURE},
    },
    "a signature that is cut": lambda dice, headers: {
        **headers,
        _SIGNATURE: headers[_SIGNATURE][: dice.randrange(71)],
    },
    "a signature in capitals": lambda _, headers: {
        **headers,
        _SIGNATURE: headers[_SIGNATURE].upper(),
    },
    "a signature of random digits": lambda dice, headers: {
        **headers,
        _SIGNATURE: f"sha256={dice.randbytes(32).hex()}",
    },
    "two signatures in one": lambda _, headers: {
        **headers,
        _SIGNATURE: f"{headers[_SIGNATURE]}, {headers[_SIGNATURE]}",
    },
    "said to be compressed": lambda _, headers: {**headers, "Content-Encoding": "gzip"},
    "unsigned, of another type": lambda dice, headers: {
        "X-GitHub-Event": headers["X-GitHub-Event"],
        "Content-Type": dice.choice(
            ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "x", ""]
        ),
    },
}
KINDS = (*_BODIES, *_HEADERS, "signed by another")


def hostile(
    kind: str, dice: random.Random, good: Hook, secret: bytes
) -> tuple[bytes, dict[str, str]]:
    """A body and headers of one of `KINDS`, made of a delivery that would be let in."""
    body, headers = good.body, headers_of(good, secret)
    if kind in _BODIES:
        return _BODIES[kind](dice, body), headers
    if kind in _HEADERS:
        return body, _HEADERS[kind](dice, headers)
    return body, headers_of(good, secret[:-1] + b"x")


def hostile_bytes(dice: random.Random, good: Hook, secret: bytes) -> bytes:
    """What is sent over a connection that then ends: a request that is not whole, or is none."""
    lines = [f"{name}: {value}" for name, value in headers_of(good, secret).items()]
    head = "\r\n".join(["POST /v1/github HTTP/1.1", "Host: mendloop", *lines])
    length = len(good.body)
    whole = f"{head}\r\nContent-Length: {length}\r\n\r\n".encode() + good.body
    chunked = f"{head}\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n".encode() + good.body
    kinds = (
        whole[: dice.randrange(1, len(whole) - 1)],
        chunked[: dice.randrange(1, len(chunked) - 1)],
        chunked,
        chunked + b"\r\nffffffffffffffffffff\r\n",
        chunked.replace(b"chunked\r\n", b"chunked, gzip\r\n", 1),
        whole.replace(b"HTTP/1.1", b"HTTP/9.9", 1),
        whole.replace(b"Host: mendloop", b"Host: mendloop\r\n bad\x00: \xff", 1),
        whole.replace(f"Content-Length: {length}".encode(), b"Content-Length: -1", 1),
        whole.replace(b"Host: mendloop", b"X: " + b"a" * 20_000, 1),
        dice.randbytes(dice.randrange(1, 2000)),
    )
    return dice.choice(kinds)


async def send_bytes(url: str, sent: bytes) -> bytes:
    """Send *sent* and no more; what comes back, however it ends."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    got = b""
    with contextlib.suppress(ConnectionError):
        writer.write(sent)
        writer.write_eof()
        async with asyncio.timeout(_PATIENCE_SECONDS):
            got = await reader.read()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return got
