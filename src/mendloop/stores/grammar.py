"""
What a document may be called and hold: one grammar for all stores, that of a ConfigMap.

So what one store takes, every other takes too. The rules of names, labels and keys are those of
https://kubernetes.io/docs/concepts/overview/working-with-objects/names/, .../labels/ and
.../configuration/configmap/.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from mendloop.core.errors import ValidationError
from mendloop.core.names import CHUNK, HEAD, SUBDOMAIN

__all__ = [
    "NAME_LIMIT",
    "OWN_FIELDS",
    "OWN_LABELS",
    "OWN_PREFIX",
    "check_changeable",
    "check_content",
    "check_kind",
    "check_labels",
    "check_limit",
    "check_name",
    "is_name",
]

NAME_LIMIT = 253
"""In characters: so long is an object's name, a key of its data, or the prefix of a label."""

OWN_FIELDS = frozenset({"state.json", "body"})
"""Names that no field has: a body stands under them."""

OWN_LABELS = frozenset({"app", "managed-by"})
"""Names that no label has: a store may tell its own documents by them."""

OWN_PREFIX = "mendloop.dev/"
"""No label has it, for the same reason."""

_LABEL_LIMIT = 63
_LARGEST_LIMIT = 1_000_000

_KIND = re.compile(r"[a-z]{1,63}")
_PREFIXED = re.compile(r"[a-z]+\.")
_FIELD = re.compile(r"(?!\.\.)[-._a-zA-Z0-9]{1,253}")
_LABEL = re.compile(r"[a-zA-Z0-9]([-._a-zA-Z0-9]*[a-zA-Z0-9])?")


def check_kind(kind: str) -> None:
    """
    Make sure that documents may be of *kind*.

    Raises:
        ValidationError: They may not.
    """
    if not _KIND.fullmatch(kind):
        raise ValidationError(f"the kind {kind!a} is not 1 to 63 lower-case letters")


def check_name(kind: str, key: str) -> None:
    """
    Make sure that a document may be called this.

    Heads and chunks are objects of that very name, so that one cannot have the form of the other;
    of any other kind the object's name is `{kind}.{key}`.

    Raises:
        ValidationError: It may not; the message says why.
    """
    check_kind(kind)
    is_own_name = kind in {HEAD, CHUNK}
    limit = NAME_LIMIT if is_own_name else NAME_LIMIT - len(kind) - 1
    if len(key) > limit:
        raise ValidationError(f"a {kind} key of {len(key)} characters: at most {limit} are allowed")
    if not SUBDOMAIN.fullmatch(key):
        raise ValidationError(
            f"the key {key!a}: use lower-case letters, digits, '-' and '.', beginning and ending "
            "with a letter or digit"
        )
    if is_own_name and (_is_of_chunk(key) != (kind == CHUNK) or _PREFIXED.match(key)):
        raise ValidationError(f"the key {key!a} has not the form of a {kind}'s")


def is_name(kind: str, key: str) -> bool:
    """Whether a document may be called this."""
    try:
        check_name(kind, key)
    except ValidationError:
        return False
    return True


def check_content(
    kind: str, body: bytes, fields: Mapping[str, str], labels: Mapping[str, str]
) -> None:
    """
    Make sure that a document of *kind* may hold this.

    Raises:
        ValidationError: It may not; the message says why.
    """
    if kind == HEAD:
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise ValidationError(f"the body of a head is UTF-8: {error}") from error
    for name, value in fields.items():
        if not _FIELD.fullmatch(name) or name == ".":
            raise ValidationError(
                f"the field name {name!a}: use 1 to {NAME_LIMIT} letters, digits, '-', '_' and '.', "
                "and not '..' at the beginning"
            )
        if name in OWN_FIELDS:
            raise ValidationError(f"the field name {name!a} is the body's: use another")
        _check_unicode(value)
    check_labels(labels)


def check_labels(labels: Mapping[str, str]) -> None:
    """
    Make sure that *labels* can be set and selected by.

    Raises:
        ValidationError: One cannot; the message says why.
    """
    for name, value in labels.items():
        prefix, slash, base = name.rpartition("/")
        is_prefix = len(prefix) <= NAME_LIMIT and SUBDOMAIN.fullmatch(prefix)
        if not _is_label(base) or (slash and not is_prefix):
            raise ValidationError(
                f"the label name {name!a}: use 1 to {_LABEL_LIMIT} letters, digits, '-', '_' and "
                "'.', beginning and ending with a letter or digit, after a domain and '/' or not"
            )
        if name in OWN_LABELS or name.startswith(OWN_PREFIX):
            raise ValidationError(f"the label name {name!a} is kept for the stores: use another")
        if value and not _is_label(value):
            raise ValidationError(
                f"the label value {value!a}: use at most {_LABEL_LIMIT} letters, digits, '-', '_' "
                "and '.', beginning and ending with a letter or digit"
            )


def check_changeable(kind: str) -> None:
    """
    Make sure that documents of *kind* may be replaced.

    Raises:
        ValidationError: They may not.
    """
    if kind == CHUNK:
        raise ValidationError("a chunk never changes: make another one, with its own key")


def check_limit(limit: int) -> None:
    """
    Make sure that a page may hold so many documents.

    Raises:
        ValidationError: It may not.
    """
    if not 1 <= limit <= _LARGEST_LIMIT:
        raise ValidationError(f"a page holds 1 to {_LARGEST_LIMIT} documents, not {limit}")


def _is_of_chunk(key: str) -> bool:
    return "-history-" in key and not key.endswith("-state")


def _is_label(text: str) -> bool:
    return len(text) <= _LABEL_LIMIT and _LABEL.fullmatch(text) is not None


def _check_unicode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValidationError(f"the value of a field is valid Unicode: {error}") from error
