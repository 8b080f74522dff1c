"""The chart on a real API server. No node is there, so what its Pods would run is run as processes."""

from __future__ import annotations

import base64
import copy
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from containerfile import Image
from served import Replica, get_json

from controlplane import Cluster
from controlplane.helm import CHART, Helm

__all__ = ["Installed"]

_TOKEN = "t" * 32
_FINDING = {"severity": "High", "issue_type": "Bug", "description": "an empty name answers 500"}
_VALUES = {
    "intake": {"feedback": {"secret": "senders"}},
    "config": {
        "github": {"max_age": "1s"},
        "cleanup": {"interval": "1s", "retention": "1s", "grace": "1s"},
    },
}
_LISTEN = ["--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"]
_ACCOUNT = "/run/secrets/kubernetes.io/serviceaccount"


class Installed:
    """
    A release in a namespace of its own, whose Pods a test runs as processes.

    Attributes:
        namespace: Of the release.
    """

    def __init__(self, cluster: Cluster, helm: Helm, namespace: str, folder: Path) -> None:
        self._cluster = cluster
        self.namespace = namespace
        self._folder = folder
        config = cluster.admin_kubeconfig
        install = ("install", "mendloop", str(CHART), "-n", namespace, *helm.values(_VALUES))
        helm(*install, kubeconfig=config)
        hooks = helm("get", "hooks", "mendloop", "-n", namespace, kubeconfig=config)
        self._test = json.loads(
            cluster.kubectl("create", "--dry-run=client", "-o", "json", "-f", "-", stdin=hooks)
        )
        secret = ("senders", f"--from-literal=feedback-token={_TOKEN}")
        cluster.kubectl("create", "secret", "generic", "-n", namespace, *secret)
        self._pod = self.get("apps/v1/deployments/mendloop")["spec"]["template"]["spec"]
        self._replicas: list[Replica] = []

    def get(self, path: str) -> Any:
        """Ask for an object of the namespace."""
        group, _, rest = path.rpartition("/v1/")
        group = f"/apis/{group}" if group else "/api"
        return self._cluster.request("GET", f"{group}/v1/namespaces/{self.namespace}/{rest}")

    def rights(self) -> set[tuple[str, str]]:
        """What the Role allows: resources, with verbs."""
        rules = self.get("rbac.authorization.k8s.io/v1/roles/mendloop")["rules"]
        return {
            (what, verb) for rule in rules for what in rule["resources"] for verb in rule["verbs"]
        }

    @contextmanager
    def without(self, what: str, verb: str) -> Iterator[None]:
        """Take one right from the Role inside the block, which begins when the API server has noticed."""
        role = self.get("rbac.authorization.k8s.io/v1/roles/mendloop")
        del role["metadata"]["resourceVersion"]
        less = copy.deepcopy(role)
        for rule in less["rules"]:
            if what in rule["resources"]:
                rule["verbs"].remove(verb)
        self._cluster.kubectl("replace", "-f", "-", stdin=json.dumps(less))
        deadline = time.monotonic() + 30
        while self._may(what, verb):
            assert time.monotonic() < deadline, f"it may still {verb} {what}"
        yield
        self._cluster.kubectl("replace", "-f", "-", stdin=json.dumps(role))

    def _may(self, what: str, verb: str) -> bool:
        account = f"system:serviceaccount:{self.namespace}:mendloop"
        asked = ("auth", "can-i", verb, what, "-n", self.namespace, f"--as={account}")
        try:
            return self._cluster.kubectl(*asked) == "yes\n"
        except subprocess.CalledProcessError as error:
            if error.stdout == "no\n":
                return False
            raise

    def start(self, cluster: Cluster | None = None) -> Replica:
        """Start what the Deployment's Pod runs, as its account, at a cluster as it is seen through a proxy."""
        root = self._folder / "root"
        options = self._options()
        for place in self._mount(root):
            options = [word.replace(place, f"{root}{place}") for word in options]
        config = self._folder / "kubeconfig"
        (cluster or self._cluster).kubeconfig(config, token=self._token(), namespace=self.namespace)
        environment = {"PATH": "/usr/bin:/bin", "KUBECONFIG": str(config)}
        return self._run(options, environment)

    def start_in(self, image: Image) -> Replica:
        """Start it in the image, with all files in it that a kubelet would mount where it would."""
        self._mount(image.root)
        account = Path(f"{image.root}{_ACCOUNT}")
        account.mkdir(parents=True, exist_ok=True)
        (account / "token").write_text(self._token())
        (account / "namespace").write_text(self.namespace)
        (account / "ca.crt").write_bytes(self._cluster.ca_file.read_bytes())
        environment = image.environment | {
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(self._cluster.port),
        }
        return self._run(self._options(), environment, image.command(*image.entrypoint))

    def ask(self, replica: Replica, image: Image | None = None) -> subprocess.CompletedProcess[str]:
        """
        Run what the Pod of `helm test` runs, with the replica's addresses in the place of the Services.

        Args:
            image: Where; here if none is given.
        """
        (container,) = self._test["spec"]["containers"]
        urls = {"http://mendloop:80": replica.intake, "http://mendloop-admin:9090": replica.admin}
        words = [urls.get(word, word) for word in container["args"]]
        python, *options = container["command"]
        command = [sys.executable, *options, *words]
        if image:
            command = image.command(python, *options, *words)
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def _options(self) -> list[str]:
        serve, *options = self._pod["containers"][0]["args"]
        assert "serve" == serve
        return [*options, *_LISTEN]

    def _token(self) -> str:
        return self._cluster.service_account_token(self.namespace, self._pod["serviceAccountName"])

    def _mount(self, root: Path) -> list[str]:
        """Lay the Pod's files below *root*; returns where it has them."""
        volumes = {volume["name"]: volume for volume in self._pod["volumes"]}
        mounts = self._pod["containers"][0]["volumeMounts"]
        for mount in mounts:
            folder = Path(f"{root}{mount['mountPath']}")
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in self._content(volumes[mount["name"]]).items():
                (folder / name).write_bytes(content)
        return [mount["mountPath"] for mount in mounts]

    def _content(self, volume: Any) -> dict[str, bytes]:
        if "configMap" in volume:
            data = self.get(f"configmaps/{volume['configMap']['name']}")["data"]
            return {name: text.encode() for name, text in data.items()}
        data = self.get(f"secrets/{volume['secret']['secretName']}")["data"]
        return {name: base64.b64decode(text) for name, text in data.items()}

    def _run(
        self,
        options: list[str],
        environment: dict[str, str],
        program: Sequence[str] = (sys.executable, "-m", "mendloop"),
    ) -> Replica:
        name = f"replica-{len(self._replicas)}"
        self._replicas.append(Replica(name, options, self._folder, environment, program))
        return self._replicas[-1]

    def post(self, replica: Replica, task_id: str) -> int:
        """Send a finding; returns the status of the answer."""
        body = json.dumps({"task_id": task_id, "findings": [_FINDING]}).encode()
        headers = {"Authorization": f"Bearer {_TOKEN}"}
        return get_json(f"{replica.intake}/v1/feedback", body, headers)[0]

    def logs(self) -> list[bytes]:
        """What each process has logged."""
        return [replica.log_path.read_bytes() for replica in self._replicas]

    def end(self) -> None:
        """Kill what still runs."""
        for replica in self._replicas:
            if replica.process.poll() is None:
                replica.kill()
