"""The chart on a real API server. No node is there, so what its Pods would run is run as processes."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
_PLACES = {"/etc/mendloop": "config", "/run/secrets/mendloop/feedback": "senders"}


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
        self._replicas: list[Replica] = []
        self._lay_files()

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
        template = self.get("apps/v1/deployments/mendloop")["spec"]["template"]["spec"]
        account = template["serviceAccountName"]
        token = self._cluster.service_account_token(self.namespace, account)
        config = self._folder / "kubeconfig"
        (cluster or self._cluster).kubeconfig(config, token=token, namespace=self.namespace)
        serve, *options = template["containers"][0]["args"]
        assert "serve" == serve
        for place, name in _PLACES.items():
            options = [word.replace(place, str(self._folder / name)) for word in options]
        options += ["--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"]
        environment = {"PATH": "/usr/bin:/bin", "KUBECONFIG": str(config)}
        name = f"replica-{len(self._replicas)}"
        self._replicas.append(Replica(name, options, self._folder, environment))
        return self._replicas[-1]

    def ask(self, replica: Replica) -> subprocess.CompletedProcess[str]:
        """Run what the Pod of `helm test` runs, with the replica's addresses in the place of the Services."""
        (container,) = self._test["spec"]["containers"]
        urls = {"http://mendloop:80": replica.intake, "http://mendloop-admin:9090": replica.admin}
        words = [urls.get(word, word) for word in container["args"]]
        command = [sys.executable, *container["command"][1:], *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def post(self, replica: Replica, task_id: str) -> int:
        """Send a finding; returns the status of the answer."""
        body = json.dumps({"task_id": task_id, "findings": [_FINDING]}).encode()
        headers = {"Authorization": f"Bearer {_TOKEN}"}
        return get_json(f"{replica.intake}/v1/feedback", body, headers)[0]

    def end(self) -> None:
        """Kill what still runs."""
        for replica in self._replicas:
            if replica.process.poll() is None:
                replica.kill()

    def _lay_files(self) -> None:
        for name in _PLACES.values():
            (self._folder / name).mkdir()
        for name, content in self.get("configmaps/mendloop-config")["data"].items():
            (self._folder / "config" / name).write_text(content)
        (self._folder / "senders" / "feedback-token").write_text(_TOKEN)
