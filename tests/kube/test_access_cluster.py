"""Access to a real API server: what it takes us for."""

from __future__ import annotations

import base64
import json
import shutil
import ssl
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from wire import Pki, ask

from controlplane import Cluster, ControlPlane
from mendloop.kube.access import Access, load_access
from mendloop.kube.impersonation import Impersonation

REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
REVIEW = {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}
V1 = "client.authentication.k8s.io/v1"


async def test_a_service_accounts_token_is_its_user(
    control_plane: Cluster, namespace: str, tmp_path: Path
) -> None:
    """A kubeconfig with a real ServiceAccount's token makes us that ServiceAccount."""
    token = control_plane.service_account_token(namespace, "agent")
    path = control_plane.kubeconfig(tmp_path / "config", token=token, namespace=namespace)

    access = await load_access(kubeconfig=str(path))

    assert f"system:serviceaccount:{namespace}:agent" == (await who_am_i(access))["username"]
    assert namespace == access.namespace


async def test_a_pod_is_its_service_account(
    control_plane: Cluster, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files that a Pod has make us its ServiceAccount, and a new token that of another."""
    shutil.copy(control_plane.ca_file, tmp_path / "ca.crt")
    (tmp_path / "namespace").write_text(namespace)
    (tmp_path / "token").write_text(control_plane.service_account_token(namespace, "agent"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(control_plane.port))

    access = await load_access(service_account=tmp_path)
    first = await who_am_i(access)
    (tmp_path / "token").write_text(control_plane.service_account_token(namespace, "other"))
    second = await who_am_i(access)

    whose = f"system:serviceaccount:{namespace}"
    assert [f"{whose}:agent", f"{whose}:other"] == [first["username"], second["username"]]
    assert namespace == access.namespace


async def test_a_plugin_gives_a_real_token(
    control_plane: Cluster, namespace: str, tmp_path: Path
) -> None:
    """A plugin that prints a ServiceAccount's token makes us that ServiceAccount."""
    token = control_plane.service_account_token(namespace, "agent")
    credential = {"apiVersion": V1, "kind": "ExecCredential", "status": {"token": token}}
    (tmp_path / "credential").write_text(json.dumps(credential))
    plugin = {"command": "cat", "args": [str(tmp_path / "credential")]}
    path = written(
        control_plane, tmp_path, {"exec": plugin | {"apiVersion": V1, "interactiveMode": "Never"}}
    )

    access = await load_access(kubeconfig=path)

    assert f"system:serviceaccount:{namespace}:agent" == (await who_am_i(access))["username"]


async def test_we_act_as_somebody_else(control_plane: Cluster, tmp_path: Path) -> None:
    """The server takes us for whom we act as, with all groups, uid and extra values."""
    extra = {"example.com/Scope": ["a", "b"]}
    user = {
        "token": control_plane.admin_token,
        "as": "carol",
        "as-uid": "7",
        "as-groups": ["one", "two"],
        "as-user-extra": extra,
    }
    path = written(control_plane, tmp_path, user)

    by_file = await who_am_i(await load_access(kubeconfig=path))
    other = Impersonation(user="dave", groups=("three",))
    by_caller = await who_am_i(await load_access(kubeconfig=path, impersonate=other))

    groups = ["one", "two", "system:authenticated"]
    extra_there = {"example.com/scope": ["a", "b"]}
    assert {"username": "carol", "uid": "7", "groups": groups, "extra": extra_there} == by_file
    assert {"username": "dave", "groups": ["three", "system:authenticated"]} == by_caller


async def test_a_client_certificate_is_its_user(
    kubernetes_programs: Path, pki: Pki, tmp_path: Path
) -> None:
    """The name in a client certificate is the user, whether it is a file's or the kubeconfig's."""
    options = [f"--client-ca-file={tmp_path / 'ca.pem'}"]
    with ControlPlane(tmp_path / "plane", kubernetes_programs, apiserver_options=options) as plane:
        as_files = {"client-certificate": "client.pem", "client-key": "client.key"}
        alice = await who_am_i(await load_access(kubeconfig=written(plane, tmp_path, as_files)))
        as_data = {f"{name}-data": pki.data(f"other.{end}") for name, end in _ENDS.items()}
        bob = await who_am_i(await load_access(kubeconfig=written(plane, tmp_path, as_data)))

    assert ["alice", "bob"] == [alice["username"], bob["username"]]


_ENDS = {"client-certificate": "pem", "client-key": "key"}


async def test_an_expired_token_is_told(
    control_plane: Cluster, namespace: str, tmp_path: Path
) -> None:
    """An expired token gets a 401, and the error for it names the user and what to do."""
    user = {"token": signed_token(control_plane, namespace, lives_seconds=600)}
    assert await who_am_i(await load_access(kubeconfig=written(control_plane, tmp_path, user)))

    user = {"token": signed_token(control_plane, namespace, lives_seconds=-600)}
    path = written(control_plane, tmp_path, user)
    access = await load_access(kubeconfig=path)
    status, body = await ask(access, "POST", REVIEWS, REVIEW)

    assert (401, "Unauthorized") == (status, json.loads(body)["reason"])
    assert (
        f"the API server at {control_plane.url} does not accept the token of user 'u': "
        f"put a fresh one into {path}"
    ) == str(access.refused())


async def test_another_authority_is_not_trusted(
    control_plane: Cluster, pki: Pki, tmp_path: Path
) -> None:
    """With the authority of another cluster no request reaches the server."""
    cluster = {"certificate-authority": "stranger.pem"}
    path = written(control_plane, tmp_path, {"token": control_plane.admin_token}, cluster)

    with pytest.raises(aiohttp.ClientConnectorCertificateError) as caught:
        await ask(await load_access(kubeconfig=path))

    assert isinstance(caught.value.certificate_error, ssl.SSLCertVerificationError)


def written(
    cluster: Cluster, folder: Path, user: dict[str, Any], over: dict[str, Any] | None = None
) -> str:
    """Write a kubeconfig for *user* and return its path."""
    where = {"server": cluster.url, "certificate-authority": str(cluster.ca_file)} | (over or {})
    content = {
        "clusters": [{"name": "c", "cluster": where}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path = folder / "config"
    path.write_text(json.dumps(content))
    return str(path)


async def who_am_i(access: Access) -> dict[str, Any]:
    """What the API server says of the one who asks, but for what it finds out by itself."""
    status, body = await ask(access, "POST", REVIEWS, REVIEW)
    assert 201 == status, body
    user: dict[str, Any] = json.loads(body)["status"]["userInfo"]
    return user


def signed_token(cluster: Cluster, namespace: str, *, lives_seconds: int) -> str:
    """A ServiceAccount's token as the server signs it, with an end that it would not set."""
    cluster.service_account_token(namespace, "agent")
    account = cluster.request("GET", f"/api/v1/namespaces/{namespace}/serviceaccounts/agent")
    issuer = "https://kubernetes.default.svc"
    now = int(time.time())
    claims = {
        "iss": issuer,
        "aud": [issuer],
        "sub": f"system:serviceaccount:{namespace}:agent",
        "iat": now - 3600,
        "nbf": now - 3600,
        "exp": now + lives_seconds,
        "kubernetes.io": {
            "namespace": namespace,
            "serviceaccount": {"name": "agent", "uid": account["metadata"]["uid"]},
        },
    }
    key = serialization.load_pem_private_key(
        cluster.ca_file.with_suffix(".key").read_bytes(), password=None
    )
    assert isinstance(key, rsa.RSAPrivateKey)
    signed = ".".join(_in_base64(json.dumps(part).encode()) for part in ({"alg": "RS256"}, claims))
    signature = key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{signed}.{_in_base64(signature)}"


def _in_base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
