"""Secrets that a test plants in texts, and a search for them in whatever was left behind."""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import random
import sqlite3
import string
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from controlplane import Cluster

__all__ = ["Planted", "in_cluster", "in_sqlite"]

_LETTERS = string.ascii_letters + string.digits
_LEAST_ENCODED = 16


class Planted:
    """
    A set of secrets of its own for each place that they are planted in.

    Attributes:
        secrets: All that were made, with the place.
    """

    def __init__(self, seed: int) -> None:
        """Make the same ones again for the same *seed*."""
        self._random = random.Random(seed)
        self.secrets: dict[str, str] = {}

    def line(self, place: str) -> str:
        """A line with secrets in it; short enough for a name."""
        token = "ghp_" + self._made(place, 36)
        return f"use {token} password={self._made(place, 20)} now"

    def text(self, place: str) -> str:
        """A text with secrets of many kinds in it, on one line and over several."""
        key = "\n".join(self._made(place, 64) for _ in range(8))
        header, payload, signature = (self._made(place, size) for size in (30, 40, 43))
        return "\n".join(
            (
                self.line(place),
                f"-----BEGIN RSA PRIVATE KEY-----\n{key}\n-----END RSA PRIVATE KEY-----",
                f"Authorization: Bearer eyJ{header}.eyJ{payload}.{signature}",
                f"postgres://app:{self._made(place, 16)}@db.example:5432/app",
                f"export API_KEY={self._made(place, 32)}",
                f"AKIA{self._made(place, 16, string.ascii_uppercase)}",
                f"xoxb-123456789012-{self._made(place, 24)} is the bot's",
                f'{{"client_secret": "{self._made(place, 28)}"}}',
                f"https://hooks.slack.com/services/T1/B2/{self._made(place, 24)}",
            )
        )

    def found_in(self, left: Iterable[bytes]) -> set[str]:
        """The places whose secrets are in *left*, however they are packed there."""
        everything = b"\n".join(piece for data in left for piece in _unpacked(data))
        return {place for secret, place in self.secrets.items() if secret.encode() in everything}

    def _made(self, place: str, length: int, alphabet: str = _LETTERS) -> str:
        made = "".join(self._random.choice(alphabet) for _ in range(length - 4))
        # What is all letters up to its end may be a name, and is not sure to be taken for a secret.
        middle, end = ("4q", "X7") if alphabet is _LETTERS else ("QQ", "XQ")
        secret = made[: length // 2] + middle + made[length // 2 :] + end
        self.secrets[secret] = place
        return secret


def _unpacked(data: bytes) -> Iterator[bytes]:
    """Yield *data*, and what is in it: compressed, in the strings of JSON, in base64."""
    yield data
    for inflate in (gzip.decompress, zlib.decompress):
        try:
            inflated = inflate(data)
        except (OSError, EOFError, zlib.error):
            continue
        if inflated:
            yield from _unpacked(inflated)
    try:
        yield from _texts_in(json.loads(data))
    except (ValueError, RecursionError):
        for line in data.splitlines() if b"\n" in data else ():
            if line.startswith(b"{"):
                yield from _unpacked(line)


def _texts_in(value: Any) -> Iterator[bytes]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _texts_in(key)
            yield from _texts_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts_in(item)
    elif isinstance(value, str):
        yield value.encode(errors="replace")
        if value[:1] in {"{", "["}:
            yield from _unpacked(value.encode(errors="replace"))
        elif len(value) >= _LEAST_ENCODED:
            try:
                yield from _unpacked(base64.b64decode(value, validate=True))
            except (binascii.Error, ValueError):
                return


def in_sqlite(path: Path) -> Iterator[bytes]:
    """Every byte of a database and its journal, and every cell."""
    for file in path.parent.glob(f"{path.name}*"):
        yield file.read_bytes()
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        tables = [
            name
            for (name,) in database.execute("select name from sqlite_schema where type = 'table'")
        ]
        for table in tables:
            for row in database.execute(f'select * from "{table}"'):  # noqa: S608 - names of its own
                for cell in row:
                    yield cell if isinstance(cell, bytes) else str(cell).encode()


def in_cluster(cluster: Cluster, namespace: str) -> Iterator[bytes]:
    """Every object of a namespace that mendloop may write, as JSON."""
    for path in (
        f"/api/v1/namespaces/{namespace}/configmaps",
        f"/api/v1/namespaces/{namespace}/events",
        f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases",
    ):
        for item in cluster.request("GET", path)["items"]:
            yield json.dumps(item, ensure_ascii=False).encode()
