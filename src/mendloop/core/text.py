"""
Every text that is kept passes here first: cleaned, redacted, capped.

Review text is hostile input. What could steer a terminal, hide words from a person or give away a
secret goes before the text is stored; what is left is still only data, and is escaped again where
it is shown.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

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


class _Rule(NamedTuple):
    """
    One kind of secret.

    Attributes:
        kind: Named in the mark.
        hints: A text without any of these, in lower case, is not searched.
        pattern: Its group "secret" is what goes. It never matches a mark, and has no upper bound
            on a secret's length, so that a secret is never redacted in part.
        is_secret: Looks at a match more closely, or None where the pattern says it all.
    """

    kind: str
    hints: tuple[str, ...]
    pattern: re.Pattern[str]
    is_secret: Callable[[re.Match[str]], bool] | None = None


def redact_secrets(text: str) -> str:
    """
    Replace what is plainly a secret by a mark such as ``[redacted: github token]``.

    Hashes, UUIDs and code stay, but for a random value right behind a key word. Idempotent; the
    same object comes back where nothing was found.
    """
    lowered = text.lower()
    for rule in _RULES:
        if any(hint in lowered for hint in rule.hints):
            text = _applied(rule, text)
    return text


def _applied(rule: _Rule, text: str) -> str:
    mark = f"[redacted: {rule.kind}]"

    def replace(match: re.Match[str]) -> str:
        if rule.is_secret is not None and not rule.is_secret(match):
            return match[0]
        start, end = match.span("secret")
        before = match.string[match.start() : start]
        return before + mark + match.string[end : match.end()]

    replaced = rule.pattern.sub(replace, text)
    return text if replaced == text else replaced


_MIN_BITS_PER_CHARACTER = 2.75
_NAME = re.compile(r"[A-Za-z_]+\d{0,2}|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
_MIN_BARE_TOKEN_LENGTH = 20
_MIN_UNQUOTED_LENGTH = 12


def _is_random(text: str) -> bool:
    has_digit = any(character.isdigit() for character in text)
    has_letter = any(character.isalpha() for character in text)
    return has_digit and has_letter and _bits_per_character(text) >= _MIN_BITS_PER_CHARACTER


def _bits_per_character(text: str) -> float:
    total = len(text)
    return -sum(count / total * math.log2(count / total) for count in Counter(text).values())


def _is_credential(match: re.Match[str]) -> bool:
    secret = match["secret"]
    is_mixed = secret[1:] != secret[1:].lower() and secret != secret.upper()
    return is_mixed or _is_random(secret) or len(secret) >= _MIN_BARE_TOKEN_LENGTH


def _is_assigned_secret(match: re.Match[str]) -> bool:
    secret = match["secret"]
    if match["quote"]:
        return _is_random(secret)
    follows = match.string[match.end() : match.end() + 1]
    is_code = follows in {"(", "["} or _NAME.fullmatch(secret) is not None
    return len(secret) >= _MIN_UNQUOTED_LENGTH and not is_code and _is_random(secret)


def _is_login(match: re.Match[str]) -> bool:
    scheme = match.string[max(match.start() - 5, 0) : match.start()].lower()
    return ":" in match["secret"] or scheme.endswith(("http", "https"))


def _has_digit(match: re.Match[str]) -> bool:
    return any(character.isdigit() for character in match["secret"])


_PEM_NAME = r"(?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"

_RULES = (
    _Rule(
        "private key",
        ("private key",),
        re.compile(
            rf"(?P<secret>-----BEGIN {_PEM_NAME}"
            rf"(?:[^-]*(?:-(?!----)[^-]*)*-----END {_PEM_NAME}"
            r"|(?:\s|\\[nr]|[A-Za-z-]+: [^\n]*|[A-Za-z0-9+/=]{16,})+))"
        ),
    ),
    _Rule(
        "authorization header",
        ("authorization",),
        re.compile(
            r"(?i:authorization[\"']?\s*[:=]\s*[\"']?"
            r"(?:(?:basic|bearer|token|apikey|negotiate)\s+)?)"
            r"(?P<secret>[A-Za-z0-9+/_.=~-]{8,})"
        ),
        _is_credential,
    ),
    _Rule("url login", ("://",), re.compile(r"://(?P<secret>[^\s/?#@\"'<>\[\]]+)@"), _is_login),
    _Rule(
        "github token",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        re.compile(r"\b(?P<secret>(?:gh[opusr]_[A-Za-z0-9]{16,}|github_pat_\w{20,}))"),
    ),
    _Rule("gitlab token", ("glpat-",), re.compile(r"\b(?P<secret>glpat-[\w-]{16,})")),
    _Rule("slack token", ("xox",), re.compile(r"\b(?P<secret>xox[abeoprs]-[A-Za-z0-9-]{10,})")),
    _Rule(
        "api key",
        ("sk-", "sk_live_", "rk_live_"),
        re.compile(r"(?<![\w-])(?P<secret>(?:sk-|[rs]k_live_)[\w-]{20,})"),
        _has_digit,
    ),
    _Rule("aws key id", ("akia", "asia"), re.compile(r"\b(?P<secret>A[KS]IA[A-Z0-9]{16,})")),
    _Rule("google api key", ("aiza",), re.compile(r"\b(?P<secret>AIza[\w-]{35,})")),
    _Rule(
        "json web token",
        ("eyj",),
        re.compile(r"(?<![\w-])(?P<secret>eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)*)"),
    ),
    _Rule("npm token", ("npm_",), re.compile(r"\b(?P<secret>npm_[A-Za-z0-9]{30,})")),
    _Rule("pypi token", ("pypi-",), re.compile(r"\b(?P<secret>pypi-AgE[\w-]{30,})")),
    _Rule(
        "secret",
        ("passw", "secret", "token", "api_key", "apikey", "api-key", "access_key"),
        re.compile(
            r"(?i:password|passwd|secret(?:[_-]?key)?|token|api[_-]?key|access[_-]?key)"
            r"[\"']?\s*[:=]\s*(?P<quote>[\"']?)"
            r"(?P<secret>(?<=[\"'])[^\s\"'\[\]]{8,}(?=[\"'])|[A-Za-z0-9+/_.=~!@#$%^&*-]{8,})"
        ),
        _is_assigned_secret,
    ),
)
