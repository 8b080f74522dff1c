"""Where a report says that a fault is, as a path in the work tree."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from pathlib import PurePath
from urllib.parse import unquote

__all__ = ["path_in_tree", "resolved_base"]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
_WINDOWS_DRIVE = re.compile(r"/[A-Za-z]:/")
_MAX_BASES = 16


def path_in_tree(uri: str, *, base: str, root: PurePath | None) -> str:
    """
    Turn a SARIF uri into a path, relative to *root* where it lies below it.

    Args:
        uri: Absolute or relative, percent-encoded (SARIF 2.1.0, 3.4.3).
        base: What a relative one stands on, from `resolved_base`, or "".
        root: The work tree, absolute, or None where there is none.

    Returns:
        A relative path as it is where its base is not known or leads elsewhere; a uri that names no
        file comes back whole.
    """
    if not uri:
        return ""
    is_relative = not uri.startswith("/") and _SCHEME.match(uri) is None
    if not is_relative:
        return _below(_absolute_path(uri), root) or _absolute_path(uri)
    path = posixpath.normpath(unquote(uri))
    if not base:
        return path
    return _below(posixpath.join(_absolute_path(base), path), root) or path


def resolved_base(name: str, bases: Mapping[str, tuple[str, str]]) -> str:
    """
    Follow a uriBaseId to the absolute uri that it stands for (SARIF 2.1.0, 3.14.14).

    Args:
        name: The id.
        bases: Each id's own uri, and the id of the base that it is relative to or "".

    Returns:
        The uri, or "" where the report does not say.
    """
    uri = ""
    for _ in range(_MAX_BASES):
        own, name = bases.get(name, ("", ""))
        uri = own + uri
        if _SCHEME.match(own) or own.startswith("/"):
            return uri
        if not name:
            return ""
    return ""


def _absolute_path(uri: str) -> str:
    scheme = _SCHEME.match(uri)
    if scheme is None:
        return posixpath.normpath(unquote(uri))
    if scheme[1].lower() != "file":
        return uri
    rest = uri[scheme.end() :]
    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        rest = slash + path if host in {"", "localhost"} else rest
    path = unquote(rest)
    if _WINDOWS_DRIVE.match(path):
        path = path[1:]
    return posixpath.normpath(path)


def _below(path: str, root: PurePath | None) -> str:
    if root is None:
        return ""
    top = root.as_posix().rstrip("/") + "/"
    path = posixpath.normpath(path)
    return path[len(top) :] if path.startswith(top) else ""
