"""Repairs of tasks with a long history, on both stores."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable

from states import entry

from mendloop.core.names import HEAD, head_name
from mendloop.manager import StateManager
from mendloop.stores.port import Store

Manage = Callable[..., StateManager]

_MEASURED = """
import asyncio, sys, time
from crew import open_spec
from memory import peak_mebibytes
from mendloop.manager import StateManager
async def main():
    store = await open_spec(sys.argv[1])
    async with StateManager(store) as manager:
        before, began = int(peak_mebibytes()), time.monotonic()
        recovery = await manager.recover_state("t")
        assert recovery.is_changed
        print(int(peak_mebibytes()) - before, time.monotonic() - began)
    await store.close()
asyncio.run(main())
"""


def written_by_v1(body: bytes) -> bytes:
    """The head as the specification's own code leaves it, which drops what it does not know."""
    head = json.loads(body)
    del head["mendloop"]
    for finding in head["feedback_history"]:
        finding.pop("mendloop", None)
    return json.dumps(head, indent=2).encode()


async def test_a_long_history_is_sealed_anew_in_little_memory(
    place: Store, place_spec: str, manage: Manage, scaled: Callable[[int, int], int]
) -> None:
    """20,000 findings under a head that a v1 writer wrote: below 64 MB, and every finding is there."""
    count = scaled(20_000, 2_000)
    manager = manage(place, deadline_seconds=60.0)
    await manager.create_task("t")
    for first in range(0, count, 100):
        some = (entry(f"c{n}", description=f"{n}: " * 45) for n in range(first, first + 100))
        await manager.append_feedback("t", *some)
    head = await place.get(HEAD, head_name("t"))
    assert head is not None
    await place.replace(head, written_by_v1(head.body))
    measuring = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _MEASURED, place_spec),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    told, _ = await measuring.communicate()
    mebibytes, seconds = map(float, told.split())

    print(f"{count} findings repaired in {seconds:.1f} s and {mebibytes:.0f} MiB")  # noqa: T201 - a figure
    assert mebibytes < 64
    found = await manage(place).get_feedback_history("t")
    assert {f"c{n}" for n in range(count)} == {finding.pr_comment_id for finding in found}
    assert count == (await manager.require_state("t")).open_total
