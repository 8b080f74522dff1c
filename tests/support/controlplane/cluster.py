"""What a test asks a control plane for; its processes may belong to somebody else."""

from __future__ import annotations

import http.client
import json
import secrets
import ssl
import subprocess
from pathlib import Path
from typing import Any

from controlplane.programs import program

__all__ = ["APIError", "Cluster"]

ANSWER_SECONDS = 30


class APIError(Exception):
    """
    The API server said no.

    Args:
        status: The HTTP status.
        body: The answer, in full.
    """

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body


class Cluster:
    """
    A running API server and how to reach it as its administrator.

    Args:
        folder: Where its certificate and logs are.
        binaries: Where its programs are.
        port: Where it listens on loopback.
        admin_token: A bearer token that may do everything.
    """

    def __init__(self, folder: Path, binaries: Path, port: int, admin_token: str) -> None:
        self.folder = folder
        self.binaries = binaries
        self.port = port
        self.admin_token = admin_token

    @property
    def url(self) -> str:
        """The address of the API server."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca_file(self) -> Path:
        """The certificate that vouches for the API server."""
        return self.folder / "certificates" / "apiserver.crt"

    def request(
        self, method: str, path: str, body: object = None, *, token: str | None = None
    ) -> Any:
        """
        Send one request and return the decoded answer.

        Args:
            path: With its query, such as `/api/v1/namespaces?limit=1`.
            body: Sent as JSON; for a patch as one of server-side apply.
            token: Whose request it is; the administrator's by default.

        Raises:
            APIError: The answer is an error.
            OSError: There was no answer.
        """
        status, content = self._exchange(method, path, body, token or self.admin_token)
        if status >= http.HTTPStatus.BAD_REQUEST:
            raise APIError(status, content.decode(errors="replace"))
        return json.loads(content)

    def is_ready(self, patience_seconds: float = 5) -> bool:
        """Whether the API server calls itself ready, and soon enough."""
        try:
            status, _ = self._exchange("GET", "/readyz", None, self.admin_token, patience_seconds)
        except (OSError, http.client.HTTPException):
            return False
        return status == http.HTTPStatus.OK

    def namespace(self) -> str:
        """Make a namespace that nobody else uses and return its name."""
        name = f"test-{secrets.token_hex(6)}"
        self.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        return name

    def service_account_token(self, namespace: str, name: str, *, seconds: int = 3600) -> str:
        """Return a token of a ServiceAccount, which is made where it is missing; it has no rights."""
        accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        try:
            self.request("POST", accounts, {"metadata": {"name": name}})
        except APIError as error:
            if error.status != http.HTTPStatus.CONFLICT:
                raise
        asked = {"spec": {"expirationSeconds": seconds}}
        return str(self.request("POST", f"{accounts}/{name}/token", asked)["status"]["token"])

    def kubeconfig(
        self, path: Path, *, token: str | None = None, namespace: str = "default"
    ) -> Path:
        """Write a kubeconfig for the owner of a token, by default the administrator; return its path."""
        cluster = {"server": self.url, "certificate-authority": str(self.ca_file)}
        context = {"cluster": "test", "user": "test", "namespace": namespace}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": {"token": token or self.admin_token}}],
            "contexts": [{"name": "test", "context": context}],
            "current-context": "test",
        }
        path.write_text(json.dumps(content))  # JSON is YAML
        path.chmod(0o600)
        return path

    def kubectl(
        self, *arguments: str, stdin: str | None = None, kubeconfig: Path | None = None
    ) -> str:
        """
        Run kubectl to its end and return what it printed.

        Args:
            stdin: What it reads, such as a manifest for `apply -f -`.
            kubeconfig: Whose call it is; the administrator's by default.

        Raises:
            CalledProcessError: It failed; its standard error is in the notes.
            ProgramMissing: KUBEBUILDER_ASSETS has no kubectl.
        """
        done = subprocess.run(
            [
                program(self.binaries, "kubectl"),
                f"--kubeconfig={kubeconfig or self.admin_kubeconfig}",
                f"--cache-dir={self.folder / 'kubectl'}",
                *arguments,
            ],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        try:
            done.check_returncode()
        except subprocess.CalledProcessError as error:
            error.add_note(done.stderr)
            raise
        return done.stdout

    @property
    def admin_kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.folder / "admin.kubeconfig"

    def _exchange(
        self,
        method: str,
        path: str,
        body: object,
        token: str,
        patience_seconds: float = ANSWER_SECONDS,
    ) -> tuple[int, bytes]:
        trust = ssl.create_default_context(cafile=str(self.ca_file))
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.port, context=trust, timeout=patience_seconds
        )
        kind = "application/apply-patch+yaml" if method == "PATCH" else "application/json"
        headers = {"Authorization": f"Bearer {token}", "Content-Type": kind}
        try:
            content = None if body is None else json.dumps(body, ensure_ascii=False).encode()
            connection.request(method, path, content, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()
