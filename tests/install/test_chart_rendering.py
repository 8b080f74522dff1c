"""What the chart says, before any server has seen it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import manifests
import pytest
import yaml
from chart_objects import one

import mendloop
from controlplane.helm import CHART, Helm
from mendloop.service.settings import (
    CleanupTable,
    GithubTable,
    ServiceSettings,
    StormTable,
    TasksTable,
    read_settings,
)

_SIDECAR = "monitoring.dashboard.labels"
STOP_SECONDS = 20  # docs/service.md promises it


def _pods(objects: list[dict[str, Any]]) -> list[Any]:
    return [one(objects, "Deployment")["spec"]["template"]["spec"], one(objects, "Pod")["spec"]]


def test_helm_finds_nothing_to_criticise(helm: Helm, everything: dict[str, Any]) -> None:
    """The chart passes Helm's own examination, as it is and with every flag on."""
    for values in ({}, everything):
        helm("lint", "--strict", str(CHART), *helm.values(values))


WRONG: tuple[tuple[dict[str, Any], str], ...] = (
    ({"replica": 2}, "additional properties 'replica' not allowed"),
    ({"replicas": "two"}, "at '/replicas': got string, want integer"),
    ({"image": {"tag": "a/b"}}, "at '/image/tag'"),
    ({"image": {"digest": "0" * 64}}, "at '/image/digest'"),
    ({"intake": {"github": {"secret": "Hooks!"}}}, "at '/intake/github/secret'"),
    ({"intake": {"feedback": {"keys": []}}}, "at '/intake/feedback/keys'"),
    ({"intake": {"gitlab": {}}}, "additional properties 'gitlab' not allowed"),
    ({"config": {"cleanup": {"retain": "7d"}}}, "additional properties 'retain' not allowed"),
    ({"config": {"tasks": {"max_iterations": 0}}}, "at '/config/tasks/max_iterations'"),
    ({"config": {"github": {"storm": {"limit": 1.5}}}}, "at '/config/github/storm/limit'"),
    ({"service": {"type": "ExternalName"}}, "at '/service/type'"),
    ({"service": {"port": 70_000}}, "at '/service/port'"),
    ({"ingress": {"enabled": True}}, "at '/ingress/host'"),
    ({"networkPolicy": {"adminFrom": [{}]}}, "at '/networkPolicy/adminFrom/0'"),
    ({"networkPolicy": {"apiServerPorts": []}}, "at '/networkPolicy/apiServerPorts'"),
    (
        {"monitoring": {"serviceMonitor": {"interval": 30}}},
        "at '/monitoring/serviceMonitor/interval'",
    ),
    ({"networkPolicy": {"otherEgress": [{"port": 1}]}}, "at '/networkPolicy/otherEgress/0'"),
    ({"monitoring": {"traces": {"endpoint": "collector"}}}, "at '/monitoring/traces/endpoint'"),
    ({"resources": {"limit": {}}}, "additional properties 'limit' not allowed"),
    ({"tolerations": [{"effect": "No"}]}, "at '/tolerations/0/effect'"),
)


def test_wrong_values_are_refused_by_name(helm: Helm) -> None:
    """A value that is misspelt or may not be is refused before anything is installed, and named."""
    for values, named in WRONG:
        with pytest.raises(subprocess.CalledProcessError) as refused:
            helm.template(values=values)
        assert named in "".join(refused.value.__notes__), values


def test_settings_arrive_as_they_are_given(
    helm: Helm, everything: dict[str, Any], tmp_path: Path
) -> None:
    """The service reads from the chart's ConfigMap what the values say; nothing, and all is default."""
    told = ServiceSettings(
        github=GithubTable(
            repositories=("acme/widgets",),
            teams={"reviewers": ("ann", "ben"), 'the "team"': ("zoë",)},
            allow_teams=("reviewers",),
            storm=StormTable(limit=30, window=90.5),
        ),
        cleanup=CleanupTable(interval="1h"),
        tasks=TasksTable(max_iterations=1_000_000),
    )
    file = tmp_path / "serve.toml"
    for values, settings in (({}, ServiceSettings()), (everything, told)):
        found = one(helm.objects(values=values), "ConfigMap", "-config")
        file.write_text(found["data"]["serve.toml"])
        assert settings == read_settings(file)


def test_a_change_of_the_settings_replaces_the_pods(helm: Helm) -> None:
    """The Pods' template moves with the settings, which are read at the start, and with nothing else."""

    def template(values: dict[str, Any]) -> object:
        return one(helm.objects(values=values), "Deployment")["spec"]["template"]

    assert template({}) == template({"replicas": 5, "service": {"port": 81}})
    assert template({}) != template({"config": {"cleanup": {"interval": "1h"}}})


def test_a_door_is_as_open_as_its_secret(helm: Helm) -> None:
    """Both keys of a Secret are given while one replaces the other; without a Secret there is no door."""
    values = {"intake": {"github": {"secret": "hooks", "keys": ["new", "old"]}}}
    objects = helm.objects(values=values)
    (container,) = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    doors = [word for word in container["args"] if "/run/secrets" in word]
    folder = "/run/secrets/mendloop/github"
    assert [f"--webhook-secret-file={folder}/{key}" for key in ("new", "old")] == doors
    asked = one(objects, "Pod")["spec"]["containers"][0]["args"][-2:]
    assert {"github=401", "feedback=404"} == set(asked)


def test_alerts_and_dashboard_arrive_as_they_are(helm: Helm, everything: dict[str, Any]) -> None:
    """What Helm takes for its own in them, such as braces, it leaves alone."""
    objects = helm.objects(values=everything)
    rules = yaml.safe_load((CHART / "files" / "rules.yaml").read_text())
    assert rules == one(objects, "PrometheusRule")["spec"]
    dashboard = json.loads((CHART / "files" / "dashboard.json").read_text())
    shipped = one(objects, "ConfigMap", "-dashboard")
    assert dashboard == json.loads(shipped["data"]["mendloop.json"])
    assert "mendloop" == shipped["metadata"]["labels"]["grafana_dashboard"]


def test_pods_may_do_nothing_that_they_need_not(helm: Helm, everything: dict[str, Any]) -> None:
    """No root, no privilege, no capability, and a root file system that cannot be written."""
    for values in ({}, everything):
        for pod in _pods(helm.objects(values=values)):
            inside = pod["containers"][0]["securityContext"]
            assert pod["securityContext"]["runAsNonRoot"]
            assert "RuntimeDefault" == pod["securityContext"]["seccompProfile"]["type"]
            assert (True, False) == (
                inside["readOnlyRootFilesystem"],
                inside["allowPrivilegeEscalation"],
            )
            assert ["ALL"] == inside["capabilities"]["drop"]


def test_a_pod_has_time_to_stop(helm: Helm) -> None:
    """The service has its 20 s after the pause in which senders learn that it goes."""
    pod, _ = _pods(helm.objects())
    pause = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pause + STOP_SECONDS < pod["terminationGracePeriodSeconds"]


def test_the_chart_installs_the_version_that_it_lies_beside() -> None:
    """The image that is asked for without a tag is of this version."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert mendloop.__version__ == chart["appVersion"]


def test_what_is_made_is_what_would_be_made_now(helm: Helm) -> None:
    """The schema follows the settings and the plain manifests follow the chart: `make manifests`."""
    assert manifests.schema() == manifests.SCHEMA.read_text()
    assert manifests.rights(helm) == manifests.RIGHTS.read_text()
    assert manifests.install(helm) == manifests.INSTALL.read_text()


def test_every_value_is_on_the_page() -> None:
    """docs/install.md names each value that the chart has, by its whole name, and no other."""
    page = (CHART.parents[2] / "docs" / "install.md").read_text(encoding="utf-8")
    table = page[page.index("### Values") : page.index("### Upgrade")]
    named = {name for row in table.splitlines() for name in _named(row)}
    assert named == set(_leaves(yaml.safe_load((CHART / "values.yaml").read_text())))


def _named(row: str) -> list[str]:
    return re.findall(r"`([^`]+)`", row.split("|")[1]) if row.startswith("| `") else []


def _leaves(values: dict[str, Any], path: str = "") -> Iterator[str]:
    """Where the values end; what stands for a whole of Kubernetes' own is one value."""
    for key, value in values.items():
        name = f"{path}{key}"
        if isinstance(value, dict) and value and name not in {"resources", _SIDECAR}:
            yield from _leaves(value, f"{name}.")
        else:
            yield name
