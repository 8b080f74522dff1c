"""The files that bundles are in: written whole or not at all, packed or not, standard streams too."""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

__all__ = ["read_bundle", "written_bundle"]

_GZIP = b"\x1f\x8b"


@contextlib.contextmanager
def written_bundle(name: str) -> Iterator[BinaryIO]:
    """
    Write the file of this name: it is there as a whole at the end, and only its owner may read it.

    Args:
        name: It is packed where it ends in .gz; "-" is standard output.
    """
    path = Path(name)
    if name == "-":
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if path.exists() and not path.is_file():
        with path.open("wb") as device:
            yield device
        return
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(handle, "wb") as file:  # noqa: PTH123 - a handle, no path
            with _packed(file) if path.suffix == ".gz" else contextlib.nullcontext(file) as out:
                yield out
            file.flush()
            os.fsync(file.fileno())
        Path(draft).replace(path)
    finally:
        Path(draft).unlink(missing_ok=True)


@contextlib.contextmanager
def read_bundle(name: str) -> Iterator[BinaryIO]:
    """
    Read the file of this name, which may be read again from its beginning; "-" is standard input.

    What is packed is recognised. What can be read only once is copied to a temporary file.
    """
    with contextlib.ExitStack() as stack:
        given = sys.stdin.buffer if name == "-" else stack.enter_context(Path(name).open("rb"))
        file: BinaryIO = given
        if name == "-" or not given.seekable():
            file = cast("BinaryIO", stack.enter_context(tempfile.TemporaryFile()))
            shutil.copyfileobj(given, file)
            file.seek(0)
        is_packed = file.read(len(_GZIP)) == _GZIP
        file.seek(0)
        if is_packed:
            yield cast("BinaryIO", stack.enter_context(gzip.GzipFile(fileobj=file)))
        else:
            yield file


def _packed(file: BinaryIO) -> contextlib.AbstractContextManager[BinaryIO]:
    return cast(
        "contextlib.AbstractContextManager[BinaryIO]",
        gzip.GzipFile(fileobj=file, mode="wb", compresslevel=6, mtime=0),
    )
