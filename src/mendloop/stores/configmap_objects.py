"""
Documents as ConfigMaps: names, labels, bodies, sizes, and what of an object is ours.

The layout of a head is the specification's. Whatever else a head or a ConfigMap holds belongs to
somebody else, is read with it, and stays.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from mendloop.core.errors import RevisionConflict, StoreCorrupt, TooLarge
from mendloop.core.names import CHUNK, HEAD, SIDE_FIELDS
from mendloop.kube.api import FIELD_MANAGER
from mendloop.kube.errors import REQUEST_LIMIT_BYTES
from mendloop.stores.grammar import OWN_FIELDS, OWN_LABELS, OWN_PREFIX
from mendloop.stores.port import Document

__all__ = [
    "DATA_LIMIT_BYTES",
    "Read",
    "Version",
    "as_apply",
    "as_delete",
    "as_object",
    "from_object",
    "key_of",
    "object_name",
    "read_revision",
    "selector",
    "version_of",
]

DATA_LIMIT_BYTES = 1_048_576
"""A ConfigMap's values together, binary ones decoded (k8s.io/api, MaxSecretSize)."""

_APP = ("app", "remediation-state")
_MANAGED_BY = ("managed-by", "agent-remediation-controller")
_KIND = f"{OWN_PREFIX}kind"
_WRITE = f"{OWN_PREFIX}write"
_FORMAT = ("remediation.5dlabs.com/version", "v1")

_HEAD_BODY = "state.json"
_HEAD_DATA = (_HEAD_BODY, *SIDE_FIELDS)
_BODY = "body"
_LARGEST_SHOWN = 3

_REVISION = re.compile(r"([^/]+)/([1-9][0-9]{0,19})")

# An apply is read as YAML, where these are no printable characters or end a line, also in quotes
# (https://yaml.org/spec/1.2.2/, 5.1 and 5.4): DEL, C1, U+2028, U+2029, U+FEFF, U+FFFE, U+FFFF.
_NOT_IN_YAML = re.compile(
    rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]|\xef\xbb\xbf|\xef\xbf[\xbe\xbf]"
)


class Version(NamedTuple):
    """What a revision says: which object, and which version of it."""

    uid: str
    resource_version: str


class Read(Document, frozen=True, kw_only=True):
    """
    A document from a ConfigMap.

    Attributes:
        managed: The object's managedFields, as JSON: who owns what of it.
        is_leaving: Whether it was deleted, and a finalizer holds it.
    """

    managed: bytes
    is_leaving: bool


class _Meta(msgspec.Struct, rename="camel"):
    name: str
    uid: str
    resource_version: str
    labels: dict[str, str] | None = None
    deletion_timestamp: str | None = None
    finalizers: list[str] = []
    managed_fields: msgspec.Raw = msgspec.Raw(b"[]")


class _ConfigMap(msgspec.Struct, rename="camel"):
    metadata: _Meta
    data: dict[str, str] | None = None
    binary_data: dict[str, bytes] | None = None


class _Managed(msgspec.Struct, rename="camel"):
    manager: str = ""
    fields: dict[str, Any] = msgspec.field(name="fieldsV1", default_factory=dict)


_configmaps = msgspec.json.Decoder(_ConfigMap)
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_managers = msgspec.json.Decoder(list[_Managed])


_NO_SIZES: Mapping[str, int] = {}


def object_name(kind: str, key: str) -> str:
    """The name of a document's ConfigMap: names sort as the keys of their kind do."""
    return key if kind in {HEAD, CHUNK} else f"{kind}.{key}"


def key_of(kind: str, name: str) -> str:
    """The key of the document of *kind* that an object of this name is; "" where it can be none."""
    if kind in {HEAD, CHUNK}:
        return name
    return name.removeprefix(f"{kind}.") if name.startswith(f"{kind}.") else ""


def selector(kind: str, labels: Mapping[str, str]) -> str:
    """The label selector for documents of *kind* with all of *labels*."""
    own = f"{'='.join(_APP)},!{_KIND}" if kind == HEAD else f"{_KIND}={kind}"
    return ",".join([own, *(f"{name}={value}" for name, value in labels.items())])


def version_of(document: Document) -> Version:
    """
    Read the revision of *document* back.

    Raises:
        RevisionConflict: It is none that this store has given.
    """
    version = read_revision(document.revision)
    if version is None:
        raise RevisionConflict(f"{document.kind} {document.key!r} never was at this revision")
    return version


def read_revision(revision: str) -> Version | None:
    """Read a revision back; None where it is none that this store has given."""
    found = _REVISION.fullmatch(revision)
    return Version(found[1], found[2]) if found else None


def from_object(kind: str, raw: bytes) -> Read:
    """
    Read a document from a ConfigMap as the server has it.

    Raises:
        StoreCorrupt: It is a document of another kind, or no ConfigMap.
    """
    try:
        found = _configmaps.decode(raw)
    except (ValueError, RecursionError) as error:
        raise StoreCorrupt(f"what the server gives is no ConfigMap: {error}") from error
    meta, texts, blobs = found.metadata, found.data or {}, found.binary_data or {}
    labels = meta.labels or {}
    found_kind = labels.get(_KIND, kind)
    if found_kind != kind:
        raise StoreCorrupt(
            f"the ConfigMap {meta.name} has the label {_KIND}={found_kind}, and its name is that "
            f"of a {kind}: correct the label, or remove the ConfigMap"
        )
    own = _HEAD_BODY if kind == HEAD else _BODY
    is_text = kind == HEAD and own in texts
    body = texts[own].encode() if is_text else blobs.get(own, b"")
    return Read(
        kind=kind,
        key=key_of(kind, meta.name),
        revision=f"{meta.uid}/{meta.resource_version}",
        body=body,
        fields={name: text for name, text in texts.items() if name not in OWN_FIELDS},
        labels={name: value for name, value in labels.items() if not _is_own_label(name)},
        obstacle=_obstacle(meta, [n for n in _HEAD_DATA if n in blobs] if kind == HEAD else []),
        managed=bytes(meta.managed_fields),
        is_leaving=meta.deletion_timestamp is not None,
        blobs={name: blob for name, blob in blobs.items() if name != own},
    )


def _obstacle(meta: _Meta, misplaced: list[str]) -> str:
    if meta.deletion_timestamp is not None:
        return (
            f"the ConfigMap {meta.name} was deleted at {meta.deletion_timestamp} and is held by its "
            f"finalizers alone ({', '.join(meta.finalizers)}): what is written into it would go with "
            "it; copy what you need, let it go, and begin again"
        )
    if misplaced:
        return (
            f"the ConfigMap {meta.name} has its {' and '.join(misplaced)} in binaryData, where "
            "mendloop cannot replace it: it is left as it is; move it to data"
        )
    return ""


def as_object(
    kind: str, key: str, body: bytes, fields: Mapping[str, str], labels: Mapping[str, str]
) -> bytes:
    """
    Write a ConfigMap that is not there yet, for a create.

    Raises:
        TooLarge: The server would refuse it for its size.
    """
    draft = _draft(kind, key, body, fields, labels)
    if kind == CHUNK:
        draft["immutable"] = True
    return _encoded(f"{kind} {key}", draft)


def as_apply(
    document: Read, body: bytes, fields: Mapping[str, str], labels: Mapping[str, str]
) -> bytes:
    """
    Write what of a ConfigMap is ours, for an apply on the version of *document*.

    What we own and an apply leaves out is removed by the server: so all of it is in it, and
    nothing that others own. An apply that changes nothing would not move the version: so each has
    a mark of its own.

    Raises:
        RevisionConflict: The revision of *document* is none that this store has given.
        TooLarge: The server would refuse it for its size.
    """
    version = version_of(document)
    owned = _owned(document.managed) if _leaves_out(document, fields, labels) else _NOTHING
    draft = _draft(
        document.kind,
        document.key,
        body,
        {**{n: v for n, v in document.fields.items() if n in owned.fields}, **fields},
        {**{n: v for n, v in document.labels.items() if n in owned.labels}, **labels},
    )
    draft["metadata"] |= {"uid": version.uid, "resourceVersion": version.resource_version}
    draft["metadata"].setdefault("annotations", {})[_WRITE] = secrets.token_hex(4)
    others = {n: len(v.encode()) for n, v in document.fields.items() if n not in draft["data"]}
    blobs = {name: len(blob) for name, blob in document.blobs.items()}
    return _encoded(f"{document.kind} {document.key}", draft, others=others | blobs)


def as_delete(document: Document) -> bytes:
    """
    Write DeleteOptions that remove *document* as it was read, and nothing else.

    Raises:
        RevisionConflict: Its revision is none that this store has given.
    """
    version = version_of(document)
    preconditions = {"uid": version.uid, "resourceVersion": version.resource_version}
    return msgspec.json.encode(
        {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions}
    )


class _Owned(NamedTuple):
    """Names of data and of labels that are ours."""

    fields: frozenset[str]
    labels: frozenset[str]


_NOTHING = _Owned(frozenset(), frozenset())


def _leaves_out(document: Document, fields: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return not (document.fields.keys() <= fields.keys() and document.labels.keys() <= labels.keys())


def _owned(managed: bytes) -> _Owned:
    """Read who owns what (https://kubernetes.io/docs/reference/using-api/server-side-apply/)."""
    fields: set[str] = set()
    labels: set[str] = set()
    for entry in _managers.decode(managed):
        if entry.manager == FIELD_MANAGER:
            fields |= _names(entry.fields.get("f:data"))
            labels |= _names(entry.fields.get("f:metadata", {}).get("f:labels"))
    return _Owned(frozenset(fields), frozenset(labels))


def _names(paths: dict[str, Any] | None) -> set[str]:
    return {path[2:] for path in paths or () if path.startswith("f:")}


def _is_own_label(name: str) -> bool:
    return name in OWN_LABELS or name.startswith(OWN_PREFIX)


def _draft(
    kind: str, key: str, body: bytes, fields: Mapping[str, str], labels: Mapping[str, str]
) -> dict[str, Any]:
    own = [_APP, _MANAGED_BY] if kind == HEAD else [(_KIND, kind), _MANAGED_BY]
    draft: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": object_name(kind, key), "labels": {**labels, **dict(own)}},
        "data": dict(fields),
    }
    if kind == HEAD:
        draft["metadata"]["annotations"] = dict([_FORMAT])
        draft["data"][_HEAD_BODY] = body.decode()
    else:
        draft["binaryData"] = {_BODY: bytes(body)}
    return draft


def _encoded(
    document: str, draft: dict[str, Any], *, others: Mapping[str, int] = _NO_SIZES
) -> bytes:
    own = {name: len(text.encode()) for name, text in draft["data"].items()}
    own |= {name: len(blob) for name, blob in draft.get("binaryData", {}).items()}
    own_bytes, others_bytes = sum(own.values()), sum(others.values())
    if own_bytes + others_bytes > DATA_LIMIT_BYTES:
        because = (
            f"keys of others have {others_bytes} of them, {_largest(others)}: take away what is "
            "not needed there"
            if own_bytes <= DATA_LIMIT_BYTES
            else _own_words(own, draft)
        )
        raise _too_large(document, "data", own_bytes + others_bytes, DATA_LIMIT_BYTES, because)
    encoded = _escaped(msgspec.json.encode(draft))
    if len(encoded) > REQUEST_LIMIT_BYTES:
        because = _own_words(own, draft)
        raise _too_large(document, "escaped text", len(encoded), REQUEST_LIMIT_BYTES, because)
    return encoded


def _escaped(encoded: bytes) -> bytes:
    if encoded.isascii() and b"\x7f" not in encoded:
        return encoded
    return _NOT_IN_YAML.sub(lambda found: b"\\u%04x" % ord(found[0].decode()), encoded)


def _own_words(own: Mapping[str, int], draft: dict[str, Any]) -> str:
    """Say what is large of ours, of a state by its members."""
    try:
        members = _members.decode(draft["data"].get(_HEAD_BODY, ""))
    except (ValueError, RecursionError):  # a body that is no state is one piece
        return f"the largest of it: {_largest(own)}"
    within = _largest({name: len(bytes(text)) for name, text in members.items()})
    return f"the largest of it: {_largest(own)}; in {_HEAD_BODY}: {within}"


def _largest(sizes: Mapping[str, int]) -> str:
    first = sorted(sizes.items(), key=lambda item: -item[1])[:_LARGEST_SHOWN]
    return ", ".join(f"{name} ({size} bytes)" for name, size in first)


def _too_large(
    document: str, what: str, size_bytes: int, limit_bytes: int, because: str
) -> TooLarge:
    return TooLarge(
        f"the {document} would have {size_bytes} bytes of {what}, and a ConfigMap takes "
        f"{limit_bytes}: nothing was written; {because}",
        size_bytes=size_bytes,
        limit_bytes=limit_bytes,
    )
