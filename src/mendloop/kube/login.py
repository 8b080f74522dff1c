"""
What a kubeconfig's cluster and user amount to: whom to trust, and who we are.

Two ways to be somebody are refused where client-go refuses them, and where it would go on as
nobody. A token, a name with a password or a certificate goes before a plugin, as in client-go.
"""

from __future__ import annotations

import base64
from typing import Any

from mendloop.clock import Clock
from mendloop.core.errors import AccessError
from mendloop.kube.credentials import Credentials, Fixed, TokenFile, basic, bearer
from mendloop.kube.exec_plugin import ExecPlugin
from mendloop.kube.kubeconfig import Choice, Cluster
from mendloop.kube.plugin_login import PluginLogin
from mendloop.kube.tls import Pem, Trust

__all__ = ["nobody", "plugin_cluster", "to_credentials", "to_trust"]

_CLUSTER_EXTENSION = "client.authentication.k8s.io/exec"


def to_trust(choice: Choice) -> Trust:
    """
    Whom to trust and what to show in the handshake; nothing is read yet.

    Raises:
        AccessError: The parts contradict each other, or one is missing.
    """
    cluster, user = choice.cluster, choice.user
    authority = _pem(
        f"the certificate-authority of cluster {choice.cluster_name!a}",
        cluster.certificate_authority,
        cluster.certificate_authority_data,
    )
    if authority and cluster.insecure_skip_tls_verify:
        raise AccessError(
            f"cluster {choice.cluster_name!a} has a certificate-authority and "
            "insecure-skip-tls-verify: remove one of them"
        )
    certificate = _pem(
        f"the client-certificate of user {choice.user_name!a}",
        user.client_certificate,
        user.client_certificate_data,
    )
    key = _pem(
        f"the client-key of user {choice.user_name!a}", user.client_key, user.client_key_data
    )
    if (certificate is None) != (key is None):
        raise AccessError(
            f"user {choice.user_name!a} has only one of client-certificate and client-key: "
            "give both"
        )
    return Trust(
        authority=authority,
        is_insecure=cluster.insecure_skip_tls_verify,
        certificate=certificate,
        key=key,
    )


def to_credentials(
    choice: Choice,
    *,
    where: str,
    cluster: dict[str, Any],
    clock: Clock,
    plugin_timeout_seconds: float,
) -> Credentials:
    """
    Who we are to the server.

    Args:
        where: The kubeconfig, for messages.
        cluster: What a plugin is told of it, where it asks to be.
        clock: Tells what is expired.
        plugin_timeout_seconds: For each run of a plugin.

    Raises:
        AccessError: It is not clear, or the way is not supported.
    """
    user, whose = choice.user, f"user {choice.user_name!a}"
    if user.auth_provider is not None:
        raise AccessError(
            f"{whose} has the auth-provider {user.auth_provider.name!a}, which is not supported: "
            "log in by an exec plugin (such as kubelogin or gke-gcloud-auth-plugin)"
        )
    has_token, has_login = bool(user.token or user.token_file), bool(user.username)
    if user.password and not has_login:
        raise AccessError(f"{whose} has a password and no username: give both")
    if has_token and has_login:
        raise AccessError(f"{whose} has a token and a username: remove one of them")
    renew = f"put a fresh one into {where}"
    if user.token_file:
        return TokenFile(user.token_file, what=f"the token of {whose}")
    if has_token:
        what = f"the token of {whose}"
        return Fixed(bearer(user.token, what=what), what=what, remedy=renew)
    if has_login:
        return Fixed(
            basic(user.username, user.password), what=f"the password of {whose}", remedy=renew
        )
    if user.client_certificate or user.client_certificate_data:
        return Fixed("", what=f"the client-certificate of {whose}", remedy=renew)
    if user.exec is not None:
        plugin = ExecPlugin(
            user.exec,
            user_name=choice.user_name,
            cluster=cluster,
            clock=clock,
            timeout_seconds=plugin_timeout_seconds,
        )
        return PluginLogin(plugin, clock)
    return nobody(f"{whose} has no credentials", remedy=f"give it some in {where}")


def nobody(why: str, *, remedy: str) -> Credentials:
    """No credentials, since there are none that could be sent."""
    return Fixed("", what=f"a request without credentials ({why})", remedy=remedy)


def plugin_cluster(
    cluster: Cluster, *, server: str, proxy: str | None, trust: Trust
) -> dict[str, Any]:
    """
    What a plugin is told of the cluster, as client-go tells it.

    Raises:
        AccessError: The cluster's authority cannot be read.
    """
    told = {
        "tls-server-name": cluster.tls_server_name,
        "insecure-skip-tls-verify": cluster.insecure_skip_tls_verify,
        "certificate-authority-data": base64.b64encode(trust.authority_pem()).decode("ascii"),
        "proxy-url": proxy or "",
        "disable-compression": cluster.disable_compression,
    }
    own = [part.extension for part in cluster.extensions if part.name == _CLUSTER_EXTENSION]
    return {
        "server": server,
        **{name: value for name, value in told.items() if value},
        **({"config": own[0]} if own else {}),
    }


def _pem(what: str, path: str, data: str) -> Pem | None:
    if path and data:
        raise AccessError(f"{what} is given as a file and as data: remove one of them")
    return Pem(what=what, path=path, data=data) if path or data else None
