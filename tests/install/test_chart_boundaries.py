"""What the chart allows and opens, and to whom: that much, and no more."""

from __future__ import annotations

from typing import Any

from controlplane.helm import Helm


def _one(objects: list[dict[str, Any]], kind: str, name: str = "mendloop") -> Any:
    (found,) = (
        each for each in objects if (each["kind"], each["metadata"]["name"]) == (kind, name)
    )
    return found


def test_the_role_has_no_right_too_many(helm: Helm, everything: dict[str, Any]) -> None:
    """The store's documents and the leader's Lease, by the verbs that are used; neither Secrets nor more."""
    for values in ({}, everything):
        objects = helm.objects(values=values)
        granted = {
            (group, resource, verb)
            for rule in _one(objects, "Role")["rules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        }
        documents = ("get", "list", "watch", "create", "patch", "delete")
        assert {
            *(("", "configmaps", verb) for verb in documents),
            *(("coordination.k8s.io", "leases", verb) for verb in ("get", "create", "patch")),
        } == granted
        assert not [each for each in objects if each["kind"].startswith("Cluster")]


def test_only_the_service_itself_talks_to_the_api_server(helm: Helm) -> None:
    """The Pod of `helm test` gets no token of the cluster."""
    objects = helm.objects()

    assert _one(objects, "Deployment")["spec"]["template"]["spec"]["automountServiceAccountToken"]
    assert not _one(objects, "Pod", "mendloop-test")["spec"]["automountServiceAccountToken"]


def test_only_the_doors_are_reached_from_outside(helm: Helm, everything: dict[str, Any]) -> None:
    """The ingress and the Service that may be a load balancer lead to the doors; probes stay inside."""
    objects = helm.objects(values=everything)
    (rule,) = _one(objects, "Ingress")["spec"]["rules"]
    doors = {(path["path"], path["pathType"]) for path in rule["http"]["paths"]}
    ports = {path["backend"]["service"]["port"]["name"] for path in rule["http"]["paths"]}
    services = {
        each["metadata"]["name"]: (each["spec"]["type"], [p["name"] for p in each["spec"]["ports"]])
        for each in objects
        if each["kind"] == "Service"
    }

    assert {("/v1/github", "Exact"), ("/v1/feedback", "Exact")} == doors
    assert {"intake"} == ports
    assert {
        "mendloop": ("LoadBalancer", ["intake"]),
        "mendloop-admin": ("ClusterIP", ["admin"]),
    } == services


def test_the_network_policy_lets_in_and_out_what_is_named(
    helm: Helm, everything: dict[str, Any]
) -> None:
    """Probes and metrics for `helm test` and who is named; out to the API server and what is named."""
    policy = _one(helm.objects(values=everything), "NetworkPolicy")["spec"]
    doors, admin = policy["ingress"]
    given = everything["networkPolicy"]

    assert {"Ingress", "Egress"} == set(policy["policyTypes"])
    assert ([{"port": "intake"}], given["intakeFrom"]) == (doors["ports"], doors["from"])
    tester, *others = admin["from"]
    assert [{"port": "admin"}] == admin["ports"]
    assert "test" == tester["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
    assert given["adminFrom"] == others
    api_server = {"ports": [{"port": 443}, {"port": 6443}]}
    assert [api_server, *given["otherEgress"]] == policy["egress"]


def test_metrics_are_scraped_once_from_each_replica(helm: Helm, everything: dict[str, Any]) -> None:
    """The monitor selects the Service of the probes alone, and asks its port."""
    objects = helm.objects(values=everything)
    monitor = _one(objects, "ServiceMonitor")["spec"]
    (endpoint,) = monitor["endpoints"]
    selected = [
        each["metadata"]["name"]
        for each in objects
        if each["kind"] == "Service"
        and monitor["selector"]["matchLabels"].items() <= each["metadata"]["labels"].items()
    ]

    assert ["mendloop-admin"] == selected
    assert ("admin", "/metrics", "15s") == (
        endpoint["port"],
        endpoint["path"],
        endpoint["interval"],
    )


def test_a_store_that_is_away_restarts_no_pod(helm: Helm) -> None:
    """Whether it lives decides about a restart, and whether it is ready about what it is sent."""
    (container,) = _one(helm.objects(), "Deployment")["spec"]["template"]["spec"]["containers"]
    asked = {
        probe: (container[probe]["httpGet"]["path"], container[probe]["httpGet"]["port"])
        for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    }

    assert {
        "startupProbe": ("/healthz", "admin"),
        "livenessProbe": ("/healthz", "admin"),
        "readinessProbe": ("/readyz", "admin"),
    } == asked


def test_an_upgrade_takes_no_replica_away_first_and_a_drain_one_at_most(helm: Helm) -> None:
    """Senders find as many replicas during an upgrade, and a node with the only one can be drained."""
    objects = helm.objects()
    update = _one(objects, "Deployment")["spec"]["strategy"]["rollingUpdate"]
    budget = _one(objects, "PodDisruptionBudget")["spec"]

    assert {"maxUnavailable": 0, "maxSurge": 1} == update
    assert 1 == budget["maxUnavailable"]
    assert "minAvailable" not in budget


def test_each_door_has_the_secret_of_its_own(helm: Helm, everything: dict[str, Any]) -> None:
    """The token of one door is no secret of the other, and each is read from where it is mounted."""
    pod = _one(helm.objects(values=everything), "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    secrets = {
        volume["name"]: volume["secret"]["secretName"]
        for volume in pod["volumes"]
        if "secret" in volume
    }
    mounted = {
        mount["name"]: mount["mountPath"]
        for mount in container["volumeMounts"]
        if mount["name"] in secrets
    }
    folder = "/run/secrets/mendloop"

    assert {"github": "hooks", "feedback": "senders"} == secrets
    assert {"github": f"{folder}/github", "feedback": f"{folder}/feedback"} == mounted
    assert [
        f"--webhook-secret-file={folder}/github/new",
        f"--webhook-secret-file={folder}/github/old",
        f"--feedback-token-file={folder}/feedback/feedback-token",
    ] == [word for word in container["args"] if folder in word]


def test_a_digest_wins_over_a_tag(helm: Helm) -> None:
    """Who pins an image gets that very one."""
    digest = f"sha256:{'a' * 64}"
    for image, name in (
        ({"tag": "2"}, "mendloop:2"),
        ({"tag": "2", "digest": digest}, f"mendloop@{digest}"),
    ):
        pod = _one(helm.objects(values={"image": image}), "Deployment")["spec"]["template"]["spec"]
        assert name == pod["containers"][0]["image"]
