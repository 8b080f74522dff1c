"""What a kubeconfig may not say: each is refused in one line that names it, before any request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from wire import Pki, Wire

from mendloop.core.errors import AccessError
from mendloop.kube.access import load_access
from mendloop.kube.impersonation import Impersonation

V1 = "client.authentication.k8s.io/v1"
SECRET = "hunter2-" * 4
CERTIFICATE = {"client-certificate": "client.pem", "client-key": "client.key"}


def plugin(**fields: Any) -> dict[str, Any]:
    """A plugin as it should be, but for *fields*."""
    whole = {"command": "true", "apiVersion": V1, "interactiveMode": "Never"}
    return {"exec": whole | fields}


REFUSED: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    (
        "no server",
        {"server": None},
        {},
        "the server of cluster 'c' is no https:// or http:// URL of a host: correct it",
    ),
    (
        "server without a scheme",
        {"server": "127.0.0.1:6443"},
        {},
        "the server of cluster 'c' is no https:// or http:// URL of a host: correct it",
    ),
    (
        "server with a login",
        {"server": f"https://me:{SECRET}@127.0.0.1"},
        {},
        "the server of cluster 'c' is no https:// or http:// URL of a host: correct it",
    ),
    (
        "server with a wrong port",
        {"server": "https://127.0.0.1:port"},
        {},
        "the server of cluster 'c' is no https:// or http:// URL of a host: correct it",
    ),
    (
        "authority twice",
        {"certificate-authority-data": "@ca.pem"},
        {},
        "the certificate-authority of cluster 'c' is given as a file and as data: remove one of them",
    ),
    (
        "authority, and insecure",
        {"insecure-skip-tls-verify": True},
        {},
        "cluster 'c' has a certificate-authority and insecure-skip-tls-verify: remove one of them",
    ),
    (
        "authority that is not there",
        {"certificate-authority": "gone.pem"},
        {},
        "the certificate-authority of cluster 'c' cannot be read: $HERE/gone.pem: No such file or directory",
    ),
    (
        "authority that is none",
        {"certificate-authority": "client.key"},
        {},
        "the certificate-authority of cluster 'c' holds no usable certificate",
    ),
    (
        "authority that is not base64",
        {"certificate-authority": None, "certificate-authority-data": f"!{SECRET}"},
        {},
        "the certificate-authority of cluster 'c' is not base64: correct it",
    ),
    (
        "socks5 proxy",
        {"proxy-url": f"socks5://me:{SECRET}@127.0.0.1:1080"},
        {},
        "the proxy-url of cluster 'c' is a socks5 proxy, which is not supported: use an HTTP proxy",
    ),
    (
        "proxy that is no URL",
        {"proxy-url": f"me:{SECRET}@127.0.0.1"},
        {},
        "the proxy-url of cluster 'c' is no http:// or https:// URL: correct it",
    ),
    (
        "token and username",
        {},
        {"token": SECRET, "username": "me", "password": SECRET},
        "user 'u' has a token and a username: remove one of them",
    ),
    (
        "password alone",
        {},
        {"password": SECRET},
        "user 'u' has a password and no username: give both",
    ),
    (
        "token with a line end",
        {},
        {"token": f"{SECRET}\r\nX-Other: 1"},
        "the token of user 'u' has a character that a header cannot have, such as a line end",
    ),
    (
        "tokenFile that is not there",
        {},
        {"tokenFile": "gone"},
        "the token of user 'u' in $HERE/gone cannot be read: No such file or directory",
    ),
    (
        "tokenFile that is empty",
        {},
        {"tokenFile": "empty"},
        "the token of user 'u' in $HERE/empty is missing: the file is empty",
    ),
    (
        "tokenFile that is no text",
        {},
        {"tokenFile": "bytes"},
        "the token of user 'u' in $HERE/bytes is no text: put a token into the file",
    ),
    (
        "certificate without a key",
        {},
        {"client-certificate": "client.pem"},
        "user 'u' has only one of client-certificate and client-key: give both",
    ),
    (
        "key without a certificate",
        {},
        {"client-key-data": "@client.key"},
        "user 'u' has only one of client-certificate and client-key: give both",
    ),
    (
        "certificate twice",
        {},
        {**CERTIFICATE, "client-certificate-data": "@client.pem"},
        "the client-certificate of user 'u' is given as a file and as data: remove one of them",
    ),
    (
        "key twice",
        {},
        {**CERTIFICATE, "client-key-data": "@client.key"},
        "the client-key of user 'u' is given as a file and as data: remove one of them",
    ),
    (
        "key of another certificate",
        {},
        {**CERTIFICATE, "client-key": "other.key"},
        "the client-certificate of user 'u' cannot be used: certificate and key: key values mismatch",
    ),
    (
        "certificate that is none",
        {},
        {**CERTIFICATE, "client-certificate": "empty"},
        "the client-certificate of user 'u' cannot be used: certificate and key: not PEM",
    ),
    (
        "encrypted key",
        {},
        {**CERTIFICATE, "client-key": "locked.key"},
        "the key for the client-certificate of user 'u' is encrypted: give it without a passphrase (openssl pkey)",
    ),
    (
        "auth-provider",
        {},
        {"auth-provider": {"name": "gcp", "config": {"access-token": SECRET}}, "token": SECRET},
        "user 'u' has the auth-provider 'gcp', which is not supported: log in by an exec plugin (such as kubelogin or gke-gcloud-auth-plugin)",
    ),
    (
        "groups without a user",
        {},
        {"as-groups": ["g"]},
        "user 'u' impersonates without a user: set `as` to a name too",
    ),
    (
        "group with a line end",
        {},
        {"as": "me", "as-groups": ["g\n"]},
        "the Impersonate-Group of user 'u' has a character that a header cannot have, such as a line end",
    ),
    (
        "plugin without a command",
        {},
        plugin(command=None),
        "the exec plugin '' of user 'u' names no command: set exec.command",
    ),
    (
        "plugin of an old version",
        {},
        plugin(apiVersion="client.authentication.k8s.io/v1alpha1"),
        "the exec plugin 'true' of user 'u' has the apiVersion 'client.authentication.k8s.io/v1alpha1'; set one of client.authentication.k8s.io/v1, client.authentication.k8s.io/v1beta1, whichever it prints",
    ),
    (
        "plugin without a version",
        {},
        plugin(apiVersion=None),
        "the exec plugin 'true' of user 'u' has the apiVersion ''; set one of client.authentication.k8s.io/v1, client.authentication.k8s.io/v1beta1, whichever it prints",
    ),
    (
        "plugin without a mode",
        {},
        plugin(interactiveMode=None),
        "the exec plugin 'true' of user 'u' has the interactiveMode ''; set one of Never, IfAvailable, Always",
    ),
    (
        "plugin that needs a terminal",
        {},
        plugin(interactiveMode="Always"),
        "the exec plugin 'true' of user 'u' has the interactiveMode 'Always', and mendloop has no terminal to give it: use credentials that need nobody's answer",
    ),
    (
        "plugin with a variable without a name",
        {},
        plugin(env=[{"value": SECRET}]),
        "the exec plugin 'true' of user 'u' has a variable without a name in exec.env",
    ),
    (
        "number for a text",
        {},
        {"token": 12345678},
        "the kubeconfig $HERE/config is not valid: Expected `str`, got `int` - at `$.users[0].user.token`",
    ),
]


@pytest.mark.parametrize(
    ("cluster", "user", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
async def test_each_fault_is_named(
    cluster: dict[str, Any],
    user: dict[str, Any],
    message: str,
    wire: Wire,
    kubeconfigs: Any,
) -> None:
    """A fault in a kubeconfig is told in one line, without a secret, and nothing is sent."""
    folder: Path = kubeconfigs.folder
    (folder / "empty").touch()
    (folder / "bytes").write_bytes(b"\xff\xfe")
    (folder / "locked.key").write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIF\n")
    path = kubeconfigs.write(cluster, user)

    with pytest.raises(AccessError) as caught:
        await load_access(kubeconfig=path)

    assert message.replace("$HERE", str(folder)) == str(caught.value)
    assert "\n" not in str(caught.value)
    assert SECRET not in _all_that_is_told(caught.value)
    assert [] == wire.seen


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"users: [\n", "the kubeconfig $FILE is not YAML at line 2, column 1: correct it"),
        (b"a: *hunter2", "the kubeconfig $FILE is not YAML at line 1, column 4: correct it"),
        (b"a: !hunter2 x", "the kubeconfig $FILE is not YAML at line 1, column 4: correct it"),
        (b"a: \x00", "the kubeconfig $FILE is not YAML: correct it"),
        (b"[" * 5000 + b"]" * 5000, "the kubeconfig $FILE is not YAML: correct it"),
        (b"\xff\xfe\x00", "the kubeconfig $FILE is not YAML: correct it"),
        (b"a: 1\n---\na: 2", "the kubeconfig $FILE is not YAML at line 2, column 1: correct it"),
        (b"hunter2", "the kubeconfig $FILE is not valid: Expected `object`, got `str`"),
        (b"kind: Pod", "$FILE is no kubeconfig: it needs kind Config and apiVersion v1"),
        (b"apiVersion: v2", "$FILE is no kubeconfig: it needs kind Config and apiVersion v1"),
        (
            b"users: [{name: u}, {name: u}]",
            "$FILE has two users named 'u': remove one",
        ),
        (
            b"clusters: {name: c}",
            "the kubeconfig $FILE is not valid: Expected `array`, got `object` - at `$.clusters`",
        ),
        (b"", "$FILE has no current-context: choose a context; there is: none"),
        (
            b"contexts: [{name: b}, {name: a}]",
            "$FILE has no current-context: choose a context; there is: a, b",
        ),
        (
            b"contexts: [" + b", ".join(b"{name: c%02d}" % n for n in range(14)) + b"]",
            "$FILE has no current-context: choose a context; there is: "
            + ", ".join(f"c{n:02}" for n in range(12))
            + " and 2 more",
        ),
        (
            b"{current-context: x, contexts: [{name: a}]}",
            "there is no context 'x' in $FILE; there is: a",
        ),
        (
            b"{current-context: x, contexts: [{name: x}]}",
            "the context 'x' of $FILE names no cluster: set one",
        ),
        (
            b"{current-context: x, contexts: [{name: x, context: {cluster: c}}]}",
            "there is no cluster 'c' in $FILE; there is: none",
        ),
        (
            b"{current-context: x, contexts: [{name: x, context: {cluster: c, user: u}}], clusters: [{name: c}], users: [{name: v}]}",
            "there is no user 'u' in $FILE; there is: v",
        ),
    ],
)
async def test_a_file_that_is_no_kubeconfig_is_told(
    content: bytes, message: str, tmp_path: Path
) -> None:
    """What is wrong with a file is told by its place, and not by its content."""
    path = tmp_path / "kubeconfig"
    path.write_bytes(content)

    with pytest.raises(AccessError) as caught:
        await load_access(kubeconfig=str(path))

    assert message.replace("$FILE", str(path)) == str(caught.value)
    assert "hunter2" not in _all_that_is_told(caught.value)


async def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """A folder in the place of a kubeconfig is told, and so is one that is not there."""
    with pytest.raises(AccessError, match=f"the kubeconfig {tmp_path} cannot be read: Is a dir"):
        await load_access(kubeconfig=str(tmp_path))

    gone = tmp_path / "gone"
    with pytest.raises(AccessError, match=f"there is no kubeconfig {gone}: correct the path"):
        await load_access(kubeconfig=str(gone))


@pytest.mark.parametrize("namespace", ["a/b", "../x", "Upper", "-a", "a-", "a" * 64, "ä", "a\n"])
async def test_a_namespace_is_a_name(namespace: str, kubeconfigs: Any) -> None:
    """What cannot be a namespace is refused, whoever gives it."""
    for given, context in ((namespace, {}), (None, {"namespace": namespace})):
        with pytest.raises(AccessError, match="is no valid name"):
            await load_access(kubeconfig=kubeconfigs.write(context=context), namespace=given)


async def test_whom_to_act_as_has_a_name(kubeconfigs: Any) -> None:
    """Groups that are asked for without a user are refused."""
    with pytest.raises(AccessError, match="impersonates without a user"):
        await load_access(kubeconfig=kubeconfigs.write(), impersonate=Impersonation(groups=("g",)))


async def test_nothing_shows_a_secret(pki: Pki, kubeconfigs: Any) -> None:
    """No part of an access shows a secret when it is printed, as a debugger or a log would."""
    user = {"token": SECRET, "client-certificate-data": "@client.pem"}
    access = await load_access(
        kubeconfig=kubeconfigs.write({}, {**user, "client-key-data": "@client.key"})
    )

    shown = repr(vars(access)) + repr(
        [vars(part) for part in vars(access).values() if hasattr(part, "__dict__")]
    )

    assert SECRET not in shown
    assert pki.data("client.key")[:40] not in shown


def _all_that_is_told(error: BaseException) -> str:
    """The messages of an error and of what led to it."""
    chain = [error]
    while nearer := chain[-1].__cause__ or (
        None if chain[-1].__suppress_context__ else chain[-1].__context__
    ):
        chain.append(nearer)
    return "\n".join(f"{part}{part!r}" for part in chain)
