"""The cursor of a listing: a place, and a check that it is a place of this listing."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping

import msgspec

from mendloop.core.errors import ValidationError

__all__ = ["read_cursor", "write_cursor"]

_CHECK_BYTES = 4


def write_cursor(place: str, kind: str, labels: Mapping[str, str]) -> str:
    """Write where a listing of *kind* by *labels* goes on."""
    return base64.urlsafe_b64encode(_check(place, kind, labels) + place.encode()).decode()


def read_cursor(cursor: str, kind: str, labels: Mapping[str, str]) -> str:
    """
    Read the place back.

    Raises:
        ValidationError: It was not written for a listing of *kind* by *labels*.
    """
    try:
        content = base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True)
        place = content[_CHECK_BYTES:].decode()
    except (UnicodeError, binascii.Error) as error:
        raise ValidationError("the cursor is not one that a listing gave") from error
    if not place or content[:_CHECK_BYTES] != _check(place, kind, labels):
        raise ValidationError("the cursor is not one that this listing gave")
    return place


def _check(place: str, kind: str, labels: Mapping[str, str]) -> bytes:
    listing = msgspec.json.encode([place, kind, sorted(labels.items())])
    return zlib.crc32(listing).to_bytes(_CHECK_BYTES, "big")
