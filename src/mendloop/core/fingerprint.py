"""
What names a finding across reviews.

The name survives moved lines: it is made of the rule, the file, and what the tool itself names the
finding by, or else the message and the text of its line, and of the forge's comment id where it is
a comment. Line numbers are never part of it.
Findings that are equal in all of that are told apart by their order in the file.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import TypeAlias

from mendloop.core.findings import RawFinding

__all__ = ["fingerprint", "number_findings"]

_VERSION = "1"
_HEX_DIGITS = 32

_Traits: TypeAlias = tuple[str, ...]

# "line 12", "lines 3-7", "line 3, column 9", "app.py:12:5": places, which move.
_PLACE = re.compile(
    r"\b(lines?|columns?|cols?)([ \t]+)\d+(?:(?:[-\u2013]|[ \t]+(?:to|and)[ \t]+)\d+)?"
    r"|(\.\w{1,8}):\d+(?::\d+)?\b",
    re.IGNORECASE,
)


def fingerprint(finding: RawFinding, *, source: str, ordinal: int) -> str:
    """
    Name *finding* so that the next review's report of the same fault gets the same name.

    Args:
        finding: As reported.
        source: Who reports; two sources never share a name.
        ordinal: Its place among its equals, see `number_findings`.

    Returns:
        32 hex digits.
    """
    digest = hashlib.sha256()
    for part in (_VERSION, source, *_traits(finding), str(ordinal)):
        encoded = part.encode(errors="surrogatepass")
        # With its length before it, no part can pass for the end of another.
        digest.update(b"%d:" % len(encoded))
        digest.update(encoded)
    return digest.hexdigest()[:_HEX_DIGITS]


def number_findings(findings: Sequence[RawFinding]) -> tuple[int, ...]:
    """
    Give each finding of one report its ordinal among its equals: 0 for the first in the file.

    Equals are counted by line, then as reported, so that lines inserted above change nothing.
    """
    equals: defaultdict[_Traits, list[int]] = defaultdict(list)
    for place, finding in enumerate(findings):
        equals[_traits(finding)].append(place)
    ordinals = [0] * len(findings)
    for places in equals.values():
        places.sort(key=lambda place: findings[place].line)
        for ordinal, place in enumerate(places):
            ordinals[place] = ordinal
    return tuple(ordinals)


def _traits(finding: RawFinding) -> _Traits:
    path = posixpath.normpath(finding.path) if finding.path else ""
    comment = ("comment", finding.comment_id) if finding.comment_id else ()
    if finding.identity:
        return (finding.tool, finding.rule, path, "identity", finding.identity, *comment)
    message = _without_spacing(_PLACE.sub(r"\1\2\3#", finding.description))
    context = _without_spacing(finding.context)
    return (finding.tool, finding.rule, path, "message", message, context, *comment)


def _without_spacing(text: str) -> str:
    return " ".join(text.split())
