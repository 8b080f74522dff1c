"""Files that say the way to an API server: which count, and what becomes of them when they change."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from wire import Pki, Seen, Wire, ask, ask_in

from mendloop.core.errors import AccessError
from mendloop.kube.access import Access, load_access
from mendloop.kube.impersonation import Impersonation

CERTIFICATE = {"client-certificate": "client.pem", "client-key": "client.key"}


def kubeconfig(path: Path, wire: Wire, token: str, current: str = "", **names: str) -> None:
    """Write a kubeconfig with a cluster, a user and a context of each name, and with paths of its own."""
    path.parent.mkdir(exist_ok=True)
    shutil.copy(path.parents[1] / "ca.pem", path.parent / f"{path.stem}-ca.pem")
    (path.parent / f"{path.stem}-token").write_text(token)
    cluster = {"server": wire.url, "certificate-authority": f"{path.stem}-ca.pem"}
    user = {"tokenFile": f"{path.stem}-token"}
    context = {"cluster": names.get("cluster", "c"), "user": names.get("user", "u")}
    content = {
        "clusters": [{"name": names.get("cluster", "c"), "cluster": cluster}],
        "users": [{"name": names.get("user", "u"), "user": user}],
        "contexts": [{"name": names.get("context", "x"), "context": context}],
        "current-context": current,
    }
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "row",
    [
        ("one/first", "", "Bearer 1"),
        ("one/first:two/second", "", "Bearer 1"),
        ("two/second:one/first", "", "Bearer 2"),
        ("gone:one/first::one/first", "", "Bearer 1"),
        ("one/first:four/fourth:three/third", "", "Bearer 1"),
        ("one/first:three/third", "y", "Bearer 3"),
        ("three/third:one/first", "", "Bearer 1"),
        ("four/fourth:three/third", "", "Bearer 4"),
        ("five/empty:one/first", "", "Bearer 1"),
    ],
)
async def test_the_first_file_that_sets_a_value_wins(
    row: tuple[str, str, str], asker: Any, wire: Wire, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several files the first wins for each name as a whole, and its paths are its own."""
    listed, context, token = row
    folder = pki.folder
    kubeconfig(folder / "one" / "first", wire, "1", current="x")
    kubeconfig(folder / "two" / "second", wire, "2", current="x")
    kubeconfig(folder / "three" / "third", wire, "3", cluster="d", user="v", context="y")
    kubeconfig(folder / "four" / "fourth", wire, "4", user="v", context="z", current="y")
    (folder / "five").mkdir()
    (folder / "five" / "empty").touch()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("KUBECONFIG", listed)

    await asker.ask(context=context or None)

    assert [token] == [seen.authorization for seen in wire.seen]


async def test_home_is_looked_at_last(
    wire: Wire, kubeconfigs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without $KUBECONFIG the file at home counts; a file that is asked for goes before both."""
    (kubeconfigs.folder / ".kube").mkdir()
    kubeconfigs.write(
        {"certificate-authority": "../ca.pem"}, {"token": "home"}, name=".kube/config"
    )
    await ask(await load_access())

    listed = kubeconfigs.write({}, {"token": "listed"}, name="listed")
    monkeypatch.setenv("KUBECONFIG", listed)
    await ask(await load_access())
    await ask(await load_access(kubeconfig=kubeconfigs.write({}, {"token": "asked"}, name="asked")))

    assert ["Bearer home", "Bearer listed", "Bearer asked"] == [s.authorization for s in wire.seen]


async def test_one_file_of_several_that_is_bad_is_told(
    wire: Wire, kubeconfigs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that cannot be understood is an error, though another would do."""
    bad = kubeconfigs.folder / "bad"
    bad.write_text("[")
    monkeypatch.setenv("KUBECONFIG", f"{kubeconfigs.write()}:{bad}")

    with pytest.raises(AccessError, match=f"the kubeconfig {bad} is not YAML"):
        await load_access()


async def test_what_is_asked_for_goes_before_the_file(wire: Wire, kubeconfigs: Any) -> None:
    """A namespace and somebody to act as, that a caller gives, replace those of the kubeconfig."""
    path = kubeconfigs.write({}, {"token": "t", "as": "a", "as-uid": "1"}, {"namespace": "n"})
    plain = await load_access(kubeconfig=path)
    other = await load_access(
        kubeconfig=path,
        namespace="m",
        impersonate=Impersonation(user="b", groups=("g", "h"), extra={"k": ("v",)}),
    )

    await ask(plain)
    await ask(other)

    assert ("n", "m") == (plain.namespace, other.namespace)
    expected = [
        [("Impersonate-Uid", "1"), ("Impersonate-User", "a")],
        [
            ("Impersonate-Extra-k", "v"),
            ("Impersonate-Group", "g"),
            ("Impersonate-Group", "h"),
            ("Impersonate-User", "b"),
        ],
    ]
    assert expected == [seen.impersonation for seen in wire.seen]


async def test_a_server_may_have_a_path(kubeconfigs: Any) -> None:
    """The path before those of the API is kept, and a slash at the end is not."""
    paths = {"": "", "/": "", "/k8s/c1": "/k8s/c1", "/k8s/c1/": "/k8s/c1"}

    for given, expected in paths.items():
        cluster = {"server": f"https://example.com:6443{given}"}
        access = await load_access(kubeconfig=kubeconfigs.write(cluster, {"token": "t"}))
        assert f"https://example.com:6443{expected}" == access.server


async def test_a_token_file_is_read_for_each_request(wire: Wire, kubeconfigs: Any) -> None:
    """A token that is replaced counts at once; one that is gone is an error and no request."""
    token = kubeconfigs.folder / "token"
    token.write_text("one")
    access = await load_access(kubeconfig=kubeconfigs.write({}, {"tokenFile": "token"}))
    await ask(access)
    token.write_text("two")
    await ask(access)
    token.unlink()

    with pytest.raises(AccessError, match=r"the token of user 'u' in .* cannot be read: No such"):
        await ask(access)

    assert ["Bearer one", "Bearer two"] == [seen.authorization for seen in wire.seen]


async def test_a_renewed_certificate_is_shown(wire: Wire, pki: Pki, kubeconfigs: Any) -> None:
    """Certificate and key that are replaced in their files are shown on the next connection."""
    access = await load_access(kubeconfig=kubeconfigs.write({}, CERTIFICATE))
    async with aiohttp.ClientSession() as session:
        await ask_in(session, access)
        await ask_in(session, access)
        connections = wire.handshakes
        pki.issue("client", "alice-renewed")
        await ask_in(session, access)

    assert ["alice", "alice", "alice-renewed"] == [seen.certificate for seen in wire.seen]
    assert 1 == connections


async def test_half_a_renewal_changes_nothing(wire: Wire, pki: Pki, kubeconfigs: Any) -> None:
    """A certificate whose key is not there yet is left, and the pair is taken when it is whole."""
    access = await load_access(kubeconfig=kubeconfigs.write({}, CERTIFICATE))
    shutil.copy(pki.folder / "other.pem", pki.folder / "client.pem")
    await ask(access)
    (pki.folder / "client.key").unlink()
    await ask(access)
    shutil.copy(pki.folder / "other.key", pki.folder / "client.key")
    await ask(access)

    assert ["alice", "alice", "bob"] == [seen.certificate for seen in wire.seen]


async def test_a_new_authority_is_trusted(wire: Wire, pki: Pki, kubeconfigs: Any) -> None:
    """A stranger's server is refused, and trusted when its authority has come into the file."""
    authority = pki.folder / "authority.pem"
    shutil.copy(pki.folder / "stranger.pem", authority)
    path = kubeconfigs.write({"certificate-authority": "authority.pem"}, {"token": "t"})
    access = await load_access(kubeconfig=path)
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        await ask(access)

    authority.write_bytes(
        "# Ämter\n".encode() + authority.read_bytes() + (pki.folder / "ca.pem").read_bytes()
    )
    await ask(access)

    assert ["Bearer t"] == [seen.authorization for seen in wire.seen]


async def test_another_servers_certificate_is_refused(wire: Wire, kubeconfigs: Any) -> None:
    """A server that cannot show a certificate for the name gets no request."""
    for cluster in ({"server": "https://localhost:$PORT"}, {"tls-server-name": "b.example.com"}):
        access = await load_access(kubeconfig=kubeconfigs.write(cluster, {"token": "t"}))
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await ask(access)

    assert [] == wire.seen


async def test_keys_touch_no_disk(
    pki: Pki, kubeconfigs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that a kubeconfig holds is in no file, and on Linux has never been in one."""
    folder = pki.folder / "temporary"
    if sys.platform != "linux":  # which needs no folder at all
        folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    user = {"client-certificate-data": "@client.pem", "client-key-data": "@client.key"}

    access: Access = await load_access(kubeconfig=kubeconfigs.write({}, user))

    assert access.ssl is not None
    assert not folder.exists() or [] == list(folder.iterdir())


class Pod:
    """What a Pod finds of its cluster."""

    def __init__(self, pki: Pki, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = pki.folder / "serviceaccount"
        self.folder.mkdir()
        shutil.copy(pki.folder / "ca.pem", self.folder / "ca.crt")
        (self.folder / "token").write_text("one")
        (self.folder / "namespace").write_text("n\n")
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(wire.port))


@pytest.fixture
def pod(pki: Pki, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> Pod:
    """The test as a Pod."""
    return Pod(pki, wire, monkeypatch)


async def test_a_pod_needs_no_kubeconfig(pod: Pod, wire: Wire) -> None:
    """In a Pod the ServiceAccount counts, with the token that is there now, and its namespace."""
    access = await load_access(service_account=pod.folder)
    await ask(access)
    (pod.folder / "token").write_text("two\n")
    await ask(access)

    expected = [Seen(f"Bearer {token}", [], "", "", "gzip") for token in ("one", "two")]
    assert expected == wire.seen
    assert "n" == access.namespace
    assert (
        f"the API server at {wire.url} does not accept the ServiceAccount's token in "
        f"{pod.folder}/token: put a fresh one into the file"
    ) == str(access.refused())


async def test_a_pods_namespace(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller's goes before $POD_NAMESPACE, that before the file, and "default" is the last."""
    monkeypatch.setenv("POD_NAMESPACE", "p")
    asked = await load_access(service_account=pod.folder, namespace="a")
    given = await load_access(service_account=pod.folder)
    monkeypatch.delenv("POD_NAMESPACE")
    (pod.folder / "namespace").unlink()
    neither = await load_access(service_account=pod.folder)

    assert ["a", "p", "default"] == [access.namespace for access in (asked, given, neither)]


async def test_a_pod_may_have_a_kubeconfig(
    pod: Pod, wire: Wire, kubeconfigs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kubeconfig with a context goes before the ServiceAccount; one that is asked for has to do."""
    monkeypatch.setenv("KUBECONFIG", kubeconfigs.write({}, {"token": "k"}))
    await ask(await load_access(service_account=pod.folder))
    monkeypatch.setenv("KUBECONFIG", str(kubeconfigs.folder / "gone"))
    await ask(await load_access(service_account=pod.folder))

    assert ["Bearer k", "Bearer one"] == [seen.authorization for seen in wire.seen]
    with pytest.raises(AccessError, match="there is no context 'x' in any kubeconfig"):
        await load_access(service_account=pod.folder, context="x")
    with pytest.raises(AccessError, match="there is no kubeconfig gone"):
        await load_access(service_account=pod.folder, kubeconfig="gone")
    (kubeconfigs.folder / "empty").touch()
    with pytest.raises(AccessError, match="has no current-context"):
        await load_access(service_account=pod.folder, kubeconfig=str(kubeconfigs.folder / "empty"))


async def test_a_pod_that_lacks_something(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the authority, a good address or the token there is no way, and it is told."""
    (pod.folder / "ca.crt").rename(pod.folder / "away")
    with pytest.raises(AccessError, match=r"the cluster's authority cannot be read: .*ca\.crt"):
        await load_access(service_account=pod.folder)
    (pod.folder / "away").rename(pod.folder / "ca.crt")

    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "tcp://")
    with pytest.raises(AccessError, match="is no https:// or http:// URL of a host"):
        await load_access(service_account=pod.folder)

    (pod.folder / "token").unlink()
    home = os.environ["HOME"]
    with pytest.raises(AccessError) as caught:
        await load_access(service_account=pod.folder)
    assert (
        f"there is no way to a cluster: there is no kubeconfig {home}/.kube/config, and this is "
        "no Pod with a ServiceAccount; set KUBECONFIG to a file"
    ) == str(caught.value)


async def test_a_pods_server_may_have_an_ipv6_address(
    pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An IPv6 address stands in brackets."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")

    access = await load_access(service_account=pod.folder)

    assert "https://[fd00::1]:443" == access.server
