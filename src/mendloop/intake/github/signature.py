"""
Whether GitHub sent a delivery: HMAC-SHA256 over the body as it came, before anything is parsed.

https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from enum import StrEnum

__all__ = ["SIGNATURE_HEADER", "Signature", "check_signature", "sign"]

SIGNATURE_HEADER = "X-Hub-Signature-256"
"""The older X-Hub-Signature is made with SHA-1 and is never looked at."""

_PREFIX = "sha256="
_GRAMMAR = re.compile(r"sha256=[0-9a-f]{64}")


class Signature(StrEnum):
    """What a signature is worth; only `VALID` lets a delivery in."""

    VALID = "valid"
    MISSING = "missing"
    MALFORMED = "malformed"
    WRONG = "wrong"


def check_signature(body: bytes, header: str | None, secrets: Sequence[bytes]) -> Signature:
    """
    Check the signature of a delivery with each secret, in a time that tells nothing of them.

    Args:
        body: Every byte, as it came.
        header: The value of `SIGNATURE_HEADER`, or None where there is none.
        secrets: Two while one replaces the other. An empty one signs nothing.
    """
    if header is None:
        return Signature.MISSING
    if _GRAMMAR.fullmatch(header) is None:
        return Signature.MALFORMED
    matches = [
        hmac.compare_digest(sign(body, secret).encode(), header.encode())
        for secret in secrets
        if secret
    ]
    return Signature.VALID if any(matches) else Signature.WRONG


def sign(body: bytes, secret: bytes) -> str:
    """The value of `SIGNATURE_HEADER` that a sender with *secret* puts on *body*."""
    return _PREFIX + hmac.new(secret, body, hashlib.sha256).hexdigest()
