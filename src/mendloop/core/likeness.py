"""
Which findings that are gone and which that came are the same, in new words or at a new place.

A tool that is upgraded says the same in other words, a renamed variable changes message and line,
and a renamed file the path. What is told here is only what the evidence allows: one finding of one
rule that is gone and one that came, which agree in what is left. Where two might be meant, or
too little is left to agree in, they stay two.
"""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence

import msgspec

__all__ = ["Traits", "reworded"]

_NAMED = re.compile(r"`([^`]+)`|'([^']+)'|\"([^\"]+)\"")
_NUMBER = re.compile(r"\d+")
_WORD = re.compile(r"[^\W\d]\w*")
_MARK = "\u00ab\u00bb"
# On such a line a name is all that there is: another name is another finding.
_NAMES_ONLY = re.compile(r"\b(?:import|include|require|use|using)\b")
_KEYWORD = re.compile(
    r"and|as|assert|async|await|break|case|class|const|continue|def|del|do|elif|else|"
    r"except|final|finally|fn|for|from|func|function|if|in|is|lambda|let|match|new|"
    r"none|not|null|or|pass|private|public|raise|return|self|static|struct|switch|this|"
    r"throw|true|try|var|void|while|with|yield",
    re.IGNORECASE,
)
_MIN_WORDS = 2
_MIN_WORDS_RENAMED = 3
_MIN_RATIO = 0.85


class Traits(msgspec.Struct, frozen=True, kw_only=True):
    """
    What two findings are compared by.

    Attributes:
        source: Who reports it.
        rule: The tool's rule id.
        path: Its file.
        message: What is wrong.
        context: The text of its line.
    """

    source: str
    rule: str
    path: str
    message: str
    context: str


_Key = Callable[[Traits], Hashable | None]


def reworded(gone: Sequence[Traits], came: Sequence[Traits]) -> dict[int, int]:
    """
    Tell which of *came* is which of *gone*, the surest evidence first.

    Args:
        gone: Findings that are not reported any more.
        came: Findings that were never reported before.

    Returns:
        From places in *came* to places in *gone*; no place of either stands in it twice.
    """
    pairs: dict[int, int] = {}
    left_gone, left_came = set(range(len(gone))), set(range(len(came)))
    for key in (_same_line, _same_place, _renamed_name, _renamed_file, _same_message):
        olds, news = _by_key(gone, left_gone, key), _by_key(came, left_came, key)
        for shared in olds.keys() & news.keys():
            # What is not sure here is no surer by less evidence.
            left_gone.difference_update(olds[shared])
            left_came.difference_update(news[shared])
            if len(olds[shared]) == len(news[shared]) == 1:
                [old], [new] = olds[shared], news[shared]
                if key is not _same_message or _is_near(gone[old], came[new]):
                    pairs[new] = old
    return pairs


def _by_key(traits: Sequence[Traits], places: set[int], key: _Key) -> dict[Hashable, list[int]]:
    grouped: defaultdict[Hashable, list[int]] = defaultdict(list)
    for place in sorted(places):
        value = key(traits[place])
        if value is not None and traits[place].rule:
            grouped[traits[place].source, traits[place].rule, value].append(place)
    return grouped


def _same_line(one: Traits) -> Hashable | None:
    """One line of one file, and a message that differs in numbers and quoted names at most."""
    context = _spaced(one.context)
    return (one.path, context, _masked(one.message)) if context else None


def _same_place(one: Traits) -> Hashable | None:
    """One line of one file, whatever the message."""
    context = _spaced(one.context)
    return (one.path, context) if _count_words(context) >= _MIN_WORDS else None


def _renamed_name(one: Traits) -> Hashable | None:
    """One line of one file but for the names that the message quotes."""
    context = _spaced(one.context)
    for names in _NAMED.findall(one.message):
        name = next(filter(None, names))
        context = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", _MARK, context)
    is_telling = _MARK in context and not _NAMES_ONLY.search(context)
    if not is_telling or _count_words(context) < _MIN_WORDS_RENAMED:
        return None
    return one.path, context, _masked(one.message)


def _renamed_file(one: Traits) -> Hashable | None:
    """One line and one message in another file."""
    context = _spaced(one.context)
    is_telling = _count_words(context) >= _MIN_WORDS
    return (context, _numbers_masked(one.message)) if is_telling else None


def _same_message(one: Traits) -> Hashable | None:
    """One message in one file, but for numbers; the lines have to be near as well."""
    return (one.path, _numbers_masked(one.message)) if one.context.strip() else None


def _is_near(one: Traits, other: Traits) -> bool:
    pair = difflib.SequenceMatcher(a=_spaced(one.context), b=_spaced(other.context))
    return pair.ratio() >= _MIN_RATIO


def _masked(message: str) -> str:
    return _numbers_masked(_NAMED.sub(_MARK, message))


def _numbers_masked(message: str) -> str:
    return _NUMBER.sub("#", _spaced(message))


def _count_words(context: str) -> int:
    return sum(_KEYWORD.fullmatch(word) is None for word in _WORD.findall(context))


def _spaced(text: str) -> str:
    return " ".join(text.split())
