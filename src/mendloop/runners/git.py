"""What git says of a work tree; nothing of the repository is touched."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Set as AbstractSet
from pathlib import Path

__all__ = ["hash_folder", "is_ignored", "list_folder"]

# What a user's configuration could run, or write outside the temporary folder, is switched off.
_GIT = (
    "git",
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.splitIndex=false"),
    *("-c", "core.safecrlf=false"),
    *("-c", "core.fsync=none"),
    *("-c", "gc.auto=0"),
)
_GIT_TIMEOUT_SECONDS = 300
_NOT_IGNORED = 1


def hash_folder(tree: Path, *, own: AbstractSet[tuple[int, int]]) -> str:
    """
    Hash the folder as a git tree, as if all of it were added.

    Git adds it to a copy of the index, with new objects kept elsewhere.

    Args:
        own: Device and inode of files that are left out.

    Raises:
        ValueError: Git sees nothing in it.
        OSError, subprocess.SubprocessError: There is no git, or it fails.
    """
    with tempfile.TemporaryDirectory(prefix="mendloop-") as name:
        environment = _environment()
        facts = _ask_git(
            tree,
            environment,
            "rev-parse",
            "--show-prefix",
            "--git-path",
            "index",
            "--git-path",
            "objects",
        )
        prefix, index, objects = facts.split("\n")
        own_index, own_objects = Path(name, "index"), Path(name, "objects")
        if (tree / index).exists():
            # With its times: git distrusts entries that are not older than their index.
            shutil.copy2(tree / index, own_index)
        (own_objects / "info").mkdir(parents=True)
        alternates = own_objects / "info" / "alternates"
        alternates.write_bytes(os.fsencode((tree / objects).resolve()) + b"\n")
        environment |= {
            "GIT_INDEX_FILE": str(own_index),
            "GIT_OBJECT_DIRECTORY": str(own_objects),
        }
        _ask_git(tree, environment, "-c", f"lfs.storage={name}/lfs", "add", "-A", "--", ".")
        _leave_out(tree, environment, own)
        root = _ask_git(tree, environment, "write-tree", "--missing-ok")
        if not prefix:
            return root
        listing = _ask_git(tree, environment, "ls-tree", "-d", "--full-tree", root, prefix[:-1])
        if not listing:
            raise ValueError("git sees nothing in this folder: it is empty, or ignored")
        return listing.split("\t")[0].split()[-1]


def list_folder(tree: Path) -> list[str]:
    """
    List what git would add in *tree*, or has added, by paths in it.

    Raises:
        OSError, subprocess.SubprocessError: There is no git, or it fails.
    """
    return _ask_for_names(tree, _environment(), "-c", "-o", "--exclude-standard")


def is_ignored(tree: Path, path: Path) -> bool | None:
    """Whether git leaves *path* out of what it adds in *tree*; None where git cannot tell."""
    try:
        _ask_git(tree, _environment(), "check-ignore", "-q", "--", str(path))
    except subprocess.CalledProcessError as error:
        return False if error.returncode == _NOT_IGNORED else None
    except (OSError, subprocess.SubprocessError):
        return None
    return True


def _leave_out(tree: Path, environment: dict[str, str], own: AbstractSet[tuple[int, int]]) -> None:
    """Take the files of *own* from the index, by whatever names they are in it."""
    if not own:
        return
    names = _ask_for_names(tree, environment)
    found = [name for name in names if _is_one_of(tree / name, own)]
    if found:
        _ask_git(tree, environment, "update-index", "--force-remove", "--", *found)


def _is_one_of(path: Path, own: AbstractSet[tuple[int, int]]) -> bool:
    try:
        status = path.lstat()
    except OSError:  # it went since it was added
        return False
    return (status.st_dev, status.st_ino) in own


def _ask_for_names(tree: Path, environment: dict[str, str], *which: str) -> list[str]:
    listed = _ask_git(tree, environment, "ls-files", "-z", *which, "--", ".")
    return listed.split("\0")[:-1]


def _environment() -> dict[str, str]:
    """Without what would make git look elsewhere."""
    kept = {key: value for key, value in os.environ.items() if key[:4] != "GIT_"}
    return kept | {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}


def _ask_git(tree: Path, environment: dict[str, str], *arguments: str) -> str:
    answer = subprocess.run(
        [*_GIT, *arguments],
        cwd=tree,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
        timeout=_GIT_TIMEOUT_SECONDS,
    )
    return os.fsdecode(answer.stdout.removesuffix(b"\n"))
