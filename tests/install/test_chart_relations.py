"""What the objects of the chart say of each other, which no API server compares."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from chart_objects import leaves, one

from controlplane.helm import Helm

_REQUIRED = ("ingress", "host")
"""Without it nothing is made, where there is an Ingress."""


@pytest.fixture
def objects(helm: Helm, everything: dict[str, Any]) -> list[dict[str, Any]]:
    """All that the chart makes with every flag on."""
    return helm.objects(values=everything)


def _labels(objects: list[dict[str, Any]]) -> dict[str, str]:
    """Those of the Pods that serve."""
    return dict(one(objects, "Deployment")["spec"]["template"]["metadata"]["labels"])


def _ports(objects: list[dict[str, Any]]) -> dict[str, int]:
    (container,) = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    return {port["name"]: port["containerPort"] for port in container["ports"]}


def _selectors(objects: list[dict[str, Any]]) -> Iterator[dict[str, str]]:
    """All that are to choose the Pods that serve."""
    deployment = one(objects, "Deployment")["spec"]
    yield deployment["selector"]["matchLabels"]
    for spread in deployment["template"]["spec"]["topologySpreadConstraints"]:
        yield spread["labelSelector"]["matchLabels"]
    yield one(objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"]
    yield one(objects, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"]
    for service in (each for each in objects if each["kind"] == "Service"):
        yield service["spec"]["selector"]


def test_what_chooses_pods_chooses_those_that_serve(objects: list[dict[str, Any]]) -> None:
    """Services, budget, policy and Deployment mean the same Pods, and not the one of `helm test`."""
    tested = one(objects, "Pod")["metadata"]["labels"].items()
    selectors = list(_selectors(objects))

    assert 7 == len(selectors)
    for selector in selectors:
        assert selector.items() <= _labels(objects).items()
        assert not selector.items() <= tested


def test_ports_lead_to_where_the_service_listens(objects: list[dict[str, Any]]) -> None:
    """Senders come to one port and probes to the other, by whatever way, and each listens there."""
    (container,) = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    ports = _ports(objects)
    listening = {f"--listen=:{ports['intake']}", f"--admin-listen=:{ports['admin']}"}
    services = {
        port["name"]: (port["targetPort"], each["metadata"]["name"])
        for each in objects
        if each["kind"] == "Service"
        for port in each["spec"]["ports"]
    }
    (rule,) = one(objects, "Ingress")["spec"]["rules"]
    backends = {path["path"]: path["backend"]["service"] for path in rule["http"]["paths"]}
    behind = {"name": services["intake"][1], "port": {"name": "intake"}}

    assert listening <= set(container["args"])
    assert ("intake", "admin") == (services["intake"][0], services["admin"][0])
    assert services["intake"][1] != services["admin"][1]
    assert {"/v1/github": behind, "/v1/feedback": behind} == backends
    assert "hooks.example.com" == rule["host"]


def test_probes_ask_what_tells_life_and_readiness(objects: list[dict[str, Any]]) -> None:
    """A follower or an outage makes a Pod unready and never kills it; only a dead one is killed."""
    (container,) = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    asked = {
        name: (container[f"{name}Probe"]["httpGet"]["path"], container[f"{name}Probe"]["httpGet"]["port"])
        for name in ("startup", "liveness", "readiness")
    }  # fmt: skip

    assert {
        "startup": ("/healthz", "admin"),
        "liveness": ("/healthz", "admin"),
        "readiness": ("/readyz", "admin"),
    } == asked


def test_prometheus_finds_the_metrics(objects: list[dict[str, Any]]) -> None:
    """The ServiceMonitor chooses the Service of the probes and no other, and the port that it has."""
    monitor = one(objects, "ServiceMonitor")
    chosen = [
        each["spec"]["ports"]
        for each in objects
        if each["kind"] == "Service"
        and monitor["spec"]["selector"]["matchLabels"].items() <= each["metadata"]["labels"].items()
    ]
    (endpoint,) = monitor["spec"]["endpoints"]

    assert [[endpoint["port"]]] == [[port["name"] for port in ports] for ports in chosen]
    assert ("admin", "/metrics") == (endpoint["port"], endpoint["path"])
    for kind in ("ServiceMonitor", "PrometheusRule"):
        assert "prometheus" == one(objects, kind)["metadata"]["labels"]["release"]


def test_the_network_lets_in_whom_the_values_name(
    objects: list[dict[str, Any]], everything: dict[str, Any]
) -> None:
    """Senders reach the doors, monitoring and `helm test` the probes; out it goes to the API server."""
    policy, given = one(objects, "NetworkPolicy")["spec"], everything["networkPolicy"]
    intake, admin = policy["ingress"]
    tested, *others = admin["from"]

    assert ["Ingress", "Egress"] == policy["policyTypes"]
    assert [{"port": "intake"}] == intake["ports"]
    assert given["intakeFrom"] == intake["from"]
    assert [{"port": "admin"}] == admin["ports"]
    assert given["adminFrom"] == others
    labels = one(objects, "Pod")["metadata"]["labels"]
    assert tested["podSelector"]["matchLabels"].items() <= labels.items()
    assert [{"ports": [{"port": 443}, {"port": 6443}]}, *given["otherEgress"]] == policy["egress"]


def test_the_account_of_the_pods_has_the_role(objects: list[dict[str, Any]]) -> None:
    """The Pods run as the account that the Role is bound to."""
    pod = one(objects, "Deployment")["spec"]["template"]["spec"]
    binding, account = one(objects, "RoleBinding"), one(objects, "ServiceAccount")["metadata"]
    subject = {"kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"]}

    assert pod["serviceAccountName"] == account["name"]
    assert [subject] == binding["subjects"]
    assert one(objects, "Role")["metadata"]["name"] == binding["roleRef"]["name"]


def test_traces_go_where_the_values_say(objects: list[dict[str, Any]]) -> None:
    """The variable by which OpenTelemetry knows its collector has the endpoint."""
    (container,) = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"]

    assert [
        {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector.monitoring:4318"}
    ] == container["env"]


def test_each_pod_is_pulled_and_placed_as_the_values_say(
    objects: list[dict[str, Any]], everything: dict[str, Any]
) -> None:
    """Those that serve and the one of `helm test` have the same image, and go to the same nodes."""
    image = everything["image"]
    for pod in (
        one(objects, "Deployment")["spec"]["template"]["spec"],
        one(objects, "Pod")["spec"],
    ):
        (container,) = pod["containers"]
        resources = container["resources"]

        assert f"{image['repository']}@{image['digest']}" == container["image"]
        assert image["pullPolicy"] == container["imagePullPolicy"]
        assert everything["resources"]["limits"] == resources["limits"]
        assert "50m" == resources["requests"]["cpu"]
        assert [{"name": "registry"}] == pod["imagePullSecrets"]
        assert everything["nodeSelector"] == pod["nodeSelector"]
        assert everything["tolerations"] == pod["tolerations"]


def test_every_value_does_something(helm: Helm, everything: dict[str, Any]) -> None:
    """Each value that is given shows in what is made: without it, something else is."""
    made = helm.template(values=everything)
    given = [path for path in leaves(everything) if path != _REQUIRED]

    assert [] == [
        path for path in given if helm.template(values=_without(everything, path)) == made
    ]


def _without(values: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    left = copy.deepcopy(values)
    place = left
    for name in path[:-1]:
        place = place[name]
    del place[path[-1]]
    return left
