"""Access to a real API server: what it takes us for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from wire import ask

from controlplane import Cluster
from mendloop.kube.access import Access, load_access

REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
REVIEW = {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}


async def who_am_i(access: Access) -> dict[str, Any]:
    """What the API server says of the one who asks."""
    status, body = await ask(access, "POST", REVIEWS, REVIEW)
    assert 201 == status, body
    user: dict[str, Any] = json.loads(body)["status"]["userInfo"]
    return user


async def test_a_service_accounts_token_is_its_user(
    control_plane: Cluster, namespace: str, tmp_path: Path
) -> None:
    """A kubeconfig with a real ServiceAccount's token makes us that ServiceAccount."""
    token = control_plane.service_account_token(namespace, "agent")
    path = control_plane.kubeconfig(tmp_path / "config", token=token, namespace=namespace)

    access = await load_access(kubeconfig=str(path))
    user = await who_am_i(access)
    await access.close()

    assert f"system:serviceaccount:{namespace}:agent" == user["username"]
    assert namespace == access.namespace
