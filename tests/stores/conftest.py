"""Helpers of the disk tests: modules and scripts of this folder, and the size of a run."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import apsw
import pytest

FOLDER = Path(__file__).parent
NOBODY = 65534

Script = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def sound_files() -> None:
    """What is stored here are no tasks, so that nothing is expected of them."""


@pytest.fixture(scope="session")
def is_soak() -> bool:
    """Whether the full figures are asked for."""
    return int(os.environ.get("MENDLOOP_SOAK", "0")) > 0


@pytest.fixture(scope="session")
def faults() -> ModuleType:
    """The module of faults below SQLite."""
    spec = importlib.util.spec_from_file_location("faults", FOLDER / "faults.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["faults"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def script() -> Iterator[Script]:
    """Start a script of this folder; what still runs when the test ends is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(name: str, *arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(FOLDER / name), *(str(argument) for argument in arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can reach, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="mendloop-"))
    folder.chmod(0o755)
    yield folder
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o700)
    shutil.rmtree(folder)


@pytest.fixture
def mortal() -> int:
    """The id of a user that permission bits bind."""
    return NOBODY if os.geteuid() == 0 else os.geteuid()


@pytest.fixture(scope="session")
def check_integrity() -> Callable[[Path], str]:
    """Ask SQLite about a file that no store has open; the answer should be "ok"."""

    def check(path: Path) -> str:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            return str(connection.pragma("integrity_check"))
        finally:
            connection.close()

    return check
