"""Somebody who calls the command line, for its tests."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from mendloop.core.names import HEAD, head_name
from mendloop.stores.sqlite import open_sqlite

PATIENCE_SECONDS = 60


class Done(NamedTuple):
    """How a call ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


class User:
    """
    Calls the command line in a folder, with a state folder of its own.

    Attributes:
        told: All that the calls printed, by either way.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tree = folder / "tree"
        self.tree.mkdir()
        self.state_folder = folder / "state" / "mendloop"
        self.store = self.state_folder / "state.db"
        kept = {
            name: value
            for name, value in os.environ.items()
            if name[:9] != "MENDLOOP_" and name != "PYTHONUNBUFFERED"
        }
        self.environment = kept | {
            "HOME": str(folder),
            "XDG_STATE_HOME": str(folder / "state"),
            "LC_ALL": "C.UTF-8",
            "COLUMNS": "200",
        }
        self.told: list[bytes] = []
        self._started: list[subprocess.Popen[bytes]] = []

    def __call__(self, *arguments: str, stdin: bytes = b"", **environment: str) -> Done:
        """Call it in a process of its own, to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "mendloop", *arguments],
            cwd=self.tree,
            env=self.environment | environment,
            input=stdin,
            capture_output=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        self.told += done.stdout, done.stderr
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """Call it and do not wait."""
        usual = {"cwd": self.tree, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started = subprocess.Popen(
            [sys.executable, "-m", "mendloop", *arguments],
            env=self.environment,
            **(usual | options),
        )
        self._started.append(started)
        return started

    def write(self, name: str, content: str) -> Path:
        path = self.tree / name
        path.write_text(content, encoding="utf-8")
        return path

    def state(self, task_id: str) -> dict[str, Any]:
        shown = self("show", task_id, "-o", "json")
        assert 0 == shown.code, shown.err
        return dict(shown.json())

    def end(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
            self.told += filter(None, process.communicate())


Quick: TypeAlias = Callable[..., Done]
"""Calls the command line in this process."""

Wait: TypeAlias = Callable[[Callable[[], bool]], None]
"""Waits for something that a started process does."""


def edit(path: Path, task_id: str, change: Callable[[bytes], bytes]) -> None:
    """Change a head past mendloop."""

    async def run() -> None:
        store = await open_sqlite(path)
        head = await store.get(HEAD, head_name(task_id))
        assert head is not None
        await store.replace(head, change(head.body))
        await store.close()

    asyncio.run(run())
