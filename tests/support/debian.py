"""Packages of Debian, unpacked and not installed: nothing of the machine changes, and nobody need be root."""

from __future__ import annotations

import subprocess
from pathlib import Path

__all__ = ["PackageMissing", "unpack"]


class PackageMissing(Exception):
    """A package cannot be had; the message says what apt-get or dpkg-deb said."""


def unpack(package: str, folder: Path) -> None:
    """
    Download a package, by the lists of the machine or by fresh ones of our own, and unpack it.

    Args:
        folder: For its files; made when missing. What is downloaded is left beside it.

    Raises:
        PackageMissing: There is no apt-get, no network, or no such package.
    """
    beside = folder.parent
    told = _run(["apt-get", "-q", "download", package], beside)
    if not list(beside.glob(f"{package}_*.deb")):
        own = [f"-oDir::State::lists={beside}/lists", f"-oDir::Cache={beside}/cache"]
        own += ["-oAPT::Sandbox::User=root"]  # the folders are nobody else's
        (beside / "lists" / "partial").mkdir(parents=True)
        (beside / "cache" / "archives" / "partial").mkdir(parents=True)
        told += _run(["apt-get", "-q", *own, "update"], beside)
        told += _run(["apt-get", "-q", *own, "download", package], beside)
    for archive in beside.glob(f"{package}_*.deb"):
        told += _run(["dpkg-deb", "--extract", str(archive), str(folder)], beside)
    if not folder.exists():
        raise PackageMissing(f"apt-get cannot bring {package}:\n{told[-1000:]}")


def _run(command: list[str], folder: Path) -> str:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise PackageMissing(f"this machine has no {command[0]}") from error
    return done.stdout
