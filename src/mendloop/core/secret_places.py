"""Secrets that are known by where they stand: in a block, a header, a URL, behind a key word."""

from __future__ import annotations

import re
from collections.abc import Callable

from mendloop.core.secret_rules import NEVER, Rule, is_placeholder, is_random, rule

__all__ = ["BLOCK_RULES", "PLACE_RULES"]

_MIN_CREDENTIAL_LENGTH = 20
_MIN_COOKIE_LENGTH = 16
_NAME_LENGTH = 64

# What is written without quotes may be code: names, calls, attributes.
_NAME = re.compile(
    r"[A-Za-z_]+\d{0,2}|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+|[a-z]+\d{0,3}(?:_[a-z]+\d{0,3})+"
    r"|(?i:sha|md|base|utf|oauth|x|v|http|s|k|i|u|int|uint)\d{1,3}[A-Za-z_]*"
)
_WORDS = re.compile(r"[A-Za-z]+(?:[-_. ][A-Za-z]+)*[-_.]?v?\d{0,2}")
_PATH = re.compile(r"(?:~|\.{1,2})?(?:/[a-z0-9._-]+){2,}/?|(?:[a-z]+:)?//[\w.:/-]+")
_CALL = re.compile(r"[A-Za-z_][\w.]*[(\[{]")
_COLOUR = re.compile(r"#[0-9a-fA-F]{3,8}")
_ENDS = re.compile(r"[^\s\"'\\]{0,200}+\s{0,9}(?:[\"'\\]|$)", re.MULTILINE)
_LINE_ENDS = re.compile(r"[ \t]*$", re.MULTILINE)
_NETRC_LOGIN = re.compile(r"\b(?:login|account|user)\s{1,20}[^\s]{1,128}\s{1,20}\Z")
_VARIABLE = re.compile(r"(?<![A-Za-z0-9_])[A-Z0-9_]{3,}[ \t]{0,20}=\Z")
_ARGUMENT = re.compile(r"(?<![\w-])--?[\w-]*\Z")
_LOGIN_LENGTH = 180
_COMMAND_LENGTH = 200
_COOKIE_PAIR = re.compile(rf"=([^\s;,={NEVER}]{{{_MIN_COOKIE_LENGTH},}})")


def _is_credential(match: re.Match[str]) -> bool:
    secret = match["secret"]
    if is_placeholder(secret):
        return False
    if not match["scheme"]:
        is_alone = _ENDS.match(match.string, match.end()) is not None
        return is_alone and len(secret) >= _MIN_CREDENTIAL_LENGTH and is_random(secret)
    is_mixed = secret[1:] != secret[1:].lower() and secret != secret.upper()
    return is_mixed or is_random(secret) or len(secret) >= _MIN_CREDENTIAL_LENGTH


def _is_random_secret(match: re.Match[str]) -> bool:
    secret = match["secret"]
    return not is_placeholder(secret) and is_random(secret)


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
    if not _LINE_ENDS.match(match.string, match.end()):
        return False
    if _CALL.match(secret) and secret[-1] in ")]};,":
        return False
    before = match.string[max(match.start() - _NAME_LENGTH, 0) : match.start("secret")]
    # The environment holds values, and never the name of a variable.
    if _VARIABLE.search(before) and not _PATH.fullmatch(secret):
        return _is_random_secret(match)
    return _NAME.fullmatch(secret) is None and _is_quoted_secret(match)


def _is_argument_secret(match: re.Match[str]) -> bool:
    before = match.string[max(match.start() - _NAME_LENGTH, 0) : match.start()]
    return _ARGUMENT.search(before) is not None and _is_bare_secret(match)


def _is_netrc_secret(match: re.Match[str]) -> bool:
    before = match.string[max(match.start() - _LOGIN_LENGTH, 0) : match.start()]
    return _NETRC_LOGIN.search(before) is not None and _is_random_secret(match)


def _is_command_secret(match: re.Match[str]) -> bool:
    before = match.string[max(match.start() - _COMMAND_LENGTH, 0) : match.start()]
    line = before.rpartition("\n")[2]
    is_client = any(name in line for name in ("mysql", "sshpass", "mariadb"))
    return is_client and _is_quoted_secret(match)


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
    r"(?:[\s+>#|*\"',-]|\\[nr]"
    r"|(?:Proc-Type|DEK-Info|Comment|Version|Hash|Charset): (?:(?!-----)[^\n])*+)*+"
    r"(?:[A-Za-z0-9+/=]{16,}+(?:[\s+>#|*\"',]|-(?!----)|\\[nr])*+)++"
    r"(?:[A-Za-z0-9+/=]{1,15}(?![^\s\\\"']))?"
)

BLOCK_RULES = (
    rule(
        "private key",
        "-----begin",
        rf"(?P<secret>-----BEGIN {_PEM_NAME}"
        rf"(?:[^-]*+(?:-(?!----)[^-]*+)*+-{{5,6}}END {_PEM_NAME}|{_PEM_CUT}))",
    ),
    rule(
        "private key",
        "private-lines:",
        r"Private-Lines: \d+\s{1,4}(?P<secret>(?:[A-Za-z0-9+/=]{16,}\s?)+)",
    ),
)

_QUOTE = r"\\{0,3}[\"'`]"
_BLANKS = r"[ \t]{0,20}"
# What names a secret, in lower case, by a literal that each holds; one in front is found fastest.
_STEMS = {
    "pass": r"pass(?:w(?:or)?d|phrase|code|(?<=[_-]pass))",
    "pwd": "pwd",
    "secret": "secret",
    "token": "token",
    "credential": "credentials?",
    "key": "key",
    "sess": "sess(?:(?:ion)?[_-]?id|ionkey)",
    ".sid": r"connect\.sid",
    "csrf": "csrf",
    "xsrf": "xsrf",
    "_auth": "_auth(?!orization_code)",
    "_code": "authorization_code",
}
_SUFFIX = (
    r"(?:[_-]?(?:key|base|base64|value|string|data|prod|dev|test|live|default|id|hex)){0,2}\d{0,2}"
)
_KEY_WORDS = {hint: re.compile(stem + _SUFFIX) for hint, stem in _STEMS.items()}
_KEY_HINTS = tuple(_KEY_WORDS)
# What makes a secret of a key; any other may be that of a table.
_KEY_OWNER = re.compile(
    r"(?:api|app|application|access|account|auth|private|public_secret|signing|encryption|master"
    r"|shared|deploy|service|storage|webhook|functions|subscription)[_ -]?(?:access[_-]?)?\Z"
)
_OWNER_LENGTH = 24


def _key_ends(lowered: str) -> list[int]:
    """Where a key word ends that names a secret."""
    ends = set()
    words = [word for hint, word in _KEY_WORDS.items() if hint in lowered]
    for word in words:
        for found in word.finditer(lowered):
            start = found.start()
            if lowered[start] != "k" or _KEY_OWNER.search(
                lowered[max(start - _OWNER_LENGTH, 0) : start]
            ):
                ends.add(found.end())
    return sorted(ends)


_IS = rf"(?::=|=>|[:=](?!=)|%3[AaDd]){_BLANKS}(?:[|>][+-]?[ \t]{{0,9}}\n[ \t]{{0,40}})?"
_TYPED = r"(?::[ \t]{0,4}[A-Za-z_.\[\]|]{1,30}[ \t]{0,4})?"
_PAIR = (
    rf"(?:{_QUOTE})?{_BLANKS},?{_BLANKS}\n?[ \t+-]{{0,40}}(?:{_QUOTE})?value(?:{_QUOTE})?"
    rf"{_BLANKS}[:=]{_BLANKS}"
)
_QUOTED = rf"(?P<quote>{_QUOTE})(?P<secret>(?:(?!(?P=quote))[^\s{NEVER}]){{6,}})(?P=quote)"
_BARE = r"(?P<secret>[A-Za-z0-9+/_.=~!@#$%^&*?-]{7,}[A-Za-z0-9+/_=~!@#$%^&*-])"
_ASSIGNED = rf"(?:{_QUOTE})?\]?{_BLANKS}{_TYPED}{_IS}"


def _behind_key(pattern: str, is_secret: Callable[[re.Match[str]], bool]) -> Rule:
    """What stands behind a key word: all such rules look at the same places."""
    return Rule("secret", _KEY_HINTS, _key_ends, re.compile(pattern), is_secret)


PLACE_RULES = (
    rule(
        "authorization header",
        "authorization",
        rf"(?i:authorization(?:{_QUOTE})?\s{{0,9}}[:=,]\s{{0,9}}(?:{_QUOTE})?"
        r"(?P<scheme>(?:basic|bearer|token|apikey|api-key|negotiate|digest|ssws|geniekey|bot"
        r"|splunk|aws4-hmac-sha256)\s{0,9}(?:token=[\"']?)?)?)"
        r"(?P<secret>[A-Za-z0-9+/_.:=~!@#$%^&*?|-]{8,})",
        _is_credential,
    ),
    rule(
        "authorization header",
        "bearer",
        r"\b(?i:bearer)[ \t]{1,4}(?P<secret>[A-Za-z0-9+/_.=~-]{16,})",
        _is_random_secret,
    ),
    rule("url login", "://", rf"://(?P<secret>[^\s/?#\"'<>\[\]{NEVER}]+)@", _is_login),
    rule(
        "url login",
        "%3a%2f%2f",
        r"(?i:%3A%2F%2F)(?P<secret>(?:(?!%2[Ff]|%3[AaFf]|%40)[\w.%+~*!-]){1,256}"
        r"%3[aA](?:(?!%2[Ff]|%40)[\w.%+~*!-]){1,256})%40",
    ),
    rule(
        "cookie",
        "cookie",
        rf"(?i:cookie)(?:{_QUOTE})?{_BLANKS}[:=]{_BLANKS}(?:{_QUOTE})?"
        rf"(?P<secret>[^\n\"'\\{NEVER}]+)",
        _is_cookie,
    ),
    rule(
        "url signature",
        "sig= sig%3d -signature",
        r"(?i:(?:[?&;]|%26|%3f)sig|x-(?:amz|goog)-signature)(?:=|%3[dD])"
        r"(?P<secret>[\w%+/=.-]{20,})",
        finder=r"(?:[?&;]|%26|%3f)sig|x-(?:amz|goog)-signature",
    ),
    rule(
        "netrc password",
        "password",
        rf"password\s{{1,20}}(?P<secret>[^\s{NEVER}]{{4,}})",
        _is_netrc_secret,
    ),
    rule(
        "password argument",
        "-u --user --proxy-user",
        r"(?<![\w-])(?:-u|--(?:proxy-)?user)[ =]?[\"']?[^\s:\"']{1,128}:"
        rf"(?P<secret>[^\s\"'{NEVER}]{{6,}})",
        _is_quoted_secret,
        finder=r"-(?<![\w-]-)(?:u|-user|-proxy-user)",
    ),
    rule(
        "password argument",
        "mysql sshpass mariadb",
        rf"(?<=[ \t])-p[ ]?[\"']?(?P<secret>[^\s\"'{NEVER}]{{6,}})",
        _is_command_secret,
        finder="-p",
    ),
    _behind_key(
        rf"(?:{_ASSIGNED}|(?:{_PAIR}|{_QUOTE}[ \t]{{0,4}},[ \t]{{0,4}})){_QUOTED}",
        _is_quoted_secret,
    ),
    _behind_key(rf"{_BLANKS}[:=](?!=){_BLANKS}(?P<secret>[^\s\"'`{NEVER}]{{8,}})", _is_line_secret),
    _behind_key(rf"(?:{_ASSIGNED}|{_PAIR}){_BARE}", _is_bare_secret),
    _behind_key(rf"[ \t]{{1,4}}{_BARE}", _is_argument_secret),
    _behind_key(rf"[\w.:-]{{0,20}}>(?P<secret>[^<>\s{NEVER}]{{6,}})</", _is_quoted_secret),
)
