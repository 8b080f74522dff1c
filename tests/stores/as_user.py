"""
Try each call on a store as another user, and print what came of it as JSON.

Arguments: the user id to become, and the store's file, which holds a head "a".
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable
from pathlib import Path

import mendloop.stores.sqlite_rows  # noqa: F401 - nothing can be imported as the other user
from mendloop.core.errors import StateError
from mendloop.stores.port import Document, Page
from mendloop.stores.sqlite import open_sqlite


def become(user: int) -> None:
    if os.geteuid() != user:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)


async def tell(call: Awaitable[Document | Page | None]) -> str:
    try:
        answer = await call
    except StateError as error:
        return f"{type(error).__name__}: {error}"
    if isinstance(answer, Page):
        return " ".join(document.body.decode() for document in answer.documents)
    return "" if answer is None else answer.body.decode()


async def main(user: int, path: Path) -> dict[str, str]:
    become(user)
    try:
        store = await open_sqlite(path, busy_timeout_seconds=2)
    except StateError as error:
        return {"open": f"{type(error).__name__}: {error}"}
    told = {"get": await tell(store.get("head", "a")), "list": await tell(store.list("head"))}
    document = Document(kind="head", key="a", revision="1", body=b"", fields={}, labels={})
    told["create"] = await tell(store.create("head", "b", b"new"))
    told["replace"] = await tell(store.replace(document, b"new"))
    told["delete"] = await tell(store.delete(document))
    told["again"] = await tell(store.get("head", "a"))
    await store.close()
    return told


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))))  # noqa: T201
