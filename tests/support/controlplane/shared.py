"""One control plane for all processes of a test run."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from controlplane.cluster import Cluster
from controlplane.locks import FileLock
from controlplane.plane import ControlPlane

__all__ = ["shared_control_plane"]


@contextmanager
def shared_control_plane(folder: Path, binaries: Path) -> Iterator[Cluster]:
    """
    Join the control plane of a folder: the first one in starts it, and stops it after the last is out.

    Args:
        folder: The same one for all who share; made when missing.
        binaries: Where the programs are.

    Raises:
        ServerFailed: A server did not start; the message ends with its log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    address = folder / "address.json"
    with ExitStack() as held:
        # Freed in the opposite order: the door last, when the servers are gone.
        door, owner, guests = (
            held.enter_context(FileLock(folder / f"{name}.lock"))
            for name in ("door", "owner", "guests")
        )
        door.take()
        # Whoever holds this lock owns the servers. Those of a dead owner have died with it.
        is_owner = owner.try_to_take()
        if is_owner:
            own = Path(tempfile.mkdtemp(dir=folder))
            cluster: Cluster = held.enter_context(ControlPlane(own, binaries))
            address.write_text(json.dumps([str(own), cluster.port, cluster.admin_token]))
        else:
            guests.take(shared=True)
            folder_, port, token = json.loads(address.read_text())
            cluster = Cluster(Path(folder_), binaries, port, token)
        door.free()
        yield cluster
        if is_owner:
            door.take()  # newcomers wait outside; the first of them is the next owner
            guests.take()
