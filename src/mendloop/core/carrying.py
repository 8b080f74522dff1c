"""What every stored struct is made of: it carries what it does not know, for `mendloop.core.codec`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

__all__ = ["Carrying", "Digest", "Incarnation", "Instant"]

Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class Carrying(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    A struct that keeps the JSON members it does not know, byte for byte.

    States are trees, so the garbage collector need not walk their thousands of parts.
    """

    extra: dict[str, msgspec.Raw] | msgspec.UnsetType = msgspec.field(
        name="__carried__", default=msgspec.UNSET
    )


Incarnation = Annotated[str, msgspec.Meta(pattern=r"^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?$")]
"""What tells two tasks of one id apart; a part of the names of its sealed documents."""

Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 in hex; a part of the names of sealed documents."""
