"""What the Role that we ship allows, given to a real ServiceAccount."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import yaml

from controlplane import Cluster

__all__ = ["VERBS", "grant"]

_SHIPPED = Path(__file__).parents[2] / "deploy" / "rights.yaml"
_RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces"
_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
_PATIENCE_SECONDS = 30


def _shipped(kind: str) -> Any:
    objects = yaml.safe_load_all(_SHIPPED.read_text())
    return next(each for each in objects if each["kind"] == kind)


VERBS = tuple(
    verb
    for rule in _shipped("Role")["rules"]
    if "configmaps" in rule["resources"]
    for verb in rule["verbs"]
)
"""All that the Role allows to do with ConfigMaps."""


def grant(cluster: Cluster, namespace: str, *, without: str = "") -> str:
    """
    Install the shipped Role in a namespace, for its ServiceAccount, and return a token of that.

    Args:
        without: A verb to be left out.
    """
    role, binding = _shipped("Role"), _shipped("RoleBinding")
    for rule in role["rules"]:
        if "configmaps" not in rule["resources"]:
            continue
        rule["verbs"] = [verb for verb in rule["verbs"] if verb != without]
    account = binding["subjects"][0]["name"]
    binding["subjects"][0]["namespace"] = namespace
    for plural, whole in (("roles", role), ("rolebindings", binding)):
        whole["metadata"]["namespace"] = namespace
        cluster.request("POST", f"{_RBAC}/{namespace}/{plural}", whole)
    token = cluster.service_account_token(namespace, account)
    _wait(cluster, namespace, account, [verb for verb in VERBS if verb != without])
    return token


def _wait(cluster: Cluster, namespace: str, account: str, verbs: list[str]) -> None:
    """Wait until the API server has noticed."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not all(_may(cluster, namespace, account, verb) for verb in verbs):
        assert time.monotonic() < deadline, f"{account} gets no rights"
        time.sleep(0.02)


def _may(cluster: Cluster, namespace: str, account: str, verb: str) -> bool:
    asked = {"namespace": namespace, "verb": verb, "resource": "configmaps"}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "resourceAttributes": asked,
            "user": f"system:serviceaccount:{namespace}:{account}",
        },
    }
    return bool(cluster.request("POST", _REVIEWS, review)["status"]["allowed"])
