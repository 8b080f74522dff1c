"""Taking secrets out of what is no text but holds texts: commands, and members of other programs."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from mendloop.core.errors import ValidationError
from mendloop.core.text import Redactor

__all__ = ["sifted"]

T = TypeVar("T")


def sifted(value: T, redact: Redactor) -> T:
    """
    Return *value* with no secret in any text of it, keys too; the very same where there is none.

    Args:
        value: A struct, or what JSON is made of; raw JSON is looked into.
        redact: Takes the secrets out.

    Raises:
        ValidationError: Raw JSON in it is none.
    """
    found: Any = _sifted(value, redact)
    return value if found == value else found


def _sifted(value: Any, redact: Redactor) -> Any:
    if type(value) is str:
        return redact(value)
    if isinstance(value, msgspec.Struct):
        changes = {}
        for name in value.__struct_fields__:
            before = getattr(value, name)
            after = _sifted(before, redact)
            if after is not before and after != before:
                changes[name] = after
        return msgspec.structs.replace(value, **changes) if changes else value
    if isinstance(value, dict):
        return {_sifted(key, redact): _sifted(item, redact) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)([_sifted(item, redact) for item in value])
    if isinstance(value, msgspec.Raw):
        return _sifted_json(value, redact)
    return value


def _sifted_json(raw: msgspec.Raw, redact: Redactor) -> msgspec.Raw:
    try:
        before = msgspec.json.decode(raw)
    except (ValueError, RecursionError) as error:
        raise ValidationError(f"a member that is carried on is no JSON: {error}") from error
    after = _sifted(before, redact)
    # Numbers keep their spelling where nothing has to go.
    return raw if after == before else msgspec.Raw(msgspec.json.encode(after))
