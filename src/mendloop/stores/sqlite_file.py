"""
The store's file: made whole or not at all, and checked before anything is written to it.

No code here opens the file itself: closing any descriptor of a file drops every POSIX lock that
the process has on it, also those of another store in this process
(https://sqlite.org/howtocorrupt.html, 2.2). It is read through SQLite's own file layer.
"""

from __future__ import annotations

import os
import re
import secrets
import zlib
from pathlib import Path
from typing import NamedTuple

import apsw

from mendloop.core.errors import (
    StoreCorrupt,
    StoreError,
    StoreNotFound,
    StoreReadOnly,
    StoreTooNew,
)
from mendloop.stores.sqlite_errors import from_sqlite

__all__ = ["APPLICATION_ID", "LAYOUT", "Opened", "network_mount", "open_file"]

APPLICATION_ID = 0x4D4C4F50
"""Says "mendloop" to ``file(1)`` and to us."""

LAYOUT = 1
"""The layout that this version reads and writes; kept in ``PRAGMA user_version``."""

_SCHEMA = (
    """CREATE TABLE document (
  kind TEXT NOT NULL,
  key TEXT NOT NULL,
  name_digest INTEGER NOT NULL,
  revision INTEGER NOT NULL,
  digest INTEGER NOT NULL,
  fields TEXT NOT NULL,
  labels TEXT NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (kind, key)
) STRICT""",
    """CREATE TABLE label (
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  key TEXT NOT NULL,
  PRIMARY KEY (kind, name, value, key)
) STRICT, WITHOUT ROWID""",
    """CREATE TABLE counter (
  id INTEGER PRIMARY KEY,
  value INTEGER NOT NULL,
  complement INTEGER NOT NULL,
  names INTEGER NOT NULL
) STRICT""",
)

_NAMES_BY_INDEX = """
    SELECT CAST(coalesce(kind, '') AS BLOB), CAST(coalesce(key, '') AS BLOB)
    FROM document INDEXED BY sqlite_autoindex_document_1 ORDER BY kind, key
"""

_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100
_SYNC_DIRECTORY = getattr(os, "O_DIRECTORY", 0) | os.O_RDONLY

_NETWORK_FILE_SYSTEMS = frozenset(
    {
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "smb3",
        "smbfs",
    }
)
_NETWORK_FUSE = re.compile(
    r"fuse\.(?:ceph|davfs|gcsfuse|glusterfs|mount\.davfs|rclone|s3fs|sshfs)\b"
)


class Opened(NamedTuple):
    """
    A connection to a checked file.

    Attributes:
        connection: Ready for use.
        is_frozen: True where the file can only be read as it stands at the moment of opening: the
            connection must not outlive one read.
    """

    connection: apsw.Connection
    is_frozen: bool


def open_file(path: Path, *, must_exist: bool) -> Opened:
    """
    Open the store in *path*, made first where there is none.

    Args:
        path: Free of symbolic links.
        must_exist: Make nothing.

    Raises:
        StoreNotFound: There is none, and it *must_exist*.
        StoreCorrupt: It is a folder, empty, damaged, or another program's.
        StoreTooNew: A newer mendloop laid it out; nothing was touched.
        StoreReadOnly: It has a log that cannot be read without writing.
        StoreFull: There is no room for the files that SQLite keeps beside it.
        StoreError: It is on a network file system, may not be read, or has an impossible name.
        apsw.Error, OSError: Refusals of SQLite and of the system, for the caller to translate.
    """
    _refuse_name(path)
    _refuse_network(path)
    try:
        path.stat()
    except FileNotFoundError as error:
        if must_exist:
            raise StoreNotFound(f"there is no store {path}, and so no task") from error
        _make(path)
    if path.is_dir():
        raise StoreCorrupt(
            f"{path} is a folder: name a file in it, for instance {path / 'mendloop.db'}"
        )
    if not path.is_file():
        raise StoreCorrupt(f"{path} is not a regular file: name another file")
    if not os.access(path, os.R_OK):
        raise StoreError(f"{path} may not be read by this user: allow it, or name another store")
    _check_header(path)
    return _connect(path)


def network_mount(mountinfo: str, path: str) -> str | None:
    """
    Name the network file system that *path* is on, or None where it is on none.

    Args:
        mountinfo: The text of ``/proc/self/mountinfo``, see proc_pid_mountinfo(5).
        path: Absolute and free of symbolic links.
    """
    longest, found = -1, ""
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        places, types = left.split(), right.split()
        if len(places) < 5 or not types:  # noqa: PLR2004 - the mount point is the fifth field
            continue
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), places[4])
        prefix = point.rstrip("/") + "/"
        if len(prefix) >= longest and f"{path}/".startswith(prefix):
            longest, found = len(prefix), types[0]
    is_network = found in _NETWORK_FILE_SYSTEMS or _NETWORK_FUSE.match(found) is not None
    return found if is_network else None


def _refuse_name(path: Path) -> None:
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise StoreError(f"{str(path)!r} is not in UTF-8: name another file") from error


def _refuse_network(path: Path) -> None:
    try:
        # A mount point may be in any encoding.
        text = Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
    except OSError:
        return
    name = network_mount(text, str(path))
    if name is not None:
        raise StoreError(
            f"{path} is on a network file system ({name}), where SQLite cannot keep several "
            "processes apart: name a file on a local disk, for instance with --store sqlite:PATH"
        )


def _make(path: Path) -> None:
    """Put a whole, empty store in place, unless somebody else does so first: then theirs counts."""
    draft = path.with_name(f".mendloop-{secrets.token_hex(8)}.new")
    _make_folders(path.parent)
    try:
        _write_durably(draft, _empty_store())
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _make_folders(folder: Path) -> None:
    if folder.exists():
        return
    _make_folders(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, _SYNC_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_durably(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - it is a descriptor
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _empty_store() -> bytes:
    connection = apsw.Connection(":memory:")
    try:
        connection.pragma("application_id", APPLICATION_ID)
        connection.pragma("user_version", LAYOUT)
        for statement in _SCHEMA:
            connection.execute(statement)
        connection.execute("INSERT INTO counter VALUES (1, 0, ~0, 0)")
        image = bytearray(connection.serialize("main"))
    finally:
        connection.close()
    # Bytes 18 and 19 say "write-ahead log" (https://sqlite.org/fileformat2.html, 1.3), so that
    # no process ever has to switch a shared file over.
    image[18:20] = b"\x02\x02"
    return bytes(image)


def _check_header(path: Path) -> None:
    file = apsw.VFSFile("", str(path), [apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_MAIN_DB, 0])
    try:
        size = file.xFileSize()
        header = file.xRead(_HEADER_BYTES, 0) if size >= _HEADER_BYTES else b""
    finally:
        file.xClose()
    if size == 0:
        raise StoreCorrupt(
            f"{path} is empty, which a store never is: restore a copy, or remove it to begin anew"
        )
    if not header.startswith(_MAGIC):
        raise StoreCorrupt(f"{path} is not a SQLite database: name another file")
    _check_layout(
        path,
        application_id=int.from_bytes(header[68:72], "big"),
        layout=int.from_bytes(header[60:64], "big"),
    )
    page_bytes = int.from_bytes(header[16:18], "big") or 1
    if size % (65536 if page_bytes == 1 else page_bytes) and not _has_log(path):
        raise StoreCorrupt(f"{path} ends in the middle of a page: restore a copy")


def _has_log(path: Path) -> bool:
    try:
        return path.with_name(path.name + "-wal").stat().st_size > 0
    except FileNotFoundError:
        return False


def _check_layout(path: Path, *, application_id: int, layout: int) -> None:
    if application_id != APPLICATION_ID:
        raise StoreCorrupt(f"{path} is another program's database: name another file")
    if layout > LAYOUT:
        raise StoreTooNew(
            f"{path} was laid out by a newer mendloop (layout {layout}, this one knows {LAYOUT}): "
            "nothing was touched; upgrade mendloop"
        )
    if layout < LAYOUT:
        raise StoreCorrupt(f"{path} says layout {layout}, which never was: restore a copy")


def _connect(path: Path) -> Opened:
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        return Opened(_checked(connection, path), is_frozen=False)
    except (apsw.CantOpenError, apsw.ReadOnlyError) as error:
        if os.access(path.parent, os.W_OK):
            raise
        if _has_log(path):
            raise StoreReadOnly(
                f"{path} has a log that cannot be read without writing to its folder: "
                "allow that, or copy the file and its -wal file elsewhere"
            ) from error
    # Without a log, nobody is writing now, and SQLite may take the file as it stands.
    uri = f"{path.as_uri()}?mode=ro&immutable=1"
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    return Opened(_checked(apsw.Connection(uri, flags=flags), path), is_frozen=True)


def _checked(connection: apsw.Connection, path: Path) -> apsw.Connection:
    try:
        # Closing would write the log of a store that is not ours to write into its file.
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        _check_layout(
            path,
            application_id=connection.pragma("application_id"),
            layout=connection.pragma("user_version"),
        )
        _check_schema(path, connection)
        _check_names(path, connection)
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
        _configure(connection)
    except apsw.IOError as error:
        # What the system said is known to the connection alone, which goes now.
        os_errno = connection.system_errno
        connection.close(True)  # noqa: FBT003 - apsw names it force
        raise from_sqlite(error, path, os_errno=os_errno) from error
    except BaseException:
        connection.close(True)  # noqa: FBT003 - apsw names it force
        raise
    return connection


def _check_schema(path: Path, connection: apsw.Connection) -> None:
    statements = connection.execute(
        "SELECT sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite!_%' ESCAPE '!'"
    ).fetchall()
    if sorted(_SCHEMA) != sorted(str(sql) for (sql,) in statements):
        raise StoreCorrupt(f"{path} has tables that are not a store's: restore a copy")


def _check_names(path: Path, connection: apsw.Connection) -> None:
    """Make sure that no document has fallen out of the file: nobody would miss it otherwise."""
    before, indexed = (b"", b""), 0
    with connection:  # both are of one moment
        kept, found = connection.execute(
            "SELECT (SELECT names FROM counter WHERE id = 1),"
            " (SELECT coalesce(sum(name_digest), 0) FROM document)"
        ).get
        for name in connection.execute(_NAMES_BY_INDEX):
            if name <= before:
                raise StoreCorrupt(f"{path} has a damaged index of documents: restore a copy")
            before, indexed = name, indexed + zlib.crc32(b"\0".join(name))
    if not kept == found == indexed:
        raise StoreCorrupt(f"{path} has lost documents: restore a copy")


def _configure(connection: apsw.Connection) -> None:
    if connection.readonly("main"):
        return
    # A copy made with VACUUM INTO has no write-ahead log until somebody asks for it.
    if connection.pragma("journal_mode") != "wal":
        connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "FULL")
    connection.pragma("secure_delete", True)  # noqa: FBT003 - apsw names it value
