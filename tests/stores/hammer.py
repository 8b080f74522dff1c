"""
Write to a shared store until killed or done, and log each acknowledged write.

Arguments: the store's file, the log, a name for this process, and how many writes to do. Each
line of the log is one acknowledged write: "made KEY", or "counted NUMBER". The last line of the
output is the longest that one call took, in seconds.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

from mendloop.core.errors import DocumentExists, RevisionConflict
from mendloop.stores.port import Store
from mendloop.stores.sqlite import open_sqlite


async def count(store: Store) -> int:
    """Increment the shared counter."""
    while True:
        document = await store.get("counter", "shared")
        try:
            if document is None:
                return int((await store.create("counter", "shared", b"1")).body)
            return int((await store.replace(document, b"%d" % (int(document.body) + 1))).body)
        except (DocumentExists, RevisionConflict):
            continue


async def main(path: Path, log: int, name: str, writes: int) -> None:
    longest_seconds = 0.0
    store = await open_sqlite(path)
    for number in range(writes):
        begun = time.monotonic()
        if number % 2:
            line = f"counted {await count(store)}\n"
        else:
            key = f"{name}-{number}"
            await store.create("made", key, key.encode() * 20, labels={"by": name})
            line = f"made {key}\n"
        longest_seconds = max(longest_seconds, time.monotonic() - begun)
        os.write(log, line.encode())
    await store.close()
    print(longest_seconds)  # noqa: T201


if __name__ == "__main__":
    log_file = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    asyncio.run(main(Path(sys.argv[1]), log_file, sys.argv[3], int(sys.argv[4])))
