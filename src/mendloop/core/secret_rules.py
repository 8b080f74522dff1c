"""What a kind of secret is recognised by, and what makes a value look like one."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["NEVER", "START", "Rule", "is_placeholder", "is_random"]

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

    Attributes:
        kind: Named in the mark.
        hints: A text without any of these, in lower case, is not searched.
        pattern: Its group "secret" is what goes. It has no upper bound on a secret's length, so
            that a secret is never redacted in part, and takes time in proportion to the text.
        is_secret: Looks at a match more closely, or None where the pattern says it all.
    """

    kind: str
    hints: tuple[str, ...]
    pattern: re.Pattern[str]
    is_secret: Callable[[re.Match[str]], bool] | None = None


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
