"""Secrets that are known by where they stand: in a block, a header, a URL, behind a key word."""

from __future__ import annotations

import re

from mendloop.core.secret_rules import NEVER, Rule, is_placeholder, is_random

__all__ = ["BLOCK_RULES", "PLACE_RULES"]

_MIN_CREDENTIAL_LENGTH = 20
_MIN_COOKIE_LENGTH = 16

# What is written without quotes may be code: names, calls, attributes.
_NAME = re.compile(
    r"[A-Za-z_]+\d{0,2}|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+|[a-z]+\d{0,3}(?:_[a-z]+\d{0,3})+"
    r"|(?i:sha|md|base|utf|oauth|x|v|http|s|k|i|u|int|uint)\d{1,3}[A-Za-z_]*"
)
_WORDS = re.compile(r"[A-Za-z]+(?:[-_. ][A-Za-z]+)*[-_.]?v?\d{0,2}")
_PATH = re.compile(r"(?:~|\.{1,2})?(?:/[a-z0-9._-]+){2,}/?|(?:[a-z]+:)?//[\w.:/-]+")
_CALL = re.compile(r"[A-Za-z_][\w.]*[(\[{]")
_COLOUR = re.compile(r"#[0-9a-fA-F]{3,8}")
_COOKIE_PAIR = re.compile(rf"=([^\s;,={NEVER}]{{{_MIN_COOKIE_LENGTH},}})")


def _is_credential(match: re.Match[str]) -> bool:
    secret = match["secret"]
    if not match["scheme"]:
        return len(secret) >= _MIN_CREDENTIAL_LENGTH and is_random(secret)
    is_mixed = secret[1:] != secret[1:].lower() and secret != secret.upper()
    return is_mixed or is_random(secret) or len(secret) >= _MIN_CREDENTIAL_LENGTH


def _is_random_secret(match: re.Match[str]) -> bool:
    secret = match["secret"]
    return not is_placeholder(secret) and is_random(secret)


def _is_given(match: re.Match[str]) -> bool:
    return not is_placeholder(match["secret"])


def _is_quoted_secret(match: re.Match[str]) -> bool:
    secret = match["secret"]
    shapes = (_WORDS, _PATH, _COLOUR)
    return _is_random_secret(match) and not any(shape.fullmatch(secret) for shape in shapes)


def _is_bare_secret(match: re.Match[str]) -> bool:
    secret = match["secret"]
    follows = match.string[match.end() : match.end() + 1]
    is_code = (bool(follows) and follows in "([{<") or _NAME.fullmatch(secret) is not None
    return not is_code and _is_quoted_secret(match)


def _is_line_secret(match: re.Match[str]) -> bool:
    secret = match["secret"]
    if _CALL.match(secret) and secret[-1] in ")]};,":
        return False
    before = match.string[match.start() : match.start("secret")]
    # The environment holds values, and never the name of a variable.
    if before.endswith("=") and before == before.upper() and not _PATH.fullmatch(secret):
        return _is_random_secret(match)
    return _NAME.fullmatch(secret) is None and _is_quoted_secret(match)


def _is_login(match: re.Match[str]) -> bool:
    user, colon, password = match["secret"].partition(":")
    if is_placeholder(password if colon else user):
        return False
    scheme = match.string[max(match.start() - 5, 0) : match.start()].lower()
    return bool(colon) or scheme.endswith(("http", "https"))


def _is_cookie(match: re.Match[str]) -> bool:
    return any(is_random(value) for value in _COOKIE_PAIR.findall(match["secret"]))


_PEM_NAME = r"(?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"
# A line of a block may follow the margin of a diff, a quotation, a comment or a string.
_PEM_CUT = (
    r"(?:[\s+>#|*\"',-]|\\[nr]|(?:Proc-Type|DEK-Info|Comment|Version|Hash|Charset): [^\n]*)*"
    r"(?:[A-Za-z0-9+/=]{16,}(?:[\s+>#|*\"',]|-(?!----)|\\[nr])*)+"
    r"(?:[A-Za-z0-9+/=]{1,15}(?![^\s\\\"']))?"
)

BLOCK_RULES = (
    Rule(
        "private key",
        ("private key",),
        re.compile(
            rf"(?P<secret>-----BEGIN {_PEM_NAME}"
            rf"(?:[^-]*(?:-(?!----)[^-]*)*-{{5,6}}END {_PEM_NAME}|{_PEM_CUT}))"
        ),
    ),
    Rule(
        "private key",
        ("private-lines",),
        re.compile(r"Private-Lines: \d+\s{1,4}(?P<secret>(?:[A-Za-z0-9+/=]{16,}\s?)+)"),
    ),
)

_QUOTE = r"\\{0,3}[\"'`]"
_BLANKS = r"[ \t]{0,20}"
# Two sets of letters turn nearly every place down before a word is tried there.
_KEY = (
    r"(?=[acdefmpstwx_][acehinoprstuw])(?:passw(?:or)?d|passphrase|passcode|(?<=[_-])pass|pwd|secret|token|credentials?"
    r"|(?:api|app|application|access|account|auth|private|public_secret|signing|encryption|master"
    r"|shared|deploy|service|storage|webhook|functions|subscription)[_ -]?(?:access[_-]?)?key"
    r"|sess(?:ion)?[_-]?id|connect\.sid|csrf|xsrf|sessionkey|_auth|authorization_code)"
    r"(?:[_-]?(?:key|base|base64|value|string|data|prod|dev|test|live|default|id|hex)){0,2}\d{0,2}"
)
_HINTS = (
    "passw",
    "passphrase",
    "passcode",
    "_pass",
    "-pass",
    "pwd",
    "secret",
    "token",
    "credential",
    "_key",
    "-key",
    " key",
    "apikey",
    "accesskey",
    "accountkey",
    "privatekey",
    "sharedkey",
    "sess",
    ".sid",
    "csrf",
    "xsrf",
    "_auth",
    "authorization_code",
)
_IS = rf"(?::=|=>|[:=](?!=)|%3[AaDd]){_BLANKS}(?:[|>][+-]?[ \t]{{0,9}}\n[ \t]{{0,40}})?"
_TYPED = r"(?::[ \t]{0,4}[A-Za-z_.\[\]|]{1,30}[ \t]{0,4})?"
_PAIR = (
    rf"(?:{_QUOTE})?{_BLANKS},?{_BLANKS}\n?[ \t+-]{{0,40}}(?:{_QUOTE})?value(?:{_QUOTE})?"
    rf"{_BLANKS}[:=]{_BLANKS}"
)
_QUOTED = rf"(?P<quote>{_QUOTE})(?P<secret>(?:(?!(?P=quote))[^\s{NEVER}]){{6,}})(?P=quote)"
_BARE = r"(?P<secret>[A-Za-z0-9+/_.=~!@#$%^&*?-]{7,}[A-Za-z0-9+/_=~!@#$%^&*-])"
_ASSIGNED = rf"(?:{_QUOTE})?\]?{_BLANKS}{_TYPED}{_IS}"

PLACE_RULES = (
    Rule(
        "authorization header",
        ("authorization",),
        re.compile(
            rf"(?i:authorization(?:{_QUOTE})?\s{{0,9}}[:=,]\s{{0,9}}(?:{_QUOTE})?"
            r"(?P<scheme>(?:basic|bearer|token|apikey|api-key|negotiate|digest|ssws|geniekey|bot"
            r"|splunk|aws4-hmac-sha256|(?=[^\s]{8,}\s{0,9}(?:[\"'\\]|$)))\s{0,9}(?:token=[\"']?)?))"
            r"(?P<secret>[A-Za-z0-9+/_.:=~-]{8,})",
            re.MULTILINE,
        ),
        _is_credential,
    ),
    Rule(
        "authorization header",
        ("bearer",),
        re.compile(r"\b(?i:bearer)[ \t]{1,4}(?P<secret>[A-Za-z0-9+/_.=~-]{16,})"),
        _is_random_secret,
    ),
    Rule(
        "url login",
        ("://",),
        re.compile(rf"://(?P<secret>[^\s/?#\"'<>\[\]{NEVER}]+)@"),
        _is_login,
    ),
    Rule(
        "url login",
        ("%3a%2f%2f",),
        re.compile(
            r"(?i:%3A%2F%2F)(?P<secret>(?:(?!%2[Ff]|%3[Ff]|%40)[\w.%+~*!-]){1,256}?"
            r"%3[aA](?:(?!%2[Ff]|%40)[\w.%+~*!-]){1,256})(?:%40)"
        ),
    ),
    Rule(
        "cookie",
        ("cookie",),
        re.compile(
            rf"(?i:cookie)(?:{_QUOTE})?{_BLANKS}[:=]{_BLANKS}(?:{_QUOTE})?"
            rf"(?P<secret>[^\n\"'\\{NEVER}]+)"
        ),
        _is_cookie,
    ),
    Rule(
        "url signature",
        ("sig=", "sig%3d", "-signature"),
        re.compile(
            r"(?i:(?:[?&;]|%26|%3f)sig|x-(?:amz|goog)-signature)(?:=|%3[dD])"
            r"(?P<secret>[\w%+/=.-]{20,})"
        ),
    ),
    Rule(
        "netrc password",
        ("password",),
        re.compile(
            r"\b(?:login|account|user)\s{1,20}[^\s]{1,128}\s{1,20}password\s{1,20}"
            rf"(?P<secret>[^\s{NEVER}]{{4,}})"
        ),
        _is_random_secret,
    ),
    Rule(
        "password argument",
        ("-u", "--user", "--proxy-user"),
        re.compile(
            r"(?<![\w-])(?:-u|--(?:proxy-)?user)[ =]?[\"']?[^\s:\"']{1,128}:"
            rf"(?P<secret>[^\s\"'{NEVER}]{{6,}})"
        ),
        _is_quoted_secret,
    ),
    Rule(
        "password argument",
        ("mysql", "sshpass", "mariadb"),
        re.compile(
            r"(?:mysql|sshpass|mariadb)[^\n]{0,200}?[ \t]-p[ ]?[\"']?"
            rf"(?P<secret>[^\s\"'{NEVER}]{{6,}})"
        ),
        _is_quoted_secret,
    ),
    Rule(
        "secret",
        _HINTS,
        re.compile(
            rf"(?i:{_KEY})(?:{_ASSIGNED}|(?:{_PAIR}|{_QUOTE}[ \t]{{0,4}},[ \t]{{0,4}})){_QUOTED}"
        ),
        _is_quoted_secret,
    ),
    Rule(
        "secret",
        _HINTS,
        re.compile(
            rf"(?i:{_KEY})"
            rf"{_BLANKS}[:=](?!=){_BLANKS}(?P<secret>[^\s\"'`{NEVER}]{{8,}})[ \t]*$",
            re.MULTILINE,
        ),
        _is_line_secret,
    ),
    Rule(
        "secret",
        _HINTS,
        re.compile(rf"(?i:{_KEY})(?:{_ASSIGNED}|{_PAIR}){_BARE}"),
        _is_bare_secret,
    ),
    Rule(
        "secret",
        _HINTS,
        re.compile(rf"(?<![\w-])--?[\w-]{{0,40}}?(?i:{_KEY})[ \t]{{1,4}}{_BARE}"),
        _is_bare_secret,
    ),
    Rule(
        "secret",
        _HINTS,
        re.compile(rf"(?i:{_KEY})[\w.:-]{{0,20}}>(?P<secret>[^<>\s{NEVER}]{{6,}})</"),
        _is_quoted_secret,
    ),
)
