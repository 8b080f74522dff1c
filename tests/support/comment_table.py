"""Comments with what must come of each, and what of a comment is nowhere in what was read of it."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from mendloop.intake.comments import ReviewComment

__all__ = ["TABLE", "TableComment", "fenced", "lost_words", "quoted"]

_FOLDER = Path(__file__).parents[1] / "intake" / "data" / "comments"
_UNSEEN = re.compile(r"</?[A-Za-z][^<>]*>|&nbsp;|(?<=\])\([^()]*\)")
_WORD = re.compile(r"[^\W_]+")
# What says the fields and the titles, and no more.
_STRUCTURE = re.compile(
    "required|changes|issue|type|severity|bug|enhancement|documentation|performance|security|"
    "regression|missing|feature|low|medium|high|critical|expected|actual|behaviou?r|results|vs|"
    "detailed|description|acceptance|unmet|criteria|not|met|steps|to|reproduce|reproduction|"
    "red|circle|x|[0-9]+"
)


class TableComment(NamedTuple):
    """A comment; *becomes* is None where it is no finding."""

    name: str
    body: str
    becomes: ReviewComment | None


def _read(path: Path) -> list[TableComment]:
    rows: list[dict[str, Any]] = tomllib.loads(path.read_text())["comment"]
    for row in rows:
        assert row.get("is_none", False) != ("becomes" in row), row["name"]
    return [
        TableComment(
            f"{path.stem}: {row['name']}",
            row["body"],
            msgspec.convert(row["becomes"], ReviewComment) if "becomes" in row else None,
        )
        for row in rows
    ]


TABLE = [comment for path in sorted(_FOLDER.glob("*.toml")) for comment in _read(path)]


def lost_words(body: str, comment: ReviewComment) -> Counter[str]:
    """Words that a reader of *body* sees, and that *comment* says less often, but for its structure."""
    kept = _words(f"{comment.text()}\n{comment.note}")
    lost = _words(_UNSEEN.sub(" ", body)) - kept
    for word in list(lost):
        if _STRUCTURE.fullmatch(word):
            del lost[word]
    return lost


def _words(text: str) -> Counter[str]:
    return Counter(_WORD.findall(text.casefold()))


def quoted(text: str) -> str:
    """All of *text* in a quote."""
    return "\n".join(f"> {line}" for line in re.split(r"\r\n?|\n", text))


def fenced(text: str) -> str:
    """All of *text* in a fence that nothing in it ends."""
    return f"{'`' * 12}\n{text}\n{'`' * 12}"
