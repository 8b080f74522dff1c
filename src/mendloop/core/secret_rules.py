"""What a kind of secret is recognised by, and what makes a value look like one."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["NEVER", "START", "Rule", "is_placeholder", "is_random", "rule"]

NEVER = "\ufdd0-\ufdef"
"""Noncharacters that stand for marks while a text is searched: no secret holds one."""

START = r"(?:(?<![A-Za-z0-9_])|(?<=%[0-9A-Fa-f]{2})|(?<=\\[nrt]))"
"""Where a token may begin: after no letter or digit, but for one that ends an escape."""

_MIN_BITS_PER_CHARACTER = 2.75
_SYMBOLS = frozenset("!@#$%^&*~+?;|")
_PLACEHOLDER = re.compile(
    r"[$%<{*]*\{.*|\$[A-Za-z_(]\w*\)?|%[A-Za-z_]\w*%?|<.*|\*+|[xX]+|\.+|%\(\w+\)s|\[.*"
    r"|(?i:your|my|example|change|replace|insert|enter)[-_].*",
    re.DOTALL,
)


class Rule(NamedTuple):
    """
    One kind of secret.

    Places are found in the text in lower case at about the speed of a search for a literal, and
    *pattern*, which may be slow, is tried at these alone.

    Attributes:
        kind: Named in the mark.
        hints: A text without any of these, in lower case, is not searched; with none, every text
            is that has a place.
        places: Where, in the lower-cased text, the pattern is to be tried; rising.
        pattern: Its group "secret" is what goes. It has no upper bound on a secret's length, so
            that a secret is never redacted in part. Where it fails, it has read no further than
            the next place, or a bounded piece, so that all places together take time in
            proportion to the text.
        is_secret: Looks at a match more closely, or None where the pattern says it all.
    """

    kind: str
    hints: tuple[str, ...]
    places: Callable[[str], list[int]]
    pattern: re.Pattern[str]
    is_secret: Callable[[re.Match[str]], bool] | None = None


def rule(
    kind: str,
    hints: str,
    pattern: str,
    is_secret: Callable[[re.Match[str]], bool] | None = None,
    *,
    finder: str = "",
) -> Rule:
    """
    Make a rule whose pattern begins at a hint.

    Args:
        kind: Named in the mark.
        hints: Literals in lower case, parted by blanks.
        pattern: With a group "secret".
        is_secret: Looks at a match more closely.
        finder: Names the places, in lower-cased text, where a hint is not what it begins with.
    """
    words = tuple(hints.split())
    found = re.compile(finder or "|".join(map(re.escape, words)))

    def places(lowered: str) -> list[int]:
        return [match.start() for match in found.finditer(lowered)]

    return Rule(kind, words, places, re.compile(pattern), is_secret)


def is_placeholder(value: str) -> bool:
    """Whether *value* only stands where a secret would, as ``${TOKEN}`` and ``***`` do."""
    return _PLACEHOLDER.fullmatch(value) is not None


def is_random(value: str) -> bool:
    """Whether *value* mixes letters with digits or symbols, as words of a language do not."""
    has_letter = any(character.isalpha() for character in value)
    has_other = any(character.isdigit() or character in _SYMBOLS for character in value)
    return has_letter and has_other and _bits_per_character(value) >= _MIN_BITS_PER_CHARACTER


def _bits_per_character(text: str) -> float:
    total = len(text)
    return -sum(count / total * math.log2(count / total) for count in Counter(text).values())
