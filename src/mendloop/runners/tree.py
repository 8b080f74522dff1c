"""What is in a work tree: a name for its content, what counts in it, and what of it moved."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from mendloop.runners import git

__all__ = ["TreeFiles", "changed_files", "is_content", "tree_files", "tree_revision"]

_SKIPPED = frozenset(
    {
        ".git",
        ".hg",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        ".tox",
        ".venv",
        "__pycache__",
        "node_modules",
        "venv",
    }
)
_READ_WHOLE_BYTES = 8 * 1024 * 1024
_OUTPUTS = (1, 2)

TreeFiles: TypeAlias = Mapping[Path, tuple[int, ...]]
"""The files that count in a work tree, each with what moves when it is written."""


async def tree_revision(tree: Path) -> str:
    """
    Name the content of a work tree: equal content, at whatever path, has an equal name.

    In a git repository it is "git:" and the hash of the folder's tree as if all of it were added:
    untracked, changed, deleted files and the executable bit count, ignored files do not, of a
    repository inside only its commit does. A folder that is ignored as a whole is hashed by content. Index and objects of the repository are not touched.
    Elsewhere, and where git fails, it is "sha256:" and a hash over paths, executable bits and
    contents, without caches and environments; of files over 8 MiB, size and time stand for the
    content. A file that this process's standard output or standard error goes to is no content.
    """
    return await asyncio.to_thread(_name_tree, tree)


async def tree_files(tree: Path) -> TreeFiles:
    """List the files that count in the revision of *tree*, for `changed_files`."""
    return await asyncio.to_thread(_list_tree, tree)


def changed_files(before: TreeFiles, after: TreeFiles) -> list[Path]:
    """Which files were written, came or went between two listings, in order."""
    return sorted(
        path for path in before.keys() | after.keys() if before.get(path) != after.get(path)
    )


async def is_content(tree: Path, path: Path) -> bool:
    """
    Whether a file of this name counts in the revision of *tree*, be it there or not.

    Args:
        tree: Free of symbolic links.
        path: Absolute and free of symbolic links.
    """
    return await asyncio.to_thread(_counts, tree, path)


def _counts(tree: Path, path: Path) -> bool:
    if not path.is_relative_to(tree):
        return False
    parts = path.relative_to(tree).parts
    if git.is_ignored(tree, tree) is False:
        return ".git" not in parts and not git.is_ignored(tree, path)
    return _SKIPPED.isdisjoint(parts)


def _name_tree(tree: Path) -> str:
    try:
        return f"git:{git.hash_folder(tree, own=_own_outputs())}"
    except (OSError, ValueError, subprocess.SubprocessError):
        return f"sha256:{_hash_content(tree)}"


def _list_tree(tree: Path) -> TreeFiles:
    try:
        paths = [tree / name for name in git.list_folder(tree)]
    except (OSError, subprocess.SubprocessError):
        paths = []
    own = _own_outputs()
    files = {}
    for path in paths or _walk(tree):
        try:
            status = path.lstat()
        except OSError:  # it went
            continue
        if (status.st_dev, status.st_ino) not in own:
            files[path] = (status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns)
    return files


def _own_outputs() -> frozenset[tuple[int, int]]:
    """Device and inode of the files that this process's own output goes to."""
    found = set()
    for handle in _OUTPUTS:
        try:
            status = os.fstat(handle)
        except OSError:  # it is closed
            continue
        if stat.S_ISREG(status.st_mode):
            found.add((status.st_dev, status.st_ino))
    return frozenset(found)


def _hash_content(tree: Path) -> str:
    digest = hashlib.sha256()
    own = _own_outputs()
    for path in _walk(tree):
        try:
            described = _describe_file(path, own)
        except OSError:
            # It went, or may not be read: that it is listed still counts.
            described = b"unreadable"
        if described:
            for part in (os.fsencode(path.relative_to(tree)), described):
                digest.update(b"%d:" % len(part) + part)
    return digest.hexdigest()


def _walk(tree: Path) -> Iterator[Path]:
    """List what is neither a folder nor skipped, in an order that the content alone decides."""
    for folder, folders, names in os.walk(tree):
        links = [name for name in folders if Path(folder, name).is_symlink()]
        folders[:] = sorted(name for name in folders if name not in _SKIPPED and name not in links)
        for name in sorted(names + links):
            if name != ".git":
                yield Path(folder, name)


def _describe_file(path: Path, own: frozenset[tuple[int, int]]) -> bytes:
    """Name the content of one file; nothing for a pipe, a socket, a device or one of *own*."""
    status = path.lstat()
    if (status.st_dev, status.st_ino) in own:
        return b""
    if stat.S_ISLNK(status.st_mode):
        return b"link " + os.fsencode(path.readlink())
    if not stat.S_ISREG(status.st_mode):
        return b""
    kind = b"program " if status.st_mode & stat.S_IXUSR else b"file "
    if status.st_size > _READ_WHOLE_BYTES:
        return kind + b"of %d bytes, %d" % (status.st_size, status.st_mtime_ns)
    return kind + hashlib.sha256(path.read_bytes()).digest()
