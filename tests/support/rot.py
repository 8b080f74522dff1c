"""One row of a SQLite file changes under its digest: a failing disk, or a hand with a database tool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw

__all__ = ["ANOTHER_TEXT", "ROTS", "rot", "rows"]

ROTS = {
    "a byte of the body": "body = CAST(coalesce(substr(body, 1, 9), '') || x'00' ||"
    " coalesce(substr(body, 11), '') AS BLOB)",
    "no body": "body = x''",
    "no UTF-8 in the fields": "fields = CAST(x'7bff7d' AS TEXT)",
    "no JSON in the labels": "labels = 'held'",
    "other labels": """labels = '{"task-id":"other"}'""",
    "a revision beyond all": "revision = revision + 1099511627776",
    "the digest": "digest = digest + 1",
}
"""What becomes of a row, as SQL."""

ANOTHER_TEXT = "another text"
"""The same of a state that has findings: it can be read as before."""

_SQL = ROTS | {
    ANOTHER_TEXT: "body = CAST(replace(CAST(body AS TEXT), 'it breaks', 'it holds') AS BLOB)"
}


def rot(path: Path, kind: str, how: str, *, key: str = "%") -> str:
    """Have it happen to the first row of *kind* whose key is like *key*; returns its key."""
    connection = apsw.Connection(str(path))
    try:
        found = connection.execute(
            "SELECT key FROM document WHERE kind = ? AND key LIKE ? ORDER BY key LIMIT 1",
            (kind, key),
        ).get
        assert isinstance(found, str)
        connection.execute(
            f"UPDATE document SET {_SQL[how]} WHERE kind = ? AND key = ?",  # noqa: S608 - of this module
            (kind, found),
        )
    finally:
        connection.close()
    return found


def rows(path: Path) -> dict[tuple[str, str], tuple[Any, ...]]:
    """All that stands in each row, by kind and key."""
    connection = apsw.Connection(str(path))
    try:
        found = connection.execute(
            "SELECT kind, key, name_digest, revision, digest, CAST(fields AS BLOB),"
            " CAST(labels AS BLOB), body FROM document"
        ).fetchall()
    finally:
        connection.close()
    return {(str(row[0]), str(row[1])): row[2:] for row in found}
