"""What the search for secrets costs: little on what is read every day, and never the square."""

import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from mendloop.core.secret_places import BLOCK_RULES, PLACE_RULES
from mendloop.core.secret_tokens import TOKEN_RULES
from mendloop.core.text import redact_secrets

_HINTS = sorted(
    {hint for rule in (*BLOCK_RULES, *TOKEN_RULES, *PLACE_RULES) for hint in rule.hints}
)
# What the rules look for as it is written, and beginnings that a rule reads on from.
_BEGINNINGS = [
    "-----BEGIN RSA PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----\nComment: ",
    "-----BEGIN PRIVATE KEY-----\nA7",
    "Private-Lines: 3\n",
    "AKIA",
    "EAAA",
    "SK",
    "M",
    "s.",
    "0Q~",
    "eyJ-",
    "12345678:AA",
    "Authorization: Bearer ",
    "authorization:",
    "cookie=",
    "login a password ",
    "mysql -p",
    "https://a:",
    "%3A%2F%2Fa%3Aa",
    "&sig=",
    "token: ",
    "--token ",
    "secret>",
    'password="',
    "password='",
    'password=\\"',
    "name: TOKEN\n  value: ",
    "[redacted: secret]",
]
_REPEATED = ["", "A7", "=", "-", " ", "\n", '"', ":", "/", ".", "%3a", "a@"]
_LENGTH = 4_000
_TIMES_LONGER = 4
# Twice the text may take two and a half times as long.
_MOST = 2.5 ** (_TIMES_LONGER / 2)


def _text(head: str, unit: str, end: str, length: int) -> str:
    return head + unit * (length // len(unit)) + end


def _seconds(text: str, *, tries: int) -> float:
    best = float("inf")
    for _ in range(tries):
        before = time.process_time()
        redact_secrets(text)
        best = min(best, time.process_time() - before)
    return best


def _is_in_proportion(text_of: Callable[[int], str]) -> bool:
    """Measured again where a first look says no, since something else may have run meanwhile."""
    short, long = text_of(_LENGTH), text_of(_TIMES_LONGER * _LENGTH)
    # What takes so little time for the long text is none to measure.
    if _seconds(long, tries=1) < 0.02:
        return True
    return any(
        _seconds(long, tries=tries) <= _MOST * max(_seconds(short, tries=tries), 0.001)
        for tries in (2, 4, 8)
    )


@pytest.mark.parametrize("repeated", _REPEATED)
def test_a_hostile_text_takes_time_in_proportion(repeated: str) -> None:
    """Beginnings of secrets over and over, or one and then a long text, and an end that fits none."""
    filler = repeated or "b"
    texts: dict[tuple[str, ...], Callable[[int], str]] = {}
    for beginning in (*_BEGINNINGS, *_HINTS):
        unit = beginning + repeated
        texts["again and again", beginning] = partial(_text, "", unit, '"')
    for beginning in _BEGINNINGS:
        texts["once", beginning] = partial(_text, beginning, filler, " !\n")

    slow = [name for name, text_of in texts.items() if not _is_in_proportion(text_of)]

    assert [] == slow


@pytest.mark.parametrize(
    "text",
    [
        "Saving a profile with an empty display name answers 500, and the form shows no message. "
        * 93,
        Path(re.__file__).with_name("_parser.py").read_text(encoding="utf-8")[:8192],
        "The `password` and the token of " + "https://example.com/a/b are compared as text. " * 178,
    ],
    ids=["prose", "code", "talk about secrets"],
)
def test_eight_kilobytes_without_secrets_cost_a_few_readings(text: str) -> None:
    """The search takes no longer than some runs of a plain pattern for words over the text."""
    words = re.compile(r"[a-z]+", re.IGNORECASE)

    def seconds(run: Callable[[str], object]) -> float:
        before = time.process_time()
        for _ in range(5):
            run(text)
        return time.process_time() - before

    costs = [seconds(redact_secrets) / seconds(words.findall) for _ in range(9)]

    assert text is redact_secrets(text)
    assert min(costs) < 5, costs
