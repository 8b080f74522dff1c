"""
Every text that is kept passes here first: cleaned, redacted, capped.

Review text is hostile input. What could steer a terminal, hide words from a person or give away a
secret goes before the text is stored; what is left is still only data, and is escaped again where
it is shown.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import TypeAlias

from mendloop.core.secrets import SECRET_KINDS, without_secrets

__all__ = [
    "AUTHOR_LIMIT_BYTES",
    "COMMENT_ID_LIMIT_BYTES",
    "CONTEXT_LIMIT_BYTES",
    "DESCRIPTION_LIMIT_BYTES",
    "ERROR_MESSAGE_LIMIT_BYTES",
    "METADATA_KEY_LIMIT_BYTES",
    "METADATA_VALUE_LIMIT_BYTES",
    "NOTE_LIMIT_BYTES",
    "PATH_LIMIT_BYTES",
    "REASON_LIMIT_BYTES",
    "RULE_LIMIT_BYTES",
    "Redactor",
    "clean",
    "is_cut",
    "no_redaction",
    "redact_secrets",
    "tidy",
]

AUTHOR_LIMIT_BYTES = 256
COMMENT_ID_LIMIT_BYTES = 256
CONTEXT_LIMIT_BYTES = 256
DESCRIPTION_LIMIT_BYTES = 8192
ERROR_MESSAGE_LIMIT_BYTES = 2048
METADATA_KEY_LIMIT_BYTES = 256
METADATA_VALUE_LIMIT_BYTES = 1024
NOTE_LIMIT_BYTES = 512
PATH_LIMIT_BYTES = 1024
REASON_LIMIT_BYTES = 1024
RULE_LIMIT_BYTES = 256

Redactor: TypeAlias = Callable[[str], str]
"""Takes secrets out of a text and leaves a mark; idempotent."""

_REPLACEMENT = "\ufffd"
_PLAIN_ASCII = re.compile(r"[^\t\n -~]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_CARRIAGE_RETURN = re.compile(r"\r\n?")

# Where a sequence is not ended, only its introducer goes: text is shown rather than lost. The
# payload excludes every introducer, so that a text full of them is still read once, not N times.
_SEQUENCES = (
    "(?:\x1b[\\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x80-\x9f]*(?:\x07|\x1b\\\\|\x9c)"
    "|(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]?"
    "|\x1b[ -/]*[0-~]?"
)
_CONTROLS = "\x00-\x08\x0b-\x1f\x7f-\x9f"
_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_ZERO_WIDTH = "\u200b-\u200d\u2060\ufeff"
_TAGS = "\U000e0000-\U000e007f"
_NONCHARACTERS = "\ufdd0-\ufdef" + "".join(
    chr(plane << 16 | last) for plane in range(17) for last in (0xFFFE, 0xFFFF)
)
_STRIPPED = re.compile(f"{_SEQUENCES}|[{_CONTROLS}{_BIDI}{_ZERO_WIDTH}{_TAGS}{_NONCHARACTERS}]")

# Unicode's stream-safe form (UAX 15) allows this many marks on one letter; marks are no word
# characters, so shorter runs of such cannot hold more.
_MAX_MARKS = 30
_MAYBE_MARKS = re.compile(rf"[^\w\s\x00-\u02ff]{{{_MAX_MARKS + 1},}}")


def clean(text: str, *, limit_bytes: int) -> str:
    """
    Take out what steers a terminal or hides from a reader, and cap what is left.

    Escape sequences, controls but tab and newline, bidi controls, zero width characters, tags and
    noncharacters go, and marks beyond the thirtieth on one letter; a line ends in a newline; surrogates become U+FFFD; the rest is NFC.
    Idempotent.

    Args:
        text: Anything, lone surrogates too.
        limit_bytes: Cap on the UTF-8 form; what is over it is cut, and a mark says how much.
    """
    return _capped(_stripped(text), limit_bytes)


def tidy(text: str, *, limit_bytes: int, redact: Redactor) -> str:
    """
    Clean, redact and cap a text that is to be kept.

    Redaction comes before the cap, so that no half of a secret is left where the text is cut.

    Args:
        text: As it came.
        limit_bytes: Cap on the UTF-8 form.
        redact: What takes the secrets out; its answer is cleaned again.
    """
    stripped = _stripped(text)
    redacted = redact(stripped)
    if redacted is not stripped:
        redacted = _stripped(redacted)
    return _capped(redacted, limit_bytes)


def is_cut(text: str) -> bool:
    """Whether *text* ends with the mark of what was cut off."""
    return _CUT_MARK.search(text) is not None


def no_redaction(text: str) -> str:
    """Leave the text as it is."""
    return text


def _stripped(text: str) -> str:
    if not _PLAIN_ASCII.search(text):
        return text
    text = _CARRIAGE_RETURN.sub("\n", text)
    text = _STRIPPED.sub("", text)
    text = _SURROGATE.sub(_REPLACEMENT, text)
    if text.isascii():
        return text
    # Once before, since normalising takes time with the square of a run of marks; once after,
    # since it can lengthen one.
    return _without_mark_piles(unicodedata.normalize("NFC", _without_mark_piles(text)))


def _without_mark_piles(text: str) -> str:
    return _MAYBE_MARKS.sub(_first_marks, text)


def _first_marks(match: re.Match[str]) -> str:
    kept: list[str] = []
    run = 0
    for character in match[0]:
        run = run + 1 if unicodedata.category(character).startswith("M") else 0
        if run <= _MAX_MARKS:
            kept.append(character)
    return "".join(kept)


def _capped(text: str, limit_bytes: int) -> str:
    if len(text) <= limit_bytes and (text.isascii() or len(text.encode()) <= limit_bytes):
        return text
    encoded = text.encode()
    # The mark is sized for the largest figure it may have to carry.
    room = limit_bytes - len(_cut_mark(len(encoded)).encode())
    if room < 0:
        return _prefix(encoded, limit_bytes)
    kept = _prefix(encoded, room)
    return kept + _cut_mark(len(encoded) - len(kept.encode()))


_CUT_MARK = re.compile(r"… \[cut: [0-9]+ bytes more\]\Z")


def _cut_mark(cut_bytes: int) -> str:
    return f"… [cut: {cut_bytes} bytes more]"


def _prefix(encoded: bytes, size_bytes: int) -> str:
    return encoded[: max(size_bytes, 0)].decode(errors="ignore")


def _stand_in(number: int) -> str:
    """Two noncharacters, which no cleaned text holds, in place of a mark while one is searched."""
    first, second = divmod(number, 0x20)
    return chr(0xFDD0 + first) + chr(0xFDD0 + second)


_MARK = re.compile(r"\[redacted: (" + "|".join(map(re.escape, SECRET_KINDS)) + r")\]")
_STAND_IN = re.compile("[\ufdd0-\ufdef]{2}")
_STAND_INS = {kind: _stand_in(number) for number, kind in enumerate(SECRET_KINDS)}
_MARKS = {stand_in: f"[redacted: {kind}]" for kind, stand_in in _STAND_INS.items()}
_FOREIGN_STAND_INS = re.compile("[\ufdd0-\ufdef]")

_MAX_SWEEPS = 8
"""A text that still shows secrets after so many was made to: nothing of it is kept."""


def redact_secrets(text: str) -> str:
    """
    Replace what is plainly a secret by a mark such as ``[redacted: github token]``.

    Hashes, UUIDs and code stay, but for a random value right behind a key word. Idempotent, since
    a mark is never searched and the text is searched until nothing more is found; the same object
    comes back where nothing was found. Takes time in proportion to the text.
    """
    searched = text if text.isascii() else _FOREIGN_STAND_INS.sub("", text)
    if "[redacted: " in text:
        searched = _MARK.sub(lambda mark: _STAND_INS[mark[1]], searched)
    swept = without_secrets(searched, _STAND_INS)
    for _ in range(_MAX_SWEEPS):
        if swept is searched:
            break
        searched, swept = swept, without_secrets(swept, _STAND_INS)
    else:
        return f"[redacted: {SECRET_KINDS[-1]}]"
    if swept.isascii():
        return text
    marked = _STAND_IN.sub(lambda found: _MARKS[found[0]], swept)
    return text if marked == text else marked
