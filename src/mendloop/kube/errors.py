"""
What each answer of an API server that is no success means: one table, and no other place.

An answer is told by its `reason`, the reasons of its causes, its status and its headers
(https://kubernetes.io/docs/reference/using-api/api-concepts/#standard-api-terminology), never by
its message, with one exception that is named below. What is no `Status` of Kubernetes comes from
something in between, such as a proxy or the server's own protection from overload.
"""

from __future__ import annotations

import email.utils
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus

import msgspec

from mendloop.core.errors import (
    AccessError,
    DocumentExists,
    NotPermitted,
    RevisionConflict,
    StateError,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreUnavailable,
    TooLarge,
    VersionExpired,
)
from mendloop.core.text import clean

__all__ = [
    "MEANINGS",
    "REQUEST_LIMIT_BYTES",
    "Answer",
    "Call",
    "from_answer",
    "is_absent",
    "no_namespace",
]

REQUEST_LIMIT_BYTES = 3_145_728
"""An API server takes no longer body (k8s.io/apiserver, MaxRequestBodyBytes)."""

MEANINGS: Mapping[str, type[StateError]] = {
    "Unauthorized": AccessError,
    "Forbidden": NotPermitted,
    "NotFound": RevisionConflict,  # of a write; `is_absent` is asked first for a read
    "AlreadyExists": DocumentExists,
    "Conflict": RevisionConflict,
    "Gone": VersionExpired,
    "Expired": VersionExpired,
    "Invalid": StoreError,
    "ServerTimeout": StoreUnavailable,
    "StorageReadError": StoreCorrupt,
    "Timeout": StoreUnavailable,
    "TooManyRequests": StoreUnavailable,
    "BadRequest": StoreError,
    "MethodNotAllowed": StoreError,
    "NotAcceptable": StoreError,
    "RequestEntityTooLarge": TooLarge,
    "UnsupportedMediaType": StoreError,
    "InternalError": StoreUnavailable,
    "ServiceUnavailable": StoreUnavailable,
}
"""By metav1.StatusReason; "", which is "unknown", counts by the status."""

_BY_STATUS: Mapping[int, type[StateError]] = {
    HTTPStatus.UNAUTHORIZED: AccessError,
    HTTPStatus.FORBIDDEN: NotPermitted,
    HTTPStatus.REQUEST_TIMEOUT: StoreUnavailable,
    HTTPStatus.CONFLICT: RevisionConflict,
    HTTPStatus.GONE: VersionExpired,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: TooLarge,
    HTTPStatus.TOO_MANY_REQUESTS: StoreUnavailable,
}

_BY_CAUSE: Mapping[str, type[StateError]] = {
    "FieldManagerConflict": StoreError,
    "FieldValueTooLong": TooLarge,
    "NamespaceTerminating": StoreError,
    "ResourceVersionTooLarge": VersionExpired,
}
"""A cause says more than its answer's reason."""

_WRITES = frozenset({"create", "patch", "delete"})
_SHOWN_BYTES = 256
_LONGEST_PAUSE_SECONDS = 3600.0
_USUAL_PAUSE_SECONDS = 1.0


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """
    What was asked of an API server.

    Attributes:
        verb: As in rules of RBAC: get, list, watch, create, patch or delete.
        resource: For instance "configmaps".
        namespace: Where.
        name: Of the object; "" of none.
        size_bytes: Of the body.
    """

    verb: str
    resource: str
    namespace: str
    name: str = ""
    size_bytes: int = 0

    @property
    def is_write(self) -> bool:
        """Whether it changes something."""
        return self.verb in _WRITES

    @property
    def right(self) -> tuple[str, str]:
        """What a rule has to allow: the verb and the resource."""
        return self.verb, self.resource

    def __str__(self) -> str:
        """In words."""
        name = f" {self.name}" if self.name else ""
        return f"{self.verb} {self.resource}{name} in namespace {self.namespace}"


class _Cause(msgspec.Struct, frozen=True):
    reason: str = ""
    field: str = ""


class _Details(msgspec.Struct, frozen=True, rename="camel"):
    kind: str = ""
    causes: tuple[_Cause, ...] | None = None
    retry_after_seconds: int = 0


class _ListMeta(msgspec.Struct, frozen=True):
    following: str = msgspec.field(name="continue", default="")


class _Status(msgspec.Struct, frozen=True):
    kind: str = ""
    code: int = 0
    reason: str = ""
    message: str = ""
    details: _Details | None = None
    metadata: _ListMeta | None = None


_statuses = msgspec.json.Decoder(_Status)


class Answer:
    """
    An answer that is no success.

    Attributes:
        status: Of HTTP.
        retry_after_seconds: How long the server wants no request, or None where it does not say.
    """

    def __init__(self, status: int, body: bytes, retry_after: str = "") -> None:
        """
        Read it.

        Args:
            status: Of HTTP.
            body: All of it; what is no Status of Kubernetes is not looked at, and never shown.
            retry_after: The header, or "".
        """
        self.status = status
        try:
            found = _statuses.decode(body)
        except (ValueError, RecursionError):
            found = _Status()
        self._told = found if found.kind == "Status" else None
        details = (found.details if self._told else None) or _Details()
        self._kind = details.kind
        self._causes = details.causes or ()
        seconds = _seconds(retry_after)
        if seconds is None and details.retry_after_seconds > 0:
            seconds = float(details.retry_after_seconds)
        if seconds is None and status == HTTPStatus.TOO_MANY_REQUESTS:
            seconds = _USUAL_PAUSE_SECONDS
        self.retry_after_seconds = seconds

    @classmethod
    def of_event(cls, body: bytes) -> Answer:
        """Read the Status in an ERROR event of a watch."""
        answer = cls(HTTPStatus.INTERNAL_SERVER_ERROR, body)
        if answer._told is not None and answer._told.code:
            answer.status = answer._told.code
        return answer

    @property
    def reason(self) -> str:
        """The Status's reason, or ""."""
        return self._told.reason if self._told else ""

    @property
    def following(self) -> str:
        """Where a listing whose place has expired may go on, or ""."""
        return self._told.metadata.following if self._told and self._told.metadata else ""

    @property
    def words(self) -> str:
        """What it says, cut and cleaned."""
        if self._told is None:
            return f"status {self.status}, which is no answer of Kubernetes"
        text = self._told.message or self.reason or f"status {self.status}"
        return " ".join(clean(text, limit_bytes=_SHOWN_BYTES).split())

    def allows_again(self, call: Call) -> bool:
        """Whether *call* may be sent again after the pause: it is a read, or it was not begun."""
        is_not_begun = self.status == HTTPStatus.TOO_MANY_REQUESTS
        return self.retry_after_seconds is not None and (is_not_begun or not call.is_write)

    def has_cause(self, reason: str, field: str = "") -> bool:
        """Whether there is such a cause, of *field* where one is given."""
        return any(c.reason == reason and field in {"", c.field} for c in self._causes)

    def is_about(self, kind: str) -> bool:
        """Whether it is about an object of *kind*."""
        return self._kind == kind

    @property
    def meaning(self) -> type[StateError]:
        """The class of error that it is."""
        if self.has_cause("FieldValueInvalid", "metadata.uid"):
            return RevisionConflict  # an apply found another object under the name
        # The one thing that only the message says (etcd's ErrNoSpace, by way of the API server).
        if self._told and "mvcc: database space exceeded" in self._told.message:
            return StoreFull
        for reason, meaning in _BY_CAUSE.items():
            if self.has_cause(reason):
                return meaning
        by_status = _BY_STATUS.get(self.status) or (
            StoreUnavailable if self.status >= HTTPStatus.INTERNAL_SERVER_ERROR else StoreError
        )
        return MEANINGS.get(self.reason, by_status)


def is_absent(answer: Answer, call: Call) -> bool:
    """Whether *answer* says that what was read is not there, rather than that the URL is wrong."""
    return not call.is_write and answer.reason == "NotFound" and answer.is_about(call.resource)


def from_answer(answer: Answer, call: Call, server: str) -> StateError:
    """
    Say what *answer* means to whoever made the *call*.

    Args:
        server: Its URL, for the message.
    """
    meaning, words = answer.meaning, answer.words
    if meaning is StoreUnavailable:
        is_refused = answer.status == HTTPStatus.TOO_MANY_REQUESTS
        return StoreUnavailable(
            f"{server}: {call}: {words}", maybe_stored=call.is_write and not is_refused
        )
    if meaning is NotPermitted:
        return _not_permitted(words, call)
    if meaning is TooLarge:
        return _too_large(words, call)
    if meaning is VersionExpired:
        return VersionExpired(f"{call}: {words}", following=answer.following)
    if meaning is RevisionConflict and answer.is_about("namespaces"):
        return no_namespace(call.namespace)
    return meaning(f"{call}: {words}{_advice(answer, meaning, server)}")


def no_namespace(name: str) -> AccessError:
    """The error of whoever works in a namespace that is not there."""
    return AccessError(
        f"there is no namespace {name}: name another one, or make it with "
        f"`kubectl create namespace {name}`"
    )


def _advice(answer: Answer, meaning: type[StateError], server: str) -> str:
    if answer.has_cause("FieldManagerConflict"):
        return "; other writers own these fields, and trying again will not change that"
    if answer.has_cause("NamespaceTerminating"):
        return "; the namespace is being deleted: name another one"
    if meaning is StoreFull:
        return "; nothing was kept: make room in etcd, or ask who runs the cluster to"
    if meaning is StoreCorrupt:
        return "; ask who runs the cluster to look at etcd"
    if answer.reason != "":
        return ""
    return f"; is that an API server?{_scheme_advice(server)}"


def _scheme_advice(server: str) -> str:
    return " It is asked by http://: try https://" if server.startswith("http:") else ""


def _not_permitted(words: str, call: Call) -> NotPermitted:
    return NotPermitted(
        f"not permitted to {call.verb} {call.resource} in namespace {call.namespace}: let a Role "
        f"allow it, as that in deploy/ does ({words}); `kubectl auth can-i {call.verb} "
        f"{call.resource} -n {call.namespace}` asks again",
        verb=call.verb,
        resource=call.resource,
        namespace=call.namespace,
    )


def _too_large(words: str, call: Call) -> TooLarge:
    return TooLarge(
        f"{call}: a body of {call.size_bytes} bytes is too large for the server ({words}); "
        "nothing was written",
        size_bytes=call.size_bytes,
        limit_bytes=REQUEST_LIMIT_BYTES,
    )


def _seconds(retry_after: str) -> float | None:
    """Read the header Retry-After: seconds or a date (RFC 9110, 10.2.3); None where it is neither."""
    if retry_after.isascii() and retry_after.strip().isdigit():
        return min(float(retry_after), _LONGEST_PAUSE_SECONDS)
    try:
        until = email.utils.parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    seconds = (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), _LONGEST_PAUSE_SECONDS)
