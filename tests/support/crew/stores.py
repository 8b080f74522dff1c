"""Stores by a word, so that a process can be told which one to open."""

from __future__ import annotations

from pathlib import Path

from unversioned import UnversionedConfigMaps, UnversionedStore

from mendloop.kube.access import load_access
from mendloop.stores.configmap import open_configmaps
from mendloop.stores.port import Store
from mendloop.stores.sqlite import open_sqlite

__all__ = ["open_spec"]


async def open_spec(spec: str) -> Store:
    """
    Open one more handle on a storage.

    Args:
        spec: `sqlite:` and the path of the file, or `configmap:` and the path of a kubeconfig; with
            `unversioned-` before it, it writes over whatever is there.
    """
    kind, _, place = spec.removeprefix("unversioned-").partition(":")
    is_sound = not spec.startswith("unversioned-")
    if kind == "sqlite":
        file = await open_sqlite(Path(place))
        return file if is_sound else UnversionedStore(file)
    maps = open_configmaps(await load_access(kubeconfig=place), is_watching=True)
    return maps if is_sound else UnversionedConfigMaps(maps)
