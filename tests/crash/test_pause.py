"""A process that is stopped between a chunk and its head, while others clean up, loses nothing; on both stores."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cleanups import clean_up, documents, open_place
from states import entry

from mendloop.core.names import CHUNK
from mendloop.manager import StateManager

PAUSER = Path(__file__).with_name("pauser.py")
FINDINGS = 60


@contextmanager
def stopped_writer(place: tuple[str, ...]) -> Iterator[subprocess.Popen[bytes]]:
    """Give a process that has stopped itself; it is gone at the end, whatever becomes of the test."""
    writer = subprocess.Popen(
        [sys.executable, str(PAUSER), *place],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    try:
        _, status = os.waitpid(writer.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), "it has ended"
        yield writer
    finally:
        writer.kill()
        writer.wait()


async def test_a_writer_stopped_between_chunk_and_head_loses_nothing(
    place: tuple[str, ...], tmp_path: Path
) -> None:
    """SIGSTOP, two cleanups, SIGCONT: its chunk was swept, it decides again, and all is there once."""
    store = await open_place(place)
    async with StateManager(store) as manager:
        await manager.increment_iteration("t")
        await manager.append_feedback(
            "t", *(entry(f"c{n}", description="long " * 50) for n in range(FINDINGS))
        )
        before = await documents(store, CHUNK)
        with stopped_writer(place) as writer:
            assert len(before) < len(await documents(store, CHUNK))
            for _ in range(2):
                assert 0 == await asyncio.to_thread(clean_up, place, tmp_path)
            assert before == await documents(store, CHUNK)
            writer.send_signal(signal.SIGCONT)
            assert 0 == await asyncio.to_thread(writer.wait)

        names = [found.pr_comment_id for found in await manager.get_feedback_history("t")]
        expected = [f"{kind}{n}" for kind in ("c", "late") for n in range(FINDINGS)]
        assert expected == names
        assert 0 == await asyncio.to_thread(clean_up, place, tmp_path)
        assert names == [f.pr_comment_id for f in await manager.get_feedback_history("t")]
        assert (await manager.validate_state("t")).is_sound
    await store.close()
