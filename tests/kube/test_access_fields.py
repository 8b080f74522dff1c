"""
Each field of a kubeconfig, seen from the server: what mendloop sends, and what kubectl sends.

kubectl is client-go, whose rules these are: each row is asked by both, and must arrive the same.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from wire import Pki, Proxy, Seen, Wire, ask

from mendloop.kube.access import load_access

BASIC = f"Basic {base64.b64encode('alice:pässword'.encode()).decode()}"
CERTIFICATE = {"client-certificate": "client.pem", "client-key": "client.key"}
V1, V1BETA1 = (f"client.authentication.k8s.io/{version}" for version in ("v1", "v1beta1"))


def plugin(script: str, **fields: Any) -> dict[str, Any]:
    """A plugin that is a line of Python, in which `answer` prints an ExecCredential."""
    version = fields.get("apiVersion", V1)
    prelude = (
        "import json, os, sys\n"
        f"def answer(**status): print(json.dumps(dict(apiVersion={version!r}, "
        "kind='ExecCredential', status=status)))\n"
    )
    return {
        "command": "$PYTHON",
        "args": ["-c", prelude + script],
        "apiVersion": V1,
        "interactiveMode": "Never",
        **fields,
    }


class Row(NamedTuple):
    """
    What a kubeconfig says, and what arrives.

    Attributes:
        cluster: Members of the cluster, beside the server and its authority.
        user: Members of the user.
        tunnels: How often the proxy is asked for one.
    """

    name: str
    cluster: dict[str, Any]
    user: dict[str, Any]
    authorization: str = ""
    impersonation: list[tuple[str, str]] = []  # noqa: RUF012 - never changed
    certificate: str = ""
    server_name: str = ""
    accepts: str = "gzip"


ROWS = [
    Row("authority in a file", {}, {"token": "t"}, "Bearer t"),
    Row(
        "authority as data",
        {"certificate-authority": None, "certificate-authority-data": "@ca.pem"},
        {"token": "t"},
        "Bearer t",
    ),
    Row(
        "insecure",
        {"certificate-authority": None, "insecure-skip-tls-verify": True},
        {"token": "t"},
        "Bearer t",
    ),
    Row(
        "insecure under another name",
        {
            "certificate-authority": None,
            "insecure-skip-tls-verify": True,
            "server": "https://localhost:$PORT",
        },
        {"token": "t"},
        "Bearer t",
        server_name="localhost",
    ),
    Row(
        "tls-server-name",
        {"tls-server-name": "api.example.com"},
        {"token": "t"},
        "Bearer t",
        server_name="api.example.com",
    ),
    Row("server with a slash", {"server": "$SERVER/"}, {"token": "t"}, "Bearer t"),
    Row("server with a path", {"server": "$SERVER/k8s/c1"}, {"token": "t"}, "Bearer t"),
    Row("no compression", {"disable-compression": True}, {"token": "t"}, "Bearer t", accepts=""),
    Row("null members", {"proxy-url": "$NULL"}, {"token": "t", "exec": "$NULL"}, "Bearer t"),
    Row("unknown members", {"colour": "red"}, {"token": "t", "shoe": {"size": 44}}, "Bearer t"),
    Row(
        "extensions",
        {"extensions": [{"name": "e", "extension": {"a": 1}}]},
        {"token": "t", "extensions": [{"name": "e", "extension": [None]}]},
        "Bearer t",
    ),
    Row("tokenFile", {}, {"tokenFile": "token"}, "Bearer from-file"),
    Row("tokenFile before token", {}, {"tokenFile": "token", "token": "t"}, "Bearer from-file"),
    Row("username and password", {}, {"username": "alice", "password": "pässword"}, BASIC),
    Row("certificate in files", {}, CERTIFICATE, certificate="alice"),
    Row(
        "certificate as data",
        {},
        {"client-certificate-data": "@client.pem", "client-key-data": "@client.key"},
        certificate="alice",
    ),
    Row(
        "certificate as data, key in a file",
        {},
        {"client-certificate-data": "@client.pem", "client-key": "client.key"},
        certificate="alice",
    ),
    Row(
        "token and certificate", {}, {"token": "t", **CERTIFICATE}, "Bearer t", certificate="alice"
    ),
    Row(
        "as",
        {},
        {"token": "t", "as": "carol"},
        "Bearer t",
        [("Impersonate-User", "carol")],
    ),
    Row(
        "as, with all that belongs to it",
        {},
        {
            "token": "t",
            "as": "carol",
            "as-uid": "7",
            "as-groups": ["one", "two, three"],
            "as-user-extra": {"scope": ["a", "b"], "Example.com/ö": ["c"]},
        },
        "Bearer t",
        [
            ("Impersonate-Extra-Example.com%2f%c3%b6", "c"),
            ("Impersonate-Extra-Scope", "a"),
            ("Impersonate-Extra-Scope", "b"),
            ("Impersonate-Group", "one"),
            ("Impersonate-Group", "two, three"),
            ("Impersonate-Uid", "7"),
            ("Impersonate-User", "carol"),
        ],
    ),
    Row("plugin's token", {}, {"exec": plugin("answer(token='p')")}, "Bearer p"),
    Row(
        "plugin's token, v1beta1",
        {},
        {"exec": plugin("answer(token='p')", apiVersion=V1BETA1, interactiveMode=None)},
        "Bearer p",
    ),
    Row(
        "plugin's certificate",
        {},
        {
            "exec": plugin(
                "answer(clientCertificateData=open('$HERE/client.pem').read(),"
                " clientKeyData=open('$HERE/client.key').read())"
            )
        },
        certificate="alice",
    ),
    Row(
        "plugin's token and certificate",
        {},
        {
            "exec": plugin(
                "answer(token='p', clientCertificateData=open('$HERE/client.pem').read(),"
                " clientKeyData=open('$HERE/client.key').read())"
            )
        },
        "Bearer p",
        certificate="alice",
    ),
    Row(
        "plugin's arguments and environment",
        {},
        {
            "exec": plugin(
                "answer(token=os.environ['MINE'] + os.environ['HOME'][:1])",
                env=[{"name": "MINE", "value": "m"}],
            )
        },
        "Bearer m/",
    ),
    Row(
        "plugin that may ask somebody",
        {},
        {
            "exec": plugin(
                "answer(token=str(json.loads(os.environ['KUBERNETES_EXEC_INFO'])['spec']))",
                interactiveMode="IfAvailable",
            )
        },
        "Bearer {'interactive': False}",
    ),
    Row("plugin beside its file", {}, {"exec": plugin("", command="./login.sh")}, "Bearer beside"),
    Row(
        "plugin that is told of the cluster",
        {
            "tls-server-name": "api.example.com",
            "extensions": [
                {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "$NULL"}}
            ],
        },
        {
            "exec": plugin(
                "c = json.loads(os.environ['KUBERNETES_EXEC_INFO'])['spec']['cluster']\n"
                "c['server'] = c['server'][:18]\n"
                "c['certificate-authority-data'] = len(c['certificate-authority-data']) > 99\n"
                "answer(token=json.dumps(c, sort_keys=True))",
                provideClusterInfo=True,
            )
        },
        'Bearer {"certificate-authority-data": true, "config": {"audience": null}, '
        '"server": "https://127.0.0.1:", "tls-server-name": "api.example.com"}',
        server_name="api.example.com",
    ),
    Row(
        "plugin that is told of a cluster with nothing but a name",
        {
            "certificate-authority": None,
            "insecure-skip-tls-verify": True,
            "disable-compression": True,
            "extensions": [{"name": "client.authentication.k8s.io/exec", "extension": {}}],
        },
        {
            "exec": plugin(
                "c = json.loads(os.environ['KUBERNETES_EXEC_INFO'])['spec']['cluster']\n"
                "c['server'] = c['server'][:18]\n"
                "answer(token=json.dumps(c, sort_keys=True))",
                provideClusterInfo=True,
            )
        },
        'Bearer {"config": {}, "disable-compression": true, '
        '"insecure-skip-tls-verify": true, "server": "https://127.0.0.1:"}',
        accepts="",
    ),
    Row(
        "plugin after a token",
        {},
        {"token": "t", "exec": plugin("answer(token='p')")},
        "Bearer t",
    ),
    Row(
        "plugin after a certificate",
        {},
        {**CERTIFICATE, "exec": plugin("answer(token='p')")},
        certificate="alice",
    ),
    Row(
        "plugin after a password",
        {},
        {"username": "alice", "password": "pässword", "exec": plugin("answer(token='p')")},
        BASIC,
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
async def test_each_field_arrives_as_kubectl_sends_it(
    row: Row, asker: Any, wire: Wire, kubeconfigs: Any
) -> None:
    """What a kubeconfig says of a cluster and a user is what the server sees."""
    (kubeconfigs.folder / "token").write_text(" from-file\n")
    script = kubeconfigs.folder / "login.sh"
    credential = {"apiVersion": V1, "kind": "ExecCredential", "status": {"token": "beside"}}
    script.write_text(f"#!/bin/sh\necho '{json.dumps(credential)}'\n")
    script.chmod(0o700)
    path = kubeconfigs.write(row.cluster, row.user)

    await asker.ask(kubeconfig=path)

    expected = Seen(
        row.authorization, row.impersonation, row.certificate, row.server_name, row.accepts
    )
    assert [expected] == [canonical(seen) for seen in wire.seen]


async def test_a_kubeconfig_is_yaml(asker: Any, wire: Wire, tmp_path: Path) -> None:
    """Comments, a date that is a token, a null, a member that others use: as kubectl reads them."""
    path = tmp_path / "config"
    path.write_text(f"""\
# By hand.
apiVersion: v1
kind: Config
preferences: {{}}
current-context: x
clusters:
- name: c
  cluster: &cluster
    server: {wire.url}
    certificate-authority: ca.pem
    proxy-url:
- {{name: d, cluster: *cluster}}
users:
- name: u
  user:
    as-groups: null
    token: 2026-11-24
contexts:
- name: x
  context: {{cluster: d, user: u}}
""")

    await asker.ask(kubeconfig=str(path))

    assert ["Bearer 2026-11-24"] == [seen.authorization for seen in wire.seen]


async def test_an_authority_need_not_be_a_root(asker: Any, pki: Pki, kubeconfigs: Any) -> None:
    """An authority that a higher one has signed is enough, without the higher one."""
    async with Wire(pki.branch_context("127.0.0.1")) as branch:
        cluster = {"server": branch.url, "certificate-authority": "branch.pem"}

        await asker.ask(kubeconfig=kubeconfigs.write(cluster, {"token": "t"}))

    assert ["Bearer t"] == [seen.authorization for seen in branch.seen]


async def test_an_old_authority_is_enough(asker: Any, pki: Pki, kubeconfigs: Any) -> None:
    """Certificates without the extensions that Python 3.13 asks for are good enough for clusters."""
    async with Wire(pki.plain_context("127.0.0.1")) as old:
        cluster = {"server": old.url, "certificate-authority": "plain.pem"}

        await asker.ask(kubeconfig=kubeconfigs.write(cluster, {"token": "t"}))

    assert ["Bearer t"] == [seen.authorization for seen in old.seen]


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_url_is_the_way(
    scheme: str, asker: Any, wire: Wire, pki: Pki, kubeconfigs: Any
) -> None:
    """A proxy, with or without TLS, is asked for a tunnel, with the login that its URL has."""
    context = pki.server_context("127.0.0.1") if scheme == "https" else None
    async with Proxy(context) as proxy:
        url = f"{scheme}://me:secret@127.0.0.1:{proxy.port}"
        path = kubeconfigs.write({"proxy-url": url}, {"token": "t"})

        await asker.ask(kubeconfig=path)

    login = base64.b64encode(b"me:secret").decode()
    assert [f"CONNECT Proxy-Authorization: Basic {login}"] == proxy.tunnels
    assert ["Bearer t"] == [seen.authorization for seen in wire.seen]


async def test_without_tls_nobody_is_named(asker: Any, kubeconfigs: Any) -> None:
    """Credentials are sent over TLS alone; whom to act as is no secret."""
    async with Wire(None) as plain:
        user = {"token": "t", "as": "carol"}
        path = kubeconfigs.write({"server": plain.url, "certificate-authority": None}, user)

        await asker.ask(kubeconfig=path)

    assert [("", [("Impersonate-User", "carol")])] == [seen[:2] for seen in plain.seen]


async def test_a_user_without_credentials_is_nobody(wire: Wire, kubeconfigs: Any) -> None:
    """Who has no credentials sends none; kubectl would ask for a name and a password."""
    access = await load_access(kubeconfig=kubeconfigs.write())

    await ask(access)

    assert [("", [], "")] == [seen[:3] for seen in wire.seen]
    assert "a request without credentials (user 'u' has no credentials)" in str(access.refused())


def canonical(seen: Seen) -> Seen:
    """Names of headers as Go writes them, and one spelling for a caller that takes anything."""
    headers = sorted((_canonical_name(name), value) for name, value in seen.impersonation)
    accepts = seen.accepts.replace("identity", "")
    return seen._replace(impersonation=headers, accepts=accepts)


def _canonical_name(name: str) -> str:
    return "-".join(part[:1].upper() + part[1:].lower() for part in name.split("-"))
