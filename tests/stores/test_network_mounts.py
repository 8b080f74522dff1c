"""A network file system is recognised from the mount table."""

from __future__ import annotations

import pytest

from mendloop.stores.sqlite_file import network_mount

MOUNTS = r"""
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 27 0:30 / /home rw shared:1 - nfs4 server:/home rw,vers=4.2
31 30 8:1 / /home/me/local rw - xfs /dev/sda1 rw
32 27 0:32 / /mnt/my\040share rw - cifs //server/share rw
33 27 0:33 / /mnt/keys rw - fuse.sshfs me@server: rw
34 27 0:34 / /mnt/glass rw - fuse.gocryptfs glass rw
35 27 0:35 / /mnt/twice rw - nfs server:/x rw
36 35 8:2 / /mnt/twice rw - ext4 /dev/sdb1 rw
37 27 0:37 / /mnt/c rw - 9p C:\134 rw
a line that is cut
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/var/lib/store.db", None),
        ("/home/me/store.db", "nfs4"),
        ("/home", "nfs4"),
        ("/homestead/store.db", None),
        ("/home/me/local/store.db", None),
        ("/home/me/locale/store.db", "nfs4"),
        ("/mnt/my share/store.db", "cifs"),
        ("/mnt/keys/store.db", "fuse.sshfs"),
        ("/mnt/glass/store.db", None),
        ("/mnt/twice/store.db", None),
        ("/mnt/c/store.db", "9p"),
    ],
)
def test_the_nearest_mount_decides(path: str, expected: str | None) -> None:
    """The last and longest mount point above the file names its file system."""
    assert expected == network_mount(MOUNTS, path)


def test_empty_table_is_no_network() -> None:
    """Where the system tells nothing, nothing is refused."""
    assert network_mount("", "/home/me/store.db") is None
