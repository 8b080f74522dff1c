"""Secrets of many services where they are found, and texts without any: what is marked."""

from __future__ import annotations

import base64
import hashlib
import random
import re
import string
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from mendloop.core.text import redact_secrets

_RANDOM = random.Random(7)
_LETTERS = string.ascii_letters + string.digits
_HEX = "0123456789abcdef"
_ROOT = Path(__file__).parents[2]
_CLEAN_COUNT = 500


def _made(length: int, alphabet: str = _LETTERS) -> str:
    """Make a value that was never anybody's: with a digit, and of no service."""
    end = "A7" if alphabet == string.ascii_uppercase else "a7"
    return "".join(_RANDOM.choice(alphabet) for _ in range(length - 2)) + end


def _pem(name: str) -> str:
    body = "\n".join(_made(64) for _ in range(6))
    return f"-----BEGIN {name}-----\n{body}\n-----END {name}-----"


def _jwt() -> str:
    return f"eyJ{_made(30)}.eyJ{_made(60)}.{_made(43)}"


# Prefix and length: nothing in this file looks like a live token before it is put together.
_SHAPES: dict[str, Callable[[], str]] = {
    "github classic": lambda: "ghp_" + _made(36),
    "github oauth": lambda: "gho_" + _made(36),
    "github app": lambda: "ghs_" + _made(36),
    "github fine-grained": lambda: "github_pat_" + _made(22) + "_" + _made(59),
    "gitlab": lambda: "glpat-" + _made(20),
    "aws key id": lambda: "AKIA" + _made(16, string.ascii_uppercase),
    "aws session": lambda: "IQoJb3JpZ2lu" + _made(200),
    "google api": lambda: "AIza" + _made(35),
    "google oauth": lambda: "GOCSPX-" + _made(28),
    "slack bot": lambda: "xoxb-" + _made(12, string.digits) + "-" + _made(24),
    "slack webhook": lambda: (
        f"https://hooks.slack.com/services/T{_made(9)}/B{_made(9)}/{_made(24)}"
    ),
    "stripe": lambda: "sk_live_" + _made(24),
    "twilio": lambda: "SK" + _made(32, _HEX),
    "sendgrid": lambda: f"SG.{_made(22)}.{_made(43)}",
    "npm": lambda: "npm_" + _made(36),
    "pypi": lambda: "pypi-AgEIcHlwaS5vcmc" + _made(80),
    "docker": lambda: "dckr_pat_" + _made(27),
    "hugging face": lambda: "hf_" + _made(34),
    "openai": lambda: "sk-proj-" + _made(48),
    "anthropic": lambda: "sk-ant-api03-" + _made(93),
    "digitalocean": lambda: "dop_v1_" + _made(64, _HEX),
    "heroku": lambda: "HRKU-AA" + _made(58),
    "cloudflare": lambda: f"v1.0-{_made(24, _HEX)}-{_made(146, _HEX)}",
    "sentry": lambda: "sntryu_" + _made(64, _HEX),
    "vault": lambda: "hvs." + _made(90),
    "jwt": _jwt,
    "rsa key": lambda: _pem("RSA PRIVATE KEY"),
    "openssh key": lambda: _pem("OPENSSH PRIVATE KEY"),
    "ec key": lambda: _pem("EC PRIVATE KEY"),
    "pkcs8 key": lambda: _pem("PRIVATE KEY"),
    "pgp key": lambda: _pem("PGP PRIVATE KEY BLOCK"),
    "telegram": lambda: "123456789:AA" + _made(33),
    "discord": lambda: f"M{_made(23)}.{_made(6)}.{_made(38)}",
    "discord webhook": lambda: f"https://discord.com/api/webhooks/123456789012345678/{_made(68)}",
    "mailgun": lambda: "key-" + _made(32, _HEX),
    "shopify": lambda: "shpat_" + _made(32, _HEX),
    "square": lambda: "sq0atp-" + _made(22),
    "age": lambda: "AGE-SECRET-KEY-1" + _made(58, string.ascii_uppercase),
    "kubeconfig key": lambda: base64.b64encode(_pem("RSA PRIVATE KEY").encode()).decode(),
    "grafana": lambda: "glsa_" + _made(32) + "_" + _made(8, _HEX),
}
_CONTEXTS = (
    "{}",
    "2026-01-05T10:00:00Z ERROR login with {} failed: 401",
    "+    client = Client('{}')",
    '{{"user": "me", "value": "{}"}}',
    "Use `{}` for now.",
)
_VALUES = (
    lambda: _made(24),
    lambda: _made(40, _HEX),
    lambda: _made(14, _LETTERS + "!@#$^*"),
    lambda: base64.b64encode(_made(30).encode()).decode(),
)
_PLACES = (
    "DB_PASSWORD={}",
    "export HEROKU_API_KEY={}",
    "password: {}",
    'DD_API_KEY: "{}"',
    '{{"client_secret": "{}", "grant": "x"}}',
    "aws_secret_access_key = {}",
    "//registry.npmjs.org/:_authToken={}",
    "SECRET_KEY = 'django-insecure-{}'",
    "machine example.com login me password {}",
    "postgres://app:{}@db.example:5432/app",
    "mongodb+srv://app:{}@cluster.example/app",
    "redis://:{}@cache.example:6379/0",
    "https://{}@o1.ingest.sentry.io/1",
    "Authorization: Bearer {}",
    "curl -H 'X-Api-Key: {}' https://api.example",
    "Cookie: theme=dark; sessionid={}",
    "AccountName=x;AccountKey={}",
    "tool --token {} run",
    "- name: DB_PASSWORD\n  value: {}",
    "users:\n- user:\n    token: {}",
    'config = {{"auth_token": "{}"}}',
    "TypeError: connect(host='x', password='{}')",
    '"{{\\"password\\": \\"{}\\"}}"',
)


def _secrets() -> list[tuple[str, str, str]]:
    """Name the kind, the secret, and a text that holds it."""
    made = []
    for kind, make in _SHAPES.items():
        for context in _CONTEXTS:
            secret = make()
            made.append((kind, secret, context.format(secret)))
    for place in _PLACES:
        for make in _VALUES:
            secret = make()
            is_url = "://" in place and "@" in place
            secret = re.sub(r"[/@#?!$^*]", "x", secret) if is_url else secret
            made.append((place, secret, place.format(secret)))
    return made


def _clean_texts() -> list[str]:
    """Take what the project's own tree and Python's library hold, and make what else looks random."""
    texts = [
        "password: ***",
        "token: ${TOKEN}",
        "token = get_token()",
        "env: {valueFrom: {secretKeyRef: {name: db-credentials, key: password}}}",
        "image: registry.example/app@sha256:" + _made(64, _HEX),
        "PASSWORD=$(cat /run/secrets/db)",
        "const a=e.token,b=n.password(t[2]);return a.secret?b:c",
        "--color-token: #a1b2c3d4;",
        'integrity="sha512-' + base64.b64encode(_made(64).encode()).decode() + '"',
        "data:image/png;base64," + base64.b64encode(_made(3000).encode()).decode(),
        "pod/api-server-7d9f8b6c5d-x2x9z in namespace team-a1b2c3",
    ]
    files = [*sorted((_ROOT / "src").rglob("*.py")), *sorted((_ROOT / "docs").rglob("*.md"))]
    files += sorted(Path(re.__file__).parent.parent.glob("*.py"))
    chunks = [
        "\n".join(lines[start : start + 25])
        for file in files
        for lines in [file.read_text(encoding="utf-8", errors="replace").splitlines()]
        for start in range(0, len(lines), 25)
    ]
    texts += _RANDOM.sample(chunks, _CLEAN_COUNT - 100)
    while len(texts) < _CLEAN_COUNT:
        digest = hashlib.sha256(_made(9).encode()).hexdigest()
        texts += [f"commit {digest[:40]}", f"hash = {digest}", str(uuid.UUID(digest[:32]))]
    return texts


def test_nearly_every_secret_goes_and_nearly_no_clean_text_is_marked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Of at least 200 secrets of 30 kinds and 500 clean texts; both shares are printed."""
    secrets = _secrets()
    clean = _clean_texts()
    missed = [(kind, text) for kind, secret, text in secrets if secret in redact_secrets(text)]
    marked = [redact_secrets(text) for text in clean if redact_secrets(text) is not text]
    recall, false = 1 - len(missed) / len(secrets), len(marked) / len(clean)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{len(secrets)} secrets: recall {recall:.1%}; "
            f"{len(clean)} clean texts: {false:.1%} falsely marked\n"
        )

    assert len(secrets) >= 200
    assert len(_SHAPES) >= 30
    assert len(clean) >= 500
    assert recall >= 0.99, missed
    assert false <= 0.01, marked


def test_a_second_pass_over_the_corpus_finds_nothing_more() -> None:
    """Alone, and with all texts in one."""
    texts = [text for _, _, text in _secrets()]
    for text in [*texts, "\n".join(texts), " ".join(texts)]:
        once = redact_secrets(text)

        assert once is redact_secrets(once)
