"""What tests of the way to an API server share: certificates, servers that listen, kubeconfigs."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from fault_proxy import FaultProxy
from kube_client import OpenApi
from opened import opened
from plugins import Plugin
from wire import Pki, Wire, ask, ask_with_kubectl

from controlplane import Cluster, program
from mendloop.kube.access import load_access
from mendloop.kube.api import Api

NAMES = ("127.0.0.1", "api.example.com")


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    """Certificates in files beside the kubeconfig."""
    return Pki(tmp_path)


@pytest.fixture
async def wire(pki: Pki) -> AsyncIterator[Wire]:
    """A server with TLS that writes down who called."""
    async with Wire(pki.server_context(*NAMES)) as server:
        yield server


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the machine's own way to a cluster, and no kubeconfig at home."""
    names = ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "POD_NAMESPACE")
    proxies = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
    for name in (*names, *proxies, *(name.lower() for name in proxies)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    """A plugin beside the kubeconfig."""
    return Plugin(tmp_path)


class Kubeconfigs:
    """Writes kubeconfigs with one context for one server."""

    def __init__(self, folder: Path, wire: Wire, pki: Pki) -> None:
        self.folder = folder
        self._wire = wire
        self._pki = pki

    def write(
        self,
        cluster: dict[str, Any] | None = None,
        user: dict[str, Any] | None = None,
        context: dict[str, Any] | None = None,
        *,
        name: str = "config",
    ) -> str:
        """
        Write one and return its path.

        Values that begin with "@" are the content of that file, in base64; "$SERVER", "$PYTHON" and
        "$HERE" stand for the server's URL, this Python and the folder, and "$NULL" for null. A member that
        is None is left out.
        """
        whole = {"server": "$SERVER", "certificate-authority": "ca.pem"} | (cluster or {})
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": self._filled(whole)}],
            "users": [{"name": "u", "user": self._filled(user or {})}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"} | (context or {})}],
            "current-context": "x",
        }
        path = self.folder / name
        path.write_text(json.dumps(content))  # JSON is YAML
        return str(path)

    def _filled(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._filled(part) for key, part in value.items() if part is not None}
        if isinstance(value, list):
            return [self._filled(part) for part in value]
        if not isinstance(value, str):
            return value
        if value == "$NULL":
            return None
        if value.startswith("@"):
            return self._pki.data(value[1:])
        for name, text in (
            ("$SERVER", self._wire.url),
            ("$PORT", str(self._wire.port)),
            ("$PYTHON", sys.executable),
            ("$HERE", str(self.folder)),
        ):
            value = value.replace(name, text)
        return value


@pytest.fixture
def kubeconfigs(tmp_path: Path, wire: Wire, pki: Pki) -> Kubeconfigs:
    """Writes kubeconfigs for the server of the test."""
    return Kubeconfigs(tmp_path, wire, pki)


class Asker:
    """Sends one request as mendloop does, or as kubectl, which is client-go, whose rules these are."""

    def __init__(self, name: str, kubectl: Path) -> None:
        self.name = name
        self._kubectl = kubectl

    async def ask(self, *, kubeconfig: str | None = None, context: str | None = None) -> None:
        """Ask, and be answered."""
        if self.name == "kubectl":
            given = {"--kubeconfig": kubeconfig, "--context": context}
            options = [f"{option}={value}" for option, value in given.items() if value]
            code, complaint = await ask_with_kubectl(str(self._kubectl), *options)
            assert 0 == code, complaint
            return
        access = await load_access(kubeconfig=kubeconfig, context=context)
        status, _ = await ask(access)
        await access.close()
        assert 200 == status


@pytest.fixture(params=["mendloop", "kubectl"])
def asker(request: pytest.FixtureRequest, kubernetes_programs: Path) -> Asker:
    """Who asks: a test of it holds for both."""
    return Asker(request.param, Path(program(kubernetes_programs, "kubectl")))


@pytest.fixture
async def open_api(proxy: FaultProxy, namespace: str, tmp_path: Path) -> AsyncIterator[OpenApi]:
    """Make requests through the proxy, in the test's namespace; closed when the test ends."""

    async def open_one(
        cluster: Cluster | None = None, *, token: str | None = None, **options: Any
    ) -> Api:
        path = tmp_path / "api"
        (cluster or proxy.cluster).kubeconfig(path, token=token, namespace=namespace)
        return Api(await load_access(kubeconfig=str(path)), **options)

    async with opened(open_one) as open_api:
        yield open_api


@pytest.fixture
async def api(open_api: OpenApi) -> Api:
    """One client of the API server behind the proxy."""
    return await open_api()


@pytest.fixture
def make(namespace: str) -> Callable[..., bytes]:
    """Write a ConfigMap, or the apply of one that was read."""

    def write(name: str = "a", *, on: bytes | None = None, **data: str) -> bytes:
        metadata: dict[str, Any] = {"name": name, "labels": {"l": "1"}}
        if on is not None:
            read = json.loads(on)["metadata"]
            metadata |= {"uid": read["uid"], "resourceVersion": read["resourceVersion"]}
        kind = {"apiVersion": "v1", "kind": "ConfigMap"}
        return json.dumps({**kind, "metadata": metadata, "data": data}).encode()

    return write
