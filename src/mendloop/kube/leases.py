"""Leader election in a cluster: the record is a Lease, as other programs write and show it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from mendloop.core.election import Held, LeaseRecord
from mendloop.core.errors import StoreCorrupt
from mendloop.kube.api import Api
from mendloop.kube.requests import Resource

__all__ = ["LEASES", "KubernetesLeases"]

LEASES = Resource("/apis/coordination.k8s.io/v1", "leases")

_EPOCH = datetime.fromtimestamp(0, UTC)


class _Meta(msgspec.Struct, rename="camel"):
    name: str
    uid: str
    resource_version: str


class _Spec(msgspec.Struct, rename="camel"):
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: datetime | None = None
    renew_time: datetime | None = None
    lease_transitions: int | None = None


class _Lease(msgspec.Struct):
    metadata: _Meta
    spec: _Spec = msgspec.field(default_factory=_Spec)


_leases = msgspec.json.Decoder(_Lease)


class KubernetesLeases:
    """One Lease of coordination.k8s.io/v1."""

    def __init__(self, api: Api, name: str) -> None:
        """Use the Lease *name* in the namespace of *api*, which stays the caller's to close."""
        self._api = api
        self._name = name

    async def read(self) -> Held | None:
        """See `mendloop.core.election.Leases.read`."""
        raw = await self._api.get(LEASES, self._name)
        return None if raw is None else _read(raw)

    async def write(self, before: Held | None, record: LeaseRecord) -> Held:
        """See `mendloop.core.election.Leases.write`."""
        meta: dict[str, Any] = {"name": self._name}
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": meta,
            "spec": {
                "holderIdentity": record.holder,
                "leaseDurationSeconds": record.duration_seconds,
                "acquireTime": _micro_time(record.acquired_at),
                "renewTime": _micro_time(record.renewed_at),
                "leaseTransitions": record.transitions,
            },
        }
        if before is None:
            return _read(await self._api.create(LEASES, msgspec.json.encode(lease)))
        assert isinstance(before.handle, _Meta)  # noqa: S101 - it is what `read` has given
        meta |= {"uid": before.handle.uid, "resourceVersion": before.handle.resource_version}
        return _read(await self._api.apply(LEASES, self._name, msgspec.json.encode(lease)))


def _read(raw: bytes) -> Held:
    try:
        lease = _leases.decode(raw)
    except (ValueError, RecursionError) as error:
        raise StoreCorrupt(f"what the server gives is no Lease: {error}") from error
    spec = lease.spec
    record = LeaseRecord(
        holder=spec.holder_identity or "",
        duration_seconds=spec.lease_duration_seconds or 0,
        acquired_at=spec.acquire_time or _EPOCH,
        renewed_at=spec.renew_time or _EPOCH,
        transitions=spec.lease_transitions or 0,
    )
    return Held(record, lease.metadata)


def _micro_time(at: datetime) -> str:
    """A MicroTime has six fractional digits, always: the server refuses others."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
