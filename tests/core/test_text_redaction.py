import os
import random
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mendloop.core.text import redact_secrets, tidy

EXAMPLES = 20_000 if int(os.environ.get("MENDLOOP_SOAK", "0")) else 1_000

_RANDOM = random.Random(4)


def _made(length: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    """Make a secret that was never anybody's; the last character is a digit, the first a letter."""
    return "".join(_RANDOM.choice(alphabet) for _ in range(length - 1)) + "7"


_BODY = "\n".join(_made(64) for _ in range(8))
_PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{_BODY}\n-----END RSA PRIVATE KEY-----"
_JWT = f"eyJ{_made(20)}.eyJ{_made(40)}.{_made(43)}"
_HEX = _made(40, "0123456789abcdef")

SECRETS = [
    ("private key", _PEM, "key:\n{}\nend"),
    ("private key", _PEM.partition("-----END")[0].rstrip(), "cut: {}"),
    ("private key", _PEM.replace("\n", "\\n"), 'KEY = "{}"'),
    ("github token", "ghp_" + _made(36), "clone with {} now"),
    ("github token", "ghs_" + _made(36), "({})"),
    ("github token", "github_pat_" + _made(22) + "_" + _made(59), "'{}'"),
    ("gitlab token", "glpat-" + _made(20), "{}"),
    ("slack token", "xoxb-1234567890-" + _made(24), "{}"),
    ("api key", "sk-proj-" + _made(48), "OPENAI={}"),
    ("stripe key", "sk_live_" + _made(24), "{}"),
    ("aws key id", "AKIA" + _made(16, string.ascii_uppercase), "id {},"),
    ("google api key", "AIza" + _made(35), "?key={}&x=1"),
    ("json web token", _JWT, "cookie {};"),
    ("npm token", "npm_" + _made(36), "//registry/:_auth {}"),
    ("pypi token", "pypi-AgEIcHlwaS5vcmc" + _made(80), "{}"),
    ("authorization header", "dXNlcjpwYXNzd29yZA==", "Authorization: Basic {}"),
    ("authorization header", _made(32), "-H 'authorization: Bearer {}'"),
    ("authorization header", "q$7!xK^2pL#9vR", "Authorization: Bearer {}"),
    ("url login", "user:pass.word", "https://{}@example.com/x"),
    ("url login", "user:pass", "postgres://{}@db:5432/x"),
    ("url login", _made(20), "https://{}@example.com/x.git"),
    ("secret", _made(24), "password={}"),
    ("secret", _made(16), 'secret: "{}"'),
    ("secret", "hunter2hunter2", 'password = "{}"'),
    ("secret", _HEX, "api_key={}"),
    ("secret", _made(32), '{{"access_token": "{}"}}'),
    ("secret", "mySup3rS3cretPw9", "password: {}"),
    ("secret", "changeKx83hdQz", "DB_PASSWORD={}"),
    ("cookie", f"theme=dark; sid={_made(16)}", "Cookie: {}"),
    ("github token", "ghp_" + _made(36), "one line\\n{}"),
    ("gitlab token", "glpat-" + _made(20), "a\\tb\\r{}"),
    ("github token", "ghp_" + _made(36), "\u0130\u0130\u0130 {}"),
    ("secret", _made(16), "\u0130\u0130\u0130 password={}"),
]


@pytest.mark.parametrize(("kind", "secret", "around"), SECRETS)
def test_a_secret_leaves_only_a_typed_mark(kind: str, secret: str, around: str) -> None:
    """The text about it stays, the secret goes, and the mark says what it was."""
    redacted = redact_secrets(around.format(secret))

    assert around.format(f"[redacted: {kind}]") == redacted
    assert redacted == redact_secrets(redacted)


@pytest.mark.parametrize(
    "text",
    [
        "commit 150860b1d0ae7de4c83a4eb2a8b5c8f6d1b2c3d4",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "id 123e4567-e89b-12d3-a456-426614174000",
        "token = get_token(request)",
        "token = self.tokens[index]",
        "password: str = field(default='')",
        "secret = settings.secret_key_2.value",
        "if token == expected_token_v2:",
        "The password is compared in clear text.",
        "Possible hardcoded password assigned to: `password`",
        'raise ValueError("token: expected a name")',
        "Authorization: required for this endpoint",
        "curl -H 'Authorization: Bearer $GITHUB_TOKEN' https://api.example",
        'headers = {"Authorization": "Bearer %ACCESS_TOKEN%"}',
        "ssh://git@github.com/owner/name.git and git@github.com:owner/name",
        "see https://example.com/?user=a@b.example#x",
        "import sklearn; sk-learn is the old name; risk-averse-people-2024-were-here",
        'assert text.startswith("-----BEGIN PRIVATE KEY-----")',
        "x = base64.b64encode(data)[:20]",
        "npm_config_registry=https://registry.npmjs.org",
        "a_very_long_identifier_with_2_numbers_and_4_more = other_identifier",
    ],
)
def test_hashes_ids_and_code_stay(text: str) -> None:
    """Text that only talks about secrets, or looks like one from afar, comes back untouched."""
    assert text is redact_secrets(text)


def test_a_secret_at_the_cut_is_not_left_in_half() -> None:
    """The cap comes after redaction, so a token across it leaves no first half."""
    token = "ghp_" + _made(36)

    for limit_bytes in range(40, 120):
        assert token[:8] not in tidy(
            "x" * 40 + " " + token + " " + "y" * 80, limit_bytes=limit_bytes, redact=redact_secrets
        )


def test_a_secret_split_by_hidden_characters_is_found() -> None:
    """Cleaning comes before redaction, so a zero width space inside a token hides nothing."""
    token = "ghp_" + _made(36)
    split = token[:10] + "\u200b\x1b[0m" + token[10:]

    assert tidy(split, limit_bytes=99, redact=redact_secrets) == "[redacted: github token]"


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    parts=st.lists(
        st.one_of(
            st.sampled_from([around.format(secret) for _, secret, around in SECRETS]),
            st.sampled_from(
                ["-----END RSA PRIVATE KEY-----", "token=", "://", "@", '"', " ", "\n"]
            ),
            st.text(max_size=20),
        ),
        max_size=8,
    )
)
def test_redacting_twice_is_redacting_once(parts: list[str]) -> None:
    """However secrets, words and marks are joined, a second pass finds nothing more."""
    once = redact_secrets("".join(parts))

    assert once == redact_secrets(once)
