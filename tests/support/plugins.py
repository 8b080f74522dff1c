"""Credential plugins for tests: shell scripts that count their runs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

__all__ = ["Plugin", "exec_credential", "number_in"]

_V1 = "client.authentication.k8s.io/v1"


class Plugin:
    """A shell script as a plugin; it counts its runs in a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / "login.sh"

    @property
    def name(self) -> str:
        return f"the exec plugin {str(self._file)!a} of user 'u'"

    @property
    def runs(self) -> int:
        counted = self.folder / "runs"
        return len(counted.read_text()) if counted.exists() else 0

    def does(self, script: str) -> dict[str, Any]:
        """Write it, and return the user that has it."""
        self._file.write_text(f"#!/bin/sh\nprintf x >>{self.folder}/runs\n{script}\n")
        self._file.chmod(0o700)
        return {
            "exec": {"command": "./login.sh", "apiVersion": _V1, "interactiveMode": "Never"},
            "as": "carol",
        }

    def prints(self, status: dict[str, Any]) -> dict[str, Any]:
        """Let it print a credential, and return the user that has it."""
        return self.does(f"cat <<'END'\n{exec_credential(status)}\nEND")


def exec_credential(status: dict[str, Any]) -> str:
    """An ExecCredential."""
    return json.dumps({"apiVersion": _V1, "kind": "ExecCredential", "status": status})


async def number_in(path: Path) -> int:
    """Wait for a file with a number in it."""
    while not path.exists() or not path.read_text().endswith("\n"):  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0.02)
    return int(path.read_text())
