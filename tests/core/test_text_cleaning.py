import os
import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mendloop.core.text import DESCRIPTION_LIMIT_BYTES, clean, no_redaction, tidy

EXAMPLES = 20_000 if int(os.environ.get("MENDLOOP_SOAK", "0")) else 1_000

# Pieces that sequences are made of, so that removing one may join two others.
_SEQUENCES = ["\x1b", "[", "]8;;", "m", "31", "\x07", "\\", "\x9b", "\x9d", "\x9c", "\r", "\n"]
_LETTERS = [
    "\u200b",
    "\u0301",
    "e",
    "\u0958",
    "\u1100",
    "\u1161",
    "\ud83d",
    "\ude00",
    "…",
    " more]",
]
_PIECES = st.sampled_from([*_SEQUENCES, *_LETTERS])
_ANYTHING = st.text(alphabet=st.characters(exclude_categories=()), max_size=200)
_HOSTILE = st.one_of(_ANYTHING, st.lists(_PIECES, max_size=80).map("".join))


def _cleaned(text: str) -> str:
    return clean(text, limit_bytes=DESCRIPTION_LIMIT_BYTES)


@pytest.mark.parametrize(
    ("dirty", "expected"),
    [
        ("\x1b[1;31merror\x1b[0m: x", "error: x"),
        ("\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\", "click"),
        ("\x1b]0;title\x07text", "text"),
        ("\x9b31mred\x9b0m", "red"),
        ("\x9dtitle\x9ctext", "text"),
        ("\x1bPq#0\x1b\\after", "after"),
        ("\x1b(Bplain\x1bM", "plain"),
        ("\x1b\x1b[0m[31mx", "[31mx"),
        ("\x1b]8;;never ended", "8;;never ended"),
        ("\u200b\x1b[0mx", "x"),
        ("cut in a sequence \x1b[31", "cut in a sequence "),
        ("a\r\nb\rc\n", "a\nb\nc\n"),
        ("tab\tstays\x00\x08\x7f\x85", "tab\tstays"),
        ("if a\u202e\u2066 != b\u2069\u061c\u200e", "if a != b"),
        ("zero\u200b\u200c\u200d\u2060\ufeffwidth", "zerowidth"),
        ("tag\U000e0041\U000e007fged", "tagged"),
        ("non\ufdd0\uffff\U0010fffechar", "nonchar"),
        ("lone \ud800 surrogate", "lone \ufffd surrogate"),
        ("e\u0301", "\u00e9"),
        ("Привет, 日本 😀", "Привет, 日本 😀"),
    ],
)
def test_nothing_that_steers_or_hides_is_left(dirty: str, expected: str) -> None:
    """Sequences, controls, bidi, zero width and tags go, and the words stay."""
    assert expected == _cleaned(dirty)


def test_printable_ascii_comes_back_as_it_is() -> None:
    """A text with nothing to clean is the very same object."""
    text = "def f(x):\n\treturn x  # fine ~!\n"

    assert _cleaned(text) is text


@settings(max_examples=EXAMPLES, deadline=None)
@given(text=_HOSTILE, limit_bytes=st.integers(0, 120))
def test_cleaning_twice_is_cleaning_once(text: str, limit_bytes: int) -> None:
    """Whatever the text and the limit, a second cleaning changes nothing and the cap holds."""
    once = clean(text, limit_bytes=limit_bytes)

    assert len(once.encode()) <= limit_bytes
    assert once == clean(once, limit_bytes=limit_bytes)


@settings(max_examples=EXAMPLES, deadline=None)
@given(text=_HOSTILE)
def test_a_cleaned_text_holds_no_forbidden_character(text: str) -> None:
    """Judged character by character, by category and block, not by the pattern that cleans."""
    cleaned = _cleaned(text)

    for character in cleaned:
        code = ord(character)
        assert character in "\t\n" or unicodedata.category(character) not in {"Cc", "Cs"}
        assert unicodedata.bidirectional(character) not in {"LRE", "RLE", "PDF", "LRO", "RLO"}
        assert unicodedata.bidirectional(character) not in {"LRI", "RLI", "FSI", "PDI"}
        assert code not in {0x61C, 0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x2060, 0xFEFF}
        assert not 0xE0000 <= code <= 0xE007F
        assert code & 0xFFFE != 0xFFFE
    assert unicodedata.is_normalized("NFC", cleaned)


def test_a_cut_says_how_much_is_missing() -> None:
    """The mark counts the bytes that are gone, and mark and text fit in the limit."""
    text = "ж" * 5_000

    cut = clean(text, limit_bytes=100)
    kept, _, mark = cut.partition("…")

    assert 100 >= len(cut.encode()) > 95
    assert f" [cut: {10_000 - len(kept.encode())} bytes more]" == mark


def test_a_limit_too_small_for_the_mark_still_holds() -> None:
    """A cap of a few bytes cuts at a character and leaves the mark out."""
    assert clean("жжжжжжжжжжжжжжжжж", limit_bytes=5) == "жж"


def test_a_pile_of_marks_is_no_denial_of_service() -> None:
    """A million marks on one letter are cut to thirty in about a second, not in hours."""
    started = time.monotonic()
    cleaned = _cleaned("a" + "\u0301\u0316" * 500_000 + "b")

    assert len(cleaned) <= 32
    assert cleaned[-1] == "b"
    assert time.monotonic() - started < 10


def test_a_letter_that_comes_apart_has_no_more_marks_than_another() -> None:
    """A letter that normalising splits into a letter and a mark is counted as it ends up."""
    cleaned = _cleaned("\u0958" + "\u0301" * 30)

    assert len(cleaned) == 31
    assert cleaned == _cleaned(cleaned)


def test_what_a_redactor_answers_is_cleaned_too() -> None:
    """A redactor that puts in control characters does not get them stored."""
    tidied = tidy("x", limit_bytes=100, redact=lambda text: text + "\x1b[31m\u202e!")

    assert tidied == "x!"


def test_without_redaction_tidy_is_clean() -> None:
    """The redactor that does nothing leaves cleaning and cap as they are."""
    text = "\x1b[1mtoken=ghp_0123456789abcdefABCDEF0123456789abcd"

    assert clean(text, limit_bytes=40) == tidy(text, limit_bytes=40, redact=no_redaction)
