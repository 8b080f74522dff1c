"""
Every kind of secret that is recognised, in the order of search, and the search itself.

A block goes first, since it holds what looks like other secrets; then what has a shape of its own,
so that its mark says the most; last what is known by its place.

Most texts hold none, so that a search has to turn them down fast: tokens are looked for in long
words alone, and a rule runs only where one of its hints stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from mendloop.core.secret_places import BLOCK_RULES, PLACE_RULES
from mendloop.core.secret_rules import Rule
from mendloop.core.secret_tokens import MIN_TOKEN_LENGTH, TOKEN_RULES

__all__ = ["SECRET_KINDS", "without_secrets"]

_OTHER_RULES = (*BLOCK_RULES, *PLACE_RULES)

SECRET_KINDS = tuple(dict.fromkeys(rule.kind for rule in (*TOKEN_RULES, *_OTHER_RULES)))
"""The last one says nothing more than that it is a secret."""

_SIGNS = "_-.:/~"


def _sign(rule: Rule) -> str:
    """The first of a few characters that all hints hold, so that one look turns many down."""
    return next((sign for sign in _SIGNS if all(sign in hint for hint in rule.hints)), "")


_BY_SIGN = {
    sign: tuple(rule for rule in TOKEN_RULES if rule.hints and _sign(rule) == sign)
    for sign in ("", *_SIGNS)
}
_UNHINTED = tuple(rule for rule in TOKEN_RULES if not rule.hints)

# The one character whose lower case is longer than itself, which would move all places behind it.
_GROWING = "\u0130"


def without_secrets(text: str, marks: Mapping[str, str]) -> str:
    """
    Replace each secret by the mark of its kind; the same object comes back where there is none.

    Args:
        text: Cleaned.
        marks: One for each kind, which no rule takes for a part of a secret.
    """
    lowered = _lowered(text)
    places: dict[Callable[[str], list[int]], list[int]] = {}
    for rule in _rules_for(lowered):
        if rule.places not in places:
            places[rule.places] = rule.places(lowered)
        marked = _applied(rule, text, places[rule.places], marks[rule.kind])
        if marked is not text:
            text, lowered = marked, _lowered(marked)
            places.clear()
    return text


def _lowered(text: str) -> str:
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else text.replace(_GROWING, "I").lower()


def _rules_for(lowered: str) -> Iterator[Rule]:
    words = " ".join([word for word in lowered.split() if len(word) >= MIN_TOKEN_LENGTH])
    yield from _hinted(BLOCK_RULES, lowered)
    if words:
        for sign, rules in _BY_SIGN.items():
            if sign in words:
                yield from _hinted(rules, words)
        yield from [rule for rule in _UNHINTED if rule.places(words)]
    yield from _hinted(PLACE_RULES, lowered)


def _hinted(rules: Sequence[Rule], lowered: str) -> Iterator[Rule]:
    hints: tuple[str, ...] = ()
    is_hinted = False
    for rule in rules:
        # Rules that share their hints stand together.
        if rule.hints is not hints:
            hints, is_hinted = rule.hints, False
            # A plain loop takes a quarter of the time of any(): it runs for each text that is kept.
            for hint in hints:
                if hint in lowered:
                    is_hinted = True
                    break
        if is_hinted:
            yield rule


def _applied(rule: Rule, text: str, places: Sequence[int], mark: str) -> str:
    pieces: list[str] = []
    kept = searched = 0
    for place in places:
        if place < searched or not (match := rule.pattern.match(text, place)):
            continue
        searched = match.end()
        if rule.is_secret is None or rule.is_secret(match):
            start, end = match.span("secret")
            pieces += (text[kept:start], mark)
            kept = end
    return "".join([*pieces, text[kept:]]) if pieces else text
