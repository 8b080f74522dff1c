"""The chart, installed on a real API server, and with every flag on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from audited import check_namespace, check_texts
from installed import Installed

from controlplane import Cluster
from controlplane.helm import Helm


@pytest.fixture(scope="session")
def everything() -> dict[str, Any]:
    """Values that turn everything on which the chart has."""
    return {
        "replicas": 3,
        "image": {
            "repository": "registry.example.com/mendloop",
            "digest": f"sha256:{'0' * 64}",
            "pullPolicy": "Always",
        },
        "imagePullSecrets": ["registry"],
        "intake": {
            "github": {"secret": "hooks", "keys": ["new", "old"]},
            "feedback": {"secret": "senders"},
        },
        "config": {
            "github": {
                "repositories": ["acme/widgets"],
                "teams": {"reviewers": ["ann", "ben"], 'the "team"': ["zoë"]},
                "allow_teams": ["reviewers"],
                "storm": {"limit": 30, "window": 90.5},
            },
            "cleanup": {"interval": "1h"},
            "tasks": {"max_iterations": 1_000_000},
        },
        "service": {"type": "LoadBalancer", "port": 8443},
        "ingress": {
            "enabled": True,
            "className": "nginx",
            "annotations": {"nginx.ingress.kubernetes.io/proxy-body-size": "26m"},
            "host": "hooks.example.com",
            "tlsSecret": "hooks-tls",
        },
        "serviceAccount": {"annotations": {"example.com/owner": "platform"}},
        "networkPolicy": {
            "enabled": True,
            "intakeFrom": [{"namespaceSelector": {"matchLabels": {"name": "ingress"}}}],
            "adminFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
            "otherEgress": [{"ports": [{"port": 4318}, {"port": 53, "protocol": "UDP"}]}],
        },
        "monitoring": {
            "traces": {"endpoint": "http://collector.monitoring:4318"},
            "labels": {"release": "prometheus"},
            "serviceMonitor": {"enabled": True, "interval": "15s"},
            "prometheusRule": {"enabled": True},
            "dashboard": {"enabled": True, "labels": {"grafana_dashboard": "mendloop"}},
        },
        "resources": {"requests": {"cpu": "50m"}, "limits": {"memory": "256Mi"}},
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "spot", "operator": "Exists", "effect": "NoSchedule"}],
    }


@pytest.fixture
def installed(
    request: pytest.FixtureRequest,
    control_plane: Cluster,
    namespace: str,
    helm: Helm,
    tmp_path: Path,
) -> Iterator[Installed]:
    """The chart, installed."""
    installed = Installed(control_plane, helm, namespace, tmp_path)
    yield installed
    installed.end()
    check_texts(request, installed.logs())
    config = control_plane.kubeconfig(tmp_path / "after", namespace=namespace)
    asyncio.run(check_namespace(request, f"configmap:{config}"))
