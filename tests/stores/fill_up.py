"""
Write to a store until a limit on the size of its files stops it, then go on without the limit.

Arguments: the store's file and the limit in bytes. Prints as JSON the keys that were acknowledged,
the error that ended the first part, and what the same store answered after the limit was lifted.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from pathlib import Path

from mendloop.core.errors import StateError
from mendloop.stores.sqlite import open_sqlite


def limit_files(limit_bytes: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))


async def main(path: Path, limit_bytes: int) -> dict[str, object]:
    limit_files(limit_bytes)
    acknowledged, refusal = [], ""
    try:
        store = await open_sqlite(path)
    except StateError as error:
        return {"acknowledged": [], "refusal": type(error).__name__}
    for number in range(10_000):
        try:
            await store.create("head", f"{number:04}", b"x" * 2_000)
        except StateError as error:
            refusal = type(error).__name__
            break
        acknowledged.append(f"{number:04}")
    full = [document.key for document in (await store.list("head")).documents]
    limit_files(resource.RLIM_INFINITY)
    await store.create("head", "after", b"1")
    await store.close()
    return {"acknowledged": acknowledged, "refusal": refusal, "full": full}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))))  # noqa: T201
