"""
What an API server still knows of an object that was deleted.

Every change of the last minute or so is told again by a watch. What was there at one moment of the
last five minutes and more is listed, until etcd is compacted. Versions are integers that rise with
every change of any object, and may be compared
(https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions), so one from before
the deletion need not be known.
"""

from __future__ import annotations

import contextlib

import msgspec

from mendloop.core.errors import StoreUnavailable, VersionExpired
from mendloop.kube.api import Api
from mendloop.kube.requests import Resource
from mendloop.kube.watch import last_of_deleted

__all__ = ["deleted"]


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: int


class _List(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None


_lists = msgspec.json.Decoder(_List, strict=False)


async def deleted(api: Api, resource: Resource, name: str) -> bytes | None:
    """
    Give the object of this name as it was when it was last deleted, as JSON.

    None where there is one now, or where it is not known any more.

    Raises:
        StoreError: The server is not there, or does not allow it.
    """
    now, there = await _listed(api, resource, name)
    if there is not None:
        return None
    for since in _ago(now):
        try:
            told = await last_of_deleted(api, resource, name, since)
        except VersionExpired:
            continue  # the watch begins later: it tells the more, the earlier it begins
        except StoreUnavailable:
            break  # something in between lets no stream through
        if told is not None:
            return told
        break
    return await _last_listed(api, resource, name, now)


def _ago(now: int) -> list[int]:
    """Versions before *now*, from long ago on, each half as long ago as the one before."""
    return [now - 2**power for power in reversed(range(now.bit_length())) if 2**power < now]


async def _last_listed(api: Api, resource: Resource, name: str, now: int) -> bytes | None:
    """Look further and further back for a moment at which the object was there, and then for the last."""
    last: bytes | None = None
    before, absent, distance = 0, now, 1
    while absent - before > 1:
        version = (before + absent) // 2 if before else max(now - distance, 1)
        distance += max(distance // 4, 1)  # a quarter: few lives are so short that they are missed
        with contextlib.suppress(VersionExpired):
            _, found = await _listed(api, resource, name, version)
            if found is None:
                absent = version
                continue
            last = found
        before = version
    return last


async def _listed(
    api: Api, resource: Resource, name: str, version: int = 0
) -> tuple[int, bytes | None]:
    """The newest version of all, and the object as it is, or as it was at *version*."""
    query = {"fieldSelector": f"metadata.name={name}"}
    if version:
        query |= {"resourceVersion": str(version), "resourceVersionMatch": "Exact"}
    page = _lists.decode(await api.list(resource, query))
    return page.metadata.resource_version, bytes(page.items[0]) if page.items else None
