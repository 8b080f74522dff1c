"""Start-up: what a command does not need is not imported."""

from __future__ import annotations

import subprocess
import sys

from cli_user import User

from mendloop import __version__

_REPORT = """
import sys
from mendloop.cli.main import run
code = run(sys.argv[1:])
heavy = {"aiohttp", "apsw", "asyncio", "importlib.metadata", "msgspec", "multidict", "rich", "tomllib", "xml", "yaml"}
print(code, *sorted(heavy & sys.modules.keys()))
"""


def _imports(user: User, *arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", _REPORT, *arguments],
        cwd=user.tree,
        env=user.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[-1].split()


def test_version_imports_nothing_heavy(user: User) -> None:
    """`mendloop --version` costs little more than click."""
    assert ["0"] == _imports(user, "--version")


def test_list_imports_neither_rich_nor_yaml_nor_the_loop(user: User) -> None:
    """`mendloop list` where there is no terminal needs the store and the manager alone."""
    assert ["0", "apsw", "asyncio", "msgspec"] == _imports(user, "list")


def test_version_says_the_version(user: User) -> None:
    """The version is the package's."""
    done = user("--version")

    assert (0, f"mendloop {__version__}\n", "") == done
