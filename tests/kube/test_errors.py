"""What each answer of an API server means: by its reason, causes, status and headers."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controlplane import APIError, Cluster, ControlPlane
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
from mendloop.kube.errors import MEANINGS, Answer, Call, from_answer, is_absent

# metav1.StatusReason in k8s.io/apimachinery v0.37.2, pkg/apis/meta/v1/types.go
REASONS = {
    "",
    "AlreadyExists",
    "BadRequest",
    "Conflict",
    "Expired",
    "Forbidden",
    "Gone",
    "InternalError",
    "Invalid",
    "MethodNotAllowed",
    "NotAcceptable",
    "NotFound",
    "RequestEntityTooLarge",
    "ServerTimeout",
    "ServiceUnavailable",
    "StorageReadError",
    "Timeout",
    "TooManyRequests",
    "Unauthorized",
    "UnsupportedMediaType",
}

CONFLICT_WORDS = "configmaps already exists; Timeout; forbidden; the object has been modified"
Ask = Callable[..., tuple[StateError, Answer]]


def call(verb: str = "patch", **changes: Any) -> Call:
    asked: dict[str, Any] = {"resource": "configmaps", "namespace": "agents", "name": "a"}
    return Call(**({"verb": verb} | asked | changes))


def status(code: int, reason: str = "", *causes: tuple[str, str], **more: Any) -> Answer:
    """A Status whose message says something else than its reason."""
    details = {"causes": [{"reason": r, "field": f} for r, f in causes], "kind": "configmaps"}
    told = {"kind": "Status", "code": code, "reason": reason, "message": CONFLICT_WORDS}
    return Answer(code, json.dumps(told | {"details": details} | more).encode())


def meaning(answer: Answer, verb: str = "patch") -> type[StateError]:
    return type(from_answer(answer, call(verb), "https://there"))


def test_every_reason_has_a_meaning() -> None:
    """All reasons of Kubernetes stand in the table, and no others; unknown counts by the status."""
    assert REASONS - {""} == set(MEANINGS)


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (401, "Unauthorized", AccessError),
        (403, "Forbidden", NotPermitted),
        (404, "NotFound", RevisionConflict),
        (409, "AlreadyExists", DocumentExists),
        (409, "Conflict", RevisionConflict),
        (410, "Gone", VersionExpired),
        (410, "Expired", VersionExpired),
        (413, "RequestEntityTooLarge", TooLarge),
        (422, "Invalid", StoreError),
        (500, "ServerTimeout", StoreUnavailable),
        (500, "StorageReadError", StoreCorrupt),
        (504, "Timeout", StoreUnavailable),
        (429, "TooManyRequests", StoreUnavailable),
        (500, "InternalError", StoreUnavailable),
        (503, "ServiceUnavailable", StoreUnavailable),
        (400, "BadRequest", StoreError),
        (405, "MethodNotAllowed", StoreError),
        (406, "NotAcceptable", StoreError),
        (415, "UnsupportedMediaType", StoreError),
        (500, "", StoreUnavailable),
        (503, "", StoreUnavailable),
        (409, "", RevisionConflict),
        (422, "", StoreError),
        (599, "SomethingNew", StoreUnavailable),
        (499, "SomethingNew", StoreError),
    ],
)
def test_reason_decides_and_not_the_message(
    code: int, reason: str, expected: type[StateError]
) -> None:
    """Each reason has its class, whatever words come with it."""
    assert expected is meaning(status(code, reason))


@pytest.mark.parametrize(
    ("causes", "expected"),
    [
        ([("FieldManagerConflict", ".data.f")], StoreError),
        ([("FieldValueInvalid", "metadata.uid")], RevisionConflict),
        ([("FieldValueInvalid", "metadata.name")], RevisionConflict),  # as without it
        ([("FieldValueTooLong", "[]")], TooLarge),
        ([("FieldValueRequired", "x"), ("FieldValueTooLong", "metadata.annotations")], TooLarge),
        ([("ResourceVersionTooLarge", "")], VersionExpired),
        ([("NamespaceTerminating", "metadata.namespace")], StoreError),
    ],
)
def test_cause_says_more_than_the_reason(
    causes: list[tuple[str, str]], expected: type[StateError]
) -> None:
    """Where a cause is known, it counts."""
    assert expected is meaning(status(409, "Conflict", *causes))


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (301, StoreError),
        (400, StoreError),
        (401, AccessError),
        (403, NotPermitted),
        (404, StoreError),
        (408, StoreUnavailable),
        (413, TooLarge),
        (429, StoreUnavailable),
        (500, StoreUnavailable),
        (502, StoreUnavailable),
        (503, StoreUnavailable),
        (504, StoreUnavailable),
    ],
)
@pytest.mark.parametrize("body", [b"", b"{}", b"<html>token=hunter2</html>", b"null", b"[1]"])
def test_what_is_no_status_counts_by_its_http_status(
    code: int, body: bytes, expected: type[StateError]
) -> None:
    """What a proxy says is told by its status, and its text is not repeated."""
    error = from_answer(Answer(code, body), call(), "https://there")
    assert expected is type(error)
    assert "hunter2" not in str(error)
    assert not is_absent(Answer(code, body), call("get"))


def test_a_server_that_is_asked_without_tls_is_told_so() -> None:
    """An http:// URL of a port that speaks TLS, and it alone, brings the advice to try https://."""
    answer = Answer(400, b"Client sent an HTTP request to an HTTPS server.\n")

    assert str(from_answer(answer, call(), "http://there")).endswith("http://: try https://")
    assert "try https://" not in str(from_answer(answer, call(), "https://there"))


@pytest.mark.parametrize("verb", ["get", "list", "watch", "create", "patch", "delete"])
@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_only_what_was_not_begun_was_surely_not_stored(verb: str, code: int) -> None:
    """A write that failed in the server may have landed, unless the server did not take it."""
    error = from_answer(status(code), call(verb), "https://there")
    assert isinstance(error, StoreUnavailable)
    is_write = verb in {"create", "patch", "delete"}
    assert (is_write and code != 429) == error.maybe_stored


@pytest.mark.parametrize(
    ("header", "body", "expected"),
    [
        ("", b"", None),
        ("3", b"", 3.0),
        (" 3 ", b"", 3.0),
        ("0", b"", 0.0),
        ("-3", b"", None),
        ("1.5", b"", None),
        ("soon", b"", None),
        ("\u0663", b"", None),
        ("9" * 400, b"", 3600.0),
        ("", b'{"kind":"Status","details":{"retryAfterSeconds":2}}', 2.0),
        ("5", b'{"kind":"Status","details":{"retryAfterSeconds":2}}', 5.0),
        ("", b'{"kind":"Other","details":{"retryAfterSeconds":2}}', None),
        ("Mon, 01 Jan 2024 00:00:00 GMT", b"", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", b"", 3600.0),
    ],
)
def test_pause_is_read_from_header_or_details(
    header: str, body: bytes, expected: float | None
) -> None:
    """Retry-After counts, else retryAfterSeconds; what is neither seconds nor a date does not."""
    assert expected == Answer(503, body, header).retry_after_seconds


def test_date_to_come_again_is_a_pause() -> None:
    """A date in Retry-After is so many seconds from now."""
    until = datetime.now(UTC) + timedelta(seconds=60)
    pause = Answer(503, b"", until.strftime("%a, %d %b %Y %H:%M:%S GMT")).retry_after_seconds
    assert pause is not None
    assert 50 < pause <= 60


def test_throttled_without_a_time_is_a_short_pause() -> None:
    """A 429 that does not say for how long still asks for a pause."""
    assert 1.0 == Answer(429, b"").retry_after_seconds


def test_not_permitted_names_what_is_missing() -> None:
    """The verb, the resource and the namespace are in the fields and in the words."""
    error = from_answer(status(403, "Forbidden"), call("delete"), "https://there")
    assert isinstance(error, NotPermitted)
    assert ("delete", "configmaps", "agents") == (error.verb, error.resource, error.namespace)
    assert "kubectl auth can-i delete configmaps -n agents" in str(error)


def test_long_and_hostile_words_are_cut_and_cleaned() -> None:
    """What a server says steers no terminal and fills no log."""
    words = "\x1b[31mred\u202e " * 1000
    told = json.dumps({"kind": "Status", "message": words, "code": 422}).encode()
    text = str(from_answer(Answer(422, told), call(), "https://there"))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert len(text) < 500


@pytest.fixture
def ask(control_plane: Cluster, namespace: str) -> Ask:
    """Ask the real server; give what it refuses with, and the answer itself."""
    base = f"/api/v1/namespaces/{namespace}/configmaps"

    def request(
        method: str, path: str, body: object = None, *, token: str | None = None, verb: str = ""
    ) -> tuple[StateError, Answer]:
        verbs = {"POST": "create", "PATCH": "patch", "DELETE": "delete", "GET": "get"}
        with pytest.raises(APIError) as caught:
            control_plane.request(method, f"{base}{path}", body, token=token)
        answer = Answer(caught.value.status, caught.value.body.encode())
        asked = call(verb or verbs[method], namespace=namespace)
        return from_answer(answer, asked, control_plane.url), answer

    return request


def configmap(name: str, *, data: dict[str, str] | None = None, **metadata: str) -> dict[str, Any]:
    kind = {"apiVersion": "v1", "kind": "ConfigMap"}
    return {**kind, "metadata": {"name": name, **metadata}, "data": data or {}}


def test_real_conflicts_are_told_apart(control_plane: Cluster, namespace: str, ask: Ask) -> None:
    """The server's own answers to each kind of lost race have the classes that a store needs."""
    base = f"/api/v1/namespaces/{namespace}/configmaps"
    made = control_plane.request("POST", f"{base}?fieldManager=x", configmap("a", data={"f": "1"}))
    uid, version = made["metadata"]["uid"], made["metadata"]["resourceVersion"]
    other = "00000000-0000-0000-0000-000000000000"
    force = "?fieldManager=state-manager&force=true"
    apply = configmap("a", uid=uid, resourceVersion="1")
    for error, expected in (
        (ask("POST", "", configmap("a")), DocumentExists),
        (ask("PATCH", f"/a{force}", apply), RevisionConflict),
        (
            ask("PATCH", f"/a{force}", configmap("a", uid=other, resourceVersion=version)),
            RevisionConflict,
        ),
        (
            ask("PATCH", f"/b{force}", configmap("b", uid=uid, resourceVersion="1")),
            RevisionConflict,
        ),
        (ask("DELETE", "/a", {"preconditions": {"uid": other}}), RevisionConflict),
        (ask("DELETE", "/a", {"preconditions": {"resourceVersion": "1"}}), RevisionConflict),
        (ask("DELETE", "/b", {"preconditions": {"uid": uid}}), RevisionConflict),
        (
            ask("PATCH", "/a?fieldManager=y", configmap("a", data={"f": "2"})),
            StoreError,
        ),
    ):
        assert expected is type(error[0]), str(error[0])
    assert made == control_plane.request("GET", f"{base}/a")


def test_real_refusals_are_told_apart(control_plane: Cluster, namespace: str, ask: Ask) -> None:
    """Sizes, permissions, credentials and absence, as the server says them."""
    token = control_plane.service_account_token(namespace, "nobody")
    for error, expected in (
        (ask("POST", "", configmap("a", data={"f": "x" * 1_048_577})), TooLarge),
        (ask("POST", "", configmap("a", data={"f": "x" * 3_145_729})), TooLarge),
        (ask("POST", "", configmap("a", token="x") | {"data": {"/": "1"}}), StoreError),  # noqa: S106 - no secret
        (ask("GET", "/a", token=token), NotPermitted),
        (ask("GET", "/a", token="wrong"), AccessError),  # noqa: S106 - no secret
        (ask("GET", "?limit=1&continue=x", verb="list"), StoreError),
    ):
        assert expected is type(error[0]), str(error[0])
    _, answer = ask("GET", "/a")
    assert is_absent(answer, call("get"))
    assert not is_absent(answer, call("patch"))


def test_missing_namespace_is_named(control_plane: Cluster) -> None:
    """A create in a namespace that is not there says so, and is no lost race."""
    with pytest.raises(APIError) as caught:
        control_plane.request("POST", "/api/v1/namespaces/nowhere/configmaps", configmap("a"))
    answer = Answer(caught.value.status, caught.value.body.encode())
    error = from_answer(answer, call("create", namespace="nowhere"), control_plane.url)
    assert (AccessError, True) == (type(error), "no namespace nowhere" in str(error))


def test_full_etcd_is_full(kubernetes_programs: Any, tmp_path: Any) -> None:
    """When etcd has no room left, that is what the answer says, and not that it may pass."""
    with ControlPlane(tmp_path / "plane", kubernetes_programs, quota_bytes=8_000_000) as plane:
        base = f"/api/v1/namespaces/{plane.namespace()}/configmaps"
        for number in range(60):
            try:
                plane.request("POST", base, configmap(f"c{number}", data={"f": "x" * 900_000}))
            except APIError as refused:
                answer = Answer(refused.status, refused.body.encode())
                break
        else:
            pytest.fail("etcd took all of it")
    error = from_answer(answer, call("create"), plane.url)
    assert StoreFull is type(error), str(error)
    assert "make room" in str(error)


def test_dying_namespace_is_named(controllers: Cluster, namespace: str, ask: Ask) -> None:
    """A namespace that is being deleted takes nothing, and says why."""
    base = f"/api/v1/namespaces/{namespace}/configmaps"
    held = configmap("held") | {"metadata": {"name": "held", "finalizers": ["test.example/hold"]}}
    controllers.request("POST", base, held)
    controllers.request("DELETE", f"/api/v1/namespaces/{namespace}")
    error, _ = ask("POST", "", configmap("a"))
    assert (StoreError, True) == (type(error), "being deleted" in str(error))
