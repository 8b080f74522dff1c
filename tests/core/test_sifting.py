"""Secrets in what is no text but holds texts."""

from __future__ import annotations

import msgspec
import pytest
from states import entry

from mendloop.core.errors import ValidationError
from mendloop.core.sifting import sifted
from mendloop.core.text import redact_secrets

SECRET = "ghp_" + "a1B2" * 9
MARK = "[redacted: github token]"


def test_a_secret_is_found_wherever_a_text_may_stand() -> None:
    """In members, in lists, in values and in keys, at any depth; what is no text stays as it is."""
    given = {f"key {SECRET}": [1, None, (f"a {SECRET}", {"deep": {SECRET: True}})], "ok": 1.5}

    assert {f"key {MARK}": [1, None, (f"a {MARK}", {"deep": {MARK: True}})], "ok": 1.5} == sifted(
        given, redact_secrets
    )


def test_a_secret_in_raw_json_is_found_and_the_rest_keeps_its_spelling() -> None:
    """Values and keys, also where they are escaped; JSON without a secret is the very same."""
    escaped = SECRET.replace("_", "\\u005f")
    raw = msgspec.Raw(f'{{"a": ["{escaped}"], "{SECRET}": 1}}'.encode())
    sound = msgspec.Raw(b'{"number": 1.50e3, "a" : []}')

    assert {"a": [MARK], MARK: 1} == msgspec.json.decode(sifted(raw, redact_secrets))
    assert sifted(sound, redact_secrets) is sound
    with pytest.raises(ValidationError, match="is no JSON"):
        sifted(msgspec.Raw(b"{"), redact_secrets)


def test_a_struct_loses_the_secret_and_nothing_else() -> None:
    """One without a secret is the very same."""
    finding = entry("c1", description=f"uses {SECRET}")

    assert entry("c1", description=f"uses {MARK}") == sifted(finding, redact_secrets)
    sound = entry("c2")
    assert sifted(sound, redact_secrets) is sound
