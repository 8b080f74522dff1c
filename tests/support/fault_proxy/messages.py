"""HTTP/1.1 messages as they stand on the wire, cut where one ends."""

from __future__ import annotations

import asyncio
from functools import cached_property
from urllib.parse import parse_qs, urlsplit

import msgspec

__all__ = ["AnswerHead", "Request", "is_last_chunk", "read_answer_head", "read_body", "read_chunk"]

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_BODILESS = {204, 304}


class Request(msgspec.Struct, dict=True):
    """
    One request.

    Attributes:
        method: Of HTTP.
        target: The path with its query.
        fields: The header, its names in lower case.
        raw: The whole request, byte for byte.
    """

    method: str
    target: str
    fields: dict[str, str]
    raw: bytes

    @cached_property
    def verb(self) -> str:
        """The verb of Kubernetes: get, list, watch, create, update, patch or delete."""
        if self.method != "GET":
            return _VERBS.get(self.method, self.method.lower())
        if parse_qs(urlsplit(self.target).query).get("watch", ["0"])[-1] in {"1", "true"}:
            return "watch"
        return "get" if self.name or not self.resource else "list"

    @property
    def resource(self) -> str:
        """What it is about, such as configmaps; empty for what is no resource, such as /readyz."""
        return self._place[0]

    @property
    def name(self) -> str:
        """The object's name; empty for a whole collection, and for a create."""
        return self._place[1]

    @cached_property
    def _place(self) -> tuple[str, str]:
        parts = urlsplit(self.target).path.strip("/").split("/")
        parts = parts[{"api": 2, "apis": 3}.get(parts[0], len(parts)) :]
        if parts[:1] == ["namespaces"] and len(parts) > 2:
            parts = parts[2:]
        return (*parts, "", "")[0], (*parts, "", "")[1]


class AnswerHead(msgspec.Struct):
    """
    The head of an answer.

    Attributes:
        status: Of HTTP.
        fields: The header, its names in lower case.
        raw: The head, byte for byte.
    """

    status: int
    fields: dict[str, str]
    raw: bytes


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """Read one request in full; None where the connection has ended between two."""
    try:
        raw, line, fields = await _read_head(reader)
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    method, target, _ = line.split(" ", 2)
    return Request(method, target, fields, raw + await read_body(reader, fields))


async def read_answer_head(reader: asyncio.StreamReader) -> AnswerHead:
    """Read the head of an answer."""
    raw, line, fields = await _read_head(reader)
    return AnswerHead(int(line.split(" ")[1]), fields, raw)


async def read_answer_body(
    reader: asyncio.StreamReader, request: Request, head: AnswerHead
) -> bytes:
    """Read the body that belongs to the answer to *request*, byte for byte."""
    if request.method == "HEAD" or head.status in _BODILESS:
        return b""
    return await read_body(reader, head.fields)


async def read_body(reader: asyncio.StreamReader, fields: dict[str, str]) -> bytes:
    """Read a body as the header describes it, byte for byte."""
    if fields.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(fields.get("content-length", "0")))
    chunks = [await read_chunk(reader)]
    while not is_last_chunk(chunks[-1]):
        chunks.append(await read_chunk(reader))
    return b"".join(chunks)


async def read_chunk(reader: asyncio.StreamReader) -> bytes:
    """Read one chunk of a body, with its size and its line ends; the last one with the trailer."""
    line = await reader.readuntil(b"\r\n")
    size = int(line.split(b";")[0], 16)
    if size:
        return line + await reader.readexactly(size + 2)
    while not line.endswith(b"\r\n\r\n"):
        line += await reader.readuntil(b"\r\n")
    return line


def is_last_chunk(chunk: bytes) -> bool:
    """Whether nothing follows."""
    return chunk[:1] == b"0"


async def _read_head(reader: asyncio.StreamReader) -> tuple[bytes, str, dict[str, str]]:
    raw = await reader.readuntil(b"\r\n\r\n")
    first, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
    pairs = (line.split(":", 1) for line in lines)
    return raw, first, {name.lower(): value.strip() for name, value in pairs}
