"""What a real API server makes of the chart and of the plain manifests."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import manifests
import pytest
import yaml
from controlplane.programs import monitoring_definitions
from patience import eventually

from controlplane import Cluster
from controlplane.helm import CHART, Helm

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest.fixture(scope="session")
def monitored(control_plane: Cluster) -> Cluster:
    """The shared control plane, which knows what a ServiceMonitor and a PrometheusRule are."""
    files = [word for path in monitoring_definitions() for word in ("-f", str(path))]
    control_plane.kubectl("apply", "--server-side", *files)
    control_plane.kubectl("wait", "--for=condition=Established", "--timeout=60s", *files)
    return control_plane


@pytest.fixture
def restricted(monitored: Cluster) -> str:
    """A namespace that takes no Pod but those that the restricted standard allows."""
    namespace = monitored.namespace()
    label = "pod-security.kubernetes.io/enforce=restricted"
    monitored.kubectl("label", "namespace", namespace, label)
    return namespace


def _generation(cluster: Cluster, namespace: str) -> int:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/mendloop"
    return int(cluster.request("GET", path)["metadata"]["generation"])


def _pods(cluster: Cluster, namespace: str) -> list[Any]:
    return list(cluster.request("GET", f"/api/v1/namespaces/{namespace}/pods")["items"])


@pytest.mark.parametrize("is_all", [False, True], ids=["default", "everything"])
def test_every_object_is_taken_as_it_is(
    monitored: Cluster, restricted: str, helm: Helm, everything: dict[str, Any], *, is_all: bool
) -> None:
    """The API server knows every field of every object, and refuses none."""
    rendered = helm.template(namespace=restricted, values=everything if is_all else {})
    objects = [each for each in yaml.safe_load_all(rendered) if each]
    options = ("--dry-run=server", "--validate=strict", "-o", "name")
    taken = monitored.kubectl("apply", *options, "-f", "-", stdin=rendered)
    assert len(objects) == len(taken.splitlines())


def test_a_release_is_installed_upgraded_and_taken_away(
    monitored: Cluster, restricted: str, helm: Helm, everything: dict[str, Any]
) -> None:
    """Each upgrade is one that the server allows; twice the same changes nothing; the tasks stay."""
    config = monitored.admin_kubeconfig
    monitored.kubectl("create", "configmap", "task-42-state", "-n", restricted)
    helm("install", "mendloop", str(CHART), "-n", restricted, kubeconfig=config)
    assert 1 == _generation(monitored, restricted)
    for values, generation in (({}, 1), (everything, 2), (everything, 2), ({}, 3)):
        given = ("--reset-values", *helm.values(values))
        helm("upgrade", "mendloop", str(CHART), "-n", restricted, *given, kubeconfig=config)
        assert generation == _generation(monitored, restricted)
    helm("uninstall", "mendloop", "-n", restricted, "--wait", kubeconfig=config)
    left = monitored.kubectl("get", "configmap,role,deployment", "-n", restricted, "-o", "name")
    assert {"configmap/kube-root-ca.crt", "configmap/task-42-state"} == set(left.split())


async def test_the_manifests_make_pods_in_a_restricted_namespace(
    monitored: Cluster, controllers: Cluster, tmp_path: Path
) -> None:
    """An overlay of the base makes the Pods that it asks for, also when it is applied twice."""
    namespace = monitored.namespace()
    overlay = {
        "namespace": namespace,
        "resources": [os.path.relpath(manifests.INSTALL.parent, tmp_path.resolve())],
        "images": [{"name": "mendloop", "newName": "registry.example.com/mendloop"}],
        "replicas": [{"name": "mendloop", "count": 3}],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    for _ in range(2):
        monitored.kubectl("apply", "-k", str(tmp_path))
        # Not what apply prints: it always calls a PodDisruptionBudget configured.
        assert "" == monitored.kubectl("diff", "-k", str(tmp_path))
    await eventually(lambda: len(_pods(monitored, namespace)) == 3)
    for pod in _pods(monitored, namespace):
        (container,) = pod["spec"]["containers"]
        assert container["image"].startswith("registry.example.com/mendloop:")
    label = "pod-security.kubernetes.io/enforce"
    labels = monitored.request("GET", f"/api/v1/namespaces/{namespace}")["metadata"]["labels"]
    assert "restricted" == labels[label]
