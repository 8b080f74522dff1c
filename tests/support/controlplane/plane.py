"""A control plane of one's own: etcd, kube-apiserver and kube-controller-manager on loopback."""

from __future__ import annotations

import http.client
import json
import secrets
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from controlplane.cluster import APIError, Cluster
from controlplane.server import Server, free_port

__all__ = ["ControlPlane"]

QUOTA_BYTES = 4 * 1024**3
_CONTROLLERS = (
    "cronjob",
    "deployment",
    "garbage-collector",
    "job",
    "namespace",
    "replicaset",
    "root-ca-certificate-publisher",
    "serviceaccount",
    "ttl-after-finished",
)
_ISSUER = "https://kubernetes.default.svc"


class ControlPlane(Cluster):
    """
    The servers of a cluster; there are no nodes, so Pods are made and never run.

    A context manager: the servers run inside the block. Each is a `Server` that a test may kill,
    pause and start again: `plane.apiserver.kill()`, `plane.etcd.start()`.

    Args:
        folder: For all that the servers write; made when missing.
        binaries: Where the programs are.
        quota_bytes: What etcd stores before it refuses to store more.
        apiserver_options: Further options of kube-apiserver; they win over ours.

    Raises:
        ServerFailed: A server did not start; the message ends with its log.
    """

    def __init__(
        self,
        folder: Path,
        binaries: Path,
        *,
        quota_bytes: int = QUOTA_BYTES,
        apiserver_options: Sequence[str] = (),
    ) -> None:
        super().__init__(folder, binaries, free_port(), secrets.token_urlsafe())
        self.data = folder / "etcd"
        self._etcd_port = free_port()
        self.etcd = self._server("etcd", self._etcd_options(quota_bytes), self._etcd_is_ready)
        self.apiserver = self._server(
            "kube-apiserver", [*self._apiserver_options(), *apiserver_options], self.is_ready
        )
        self.controller_manager = self._server(
            "kube-controller-manager", self._controller_manager_options(), self._has_controllers
        )

    def __enter__(self) -> Self:
        """Start the servers and wait until the API server is ready."""
        self.folder.mkdir(parents=True, exist_ok=True)
        tokens = self.folder / "tokens.csv"
        tokens.write_text(f'{self.admin_token},admin,admin,"system:masters"\n')
        tokens.chmod(0o600)
        self.kubeconfig(self.admin_kubeconfig)
        try:
            self.etcd.launch()
            self.apiserver.launch()  # it waits for etcd by itself
            self.etcd.wait_until_ready()
            self.apiserver.wait_until_ready()
            if (self.binaries / "kube-controller-manager").exists():
                self.controller_manager.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the servers, wait until they are gone and remove the data; logs stay."""
        try:
            self.stop()
        finally:
            shutil.rmtree(self.data, ignore_errors=True)

    def stop(self) -> None:
        """
        End the servers that run, and wait until they are gone; nobody needs their data any more.

        Raises:
            ServerFailed: One had ended by itself.
        """
        with ExitStack() as ending:
            for server in (self.etcd, self.apiserver, self.controller_manager):
                if server.is_started:
                    ending.callback(server.kill)

    def compact(self) -> None:
        """Have etcd forget all versions but the newest, as it does by itself every few minutes."""
        revision = self._ask_etcd("/v3/kv/range", {"key": "AA=="})["header"]["revision"]
        self._ask_etcd("/v3/kv/compaction", {"revision": revision, "physical": True})

    def _ask_etcd(self, path: str, body: object) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._etcd_port, timeout=30)
        try:
            connection.request("POST", path, json.dumps(body))
            answer = connection.getresponse()
            content = answer.read()
            assert http.HTTPStatus.OK == answer.status, content
            return json.loads(content)
        finally:
            connection.close()

    def _server(self, name: str, options: Sequence[str], is_ready: Callable[[], bool]) -> Server:
        command = [str(self.binaries / name), *options]
        return Server(command, self.folder / f"{name}.log", is_ready)

    def _etcd_options(self, quota_bytes: int) -> list[str]:
        client, peer = (f"http://127.0.0.1:{port}" for port in (self._etcd_port, free_port()))
        return [
            f"--data-dir={self.data}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            f"--quota-backend-bytes={quota_bytes}",
            # A killed process loses nothing that it wrote: the kernel still has it. Only a machine
            # that fails would, and then the tests fail with it.
            "--unsafe-no-fsync",
        ]

    def _etcd_is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._etcd_port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _apiserver_options(self) -> list[str]:
        certificates = self.ca_file.parent
        # The server makes this key, an RSA one, before it reads it for the ServiceAccounts.
        key = certificates / "apiserver.key"
        return [
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.port}",
            f"--cert-dir={certificates}",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            f"--service-account-issuer={_ISSUER}",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--service-cluster-ip-range=10.0.0.0/24",
        ]

    def _controller_manager_options(self) -> list[str]:
        return [
            f"--kubeconfig={self.admin_kubeconfig}",
            f"--service-account-private-key-file={self.ca_file.with_suffix('.key')}",
            f"--root-ca-file={self.ca_file}",
            "--use-service-account-credentials=true",
            "--leader-elect=false",
            "--secure-port=0",
            # Those that tests need. All of them, at the usual rate, take six seconds longer to start.
            f"--controllers={','.join(f'{name}-controller' for name in _CONTROLLERS)}",
            "--kube-api-qps=500",
            "--kube-api-burst=1000",
        ]

    def _has_controllers(self) -> bool:
        """Whether a controller did something, which each does only when all are made."""
        try:
            self.request("GET", "/api/v1/namespaces/default/serviceaccounts/default")
        except (APIError, OSError, http.client.HTTPException):
            return False
        return True
