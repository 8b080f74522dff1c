"""Requests as they are sent: what is asked of which resource, without who asks."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import NamedTuple

import aiohttp

from mendloop import __version__
from mendloop.kube.errors import Call

__all__ = ["Request", "Resource"]

_JSON = "application/json"
_APPLY = "application/apply-patch+yaml"  # JSON is YAML
_LARGE_BYTES = 65_536

_METHODS = {
    "get": "GET",
    "list": "GET",
    "watch": "GET",
    "create": "POST",
    "patch": "PATCH",
    "delete": "DELETE",
}


class Resource(NamedTuple):
    """A kind of object in a namespace, such as ``Resource("/api/v1", "configmaps")``."""

    group_path: str
    plural: str


class Request(NamedTuple):
    """What is sent: the query is not encoded yet, the body is."""

    call: Call
    path: str
    query: Mapping[str, str]
    body: bytes | None
    timeout: aiohttp.ClientTimeout

    @property
    def method(self) -> str:
        """Of HTTP."""
        return _METHODS[self.call.verb]

    @property
    def content(self) -> bytes | io.BytesIO | None:
        """The body, to be sent in pieces where it is large, so that it holds up nobody."""
        is_large = self.body is not None and len(self.body) >= _LARGE_BYTES
        return io.BytesIO(self.body or b"") if is_large else self.body

    @property
    def headers(self) -> Mapping[str, str]:
        """Its own, without those that say who we are."""
        kind = _APPLY if self.call.verb == "patch" else _JSON
        return {
            "Accept": _JSON,
            "User-Agent": f"mendloop/{__version__}",
            **({"Content-Type": kind} if self.body is not None else {}),
        }
