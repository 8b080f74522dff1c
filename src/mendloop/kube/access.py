"""
How to get at a Kubernetes API server: where it is, whom to trust, and who we are.

`load_access` answers from a kubeconfig, or from what a Pod has of its own cluster, by the rules of
client-go. The official Python client is not used for it; docs/adr/0006 says why.
"""

from __future__ import annotations

import os
import re
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from multidict import CIMultiDict

from mendloop.clock import Clock, SystemClock
from mendloop.core.errors import AccessError
from mendloop.kube.credentials import Credentials, TokenFile
from mendloop.kube.exec_plugin import TIMEOUT_SECONDS
from mendloop.kube.impersonation import Impersonation
from mendloop.kube.kubeconfig import Choice, Kubeconfig, User, kubeconfig_paths
from mendloop.kube.login import nobody, plugin_cluster, to_credentials, to_trust
from mendloop.kube.proxies import choose_proxy
from mendloop.kube.tls import Pem, Trust

__all__ = ["SERVICE_ACCOUNT", "Access", "load_access"]

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a Pod finds its token, its namespace and its cluster's authority."""

_SERVICE = ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT")
_DEFAULT_NAMESPACE = "default"
_NAMESPACE = re.compile("[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SERVER = re.compile(r"https?://[^\s\\/?#@]+(/[^\s\\?#@]*)?")


class Access:
    """
    The way to one API server, for one user and one namespace.

    Attributes:
        server: "https://host:port" or "http://host:port", perhaps with a path; no slash at the end.
        namespace: The one that is meant where none is named.
        ssl: For `aiohttp`; another object when a certificate has changed, so that it is to be read
            for each request, after `headers`. None for a server without TLS.
        server_hostname: The name that the server's certificate is for, where it is not the host.
        proxy: The URL of the proxy to it, or None. It may hold a password.
        disable_compression: Whether not to ask for compressed answers.
    """

    def __init__(
        self,
        *,
        server: str,
        namespace: str,
        trust: Trust | None,
        server_hostname: str | None = None,
        proxy: str | None = None,
        disable_compression: bool = False,
        credentials: Credentials,
        impersonation: list[tuple[str, str]],
    ) -> None:
        """
        Put the parts together.

        Raises:
            AccessError: A certificate or a key cannot be used.
        """
        self.server = server
        self.namespace = namespace
        self.server_hostname = server_hostname
        self.proxy = proxy
        self.disable_compression = disable_compression
        self._trust = trust
        self._credentials = credentials
        self._impersonation = impersonation
        self.ssl: ssl.SSLContext | None = trust.context() if trust else None

    async def headers(self) -> CIMultiDict[str]:
        """
        The headers that say who we are: Authorization, and Impersonate-* (a group each).

        Raises:
            AccessError: The credentials cannot be had; the message says what to do.
        """
        credential = await self._credentials.get()
        if self._trust:
            self.ssl = self._trust.context(credential.pair)
        headers = CIMultiDict(self._impersonation)
        if credential.authorization:
            headers["Authorization"] = credential.authorization
        return headers

    def forget_credentials(self) -> None:
        """After a 401: let the next `headers` ask a plugin again."""
        self._credentials.forget()

    def refused(self) -> AccessError:
        """The error for a 401 that new credentials have not cured; it says what to do."""
        return AccessError(
            f"the API server at {self.server} does not accept {self._credentials.what}: "
            f"{self._credentials.remedy}"
        )

    async def close(self) -> None:
        """End a plugin that is running."""
        await self._credentials.close()


async def load_access(
    *,
    kubeconfig: str | None = None,
    context: str | None = None,
    namespace: str | None = None,
    impersonate: Impersonation | None = None,
    service_account: Path = SERVICE_ACCOUNT,
    plugin_timeout_seconds: float = TIMEOUT_SECONDS,
    clock: Clock | None = None,
) -> Access:
    """
    Find the way to the API server: by a kubeconfig, else as a Pod of the cluster.

    Args:
        kubeconfig: A file that has to be there; else those of $KUBECONFIG count, else
            ``~/.kube/config``.
        context: Its name; else the current one.
        namespace: Else the context's counts, or the Pod's, else "default".
        impersonate: Whom to act as, instead of the kubeconfig's `as`.
        service_account: Where a Pod has its credentials.
        plugin_timeout_seconds: For each run of a credential plugin.
        clock: Tells what is expired.

    Raises:
        AccessError: There is no way, or it is not clear which; the message says what to do.
    """
    paths = kubeconfig_paths(kubeconfig)
    config = Kubeconfig(paths)
    if kubeconfig and not config.paths:
        raise AccessError(f"there is no kubeconfig {kubeconfig}: correct the path")
    choice = config.choose(context)
    if choice is not None:
        return _by_kubeconfig(
            choice,
            where=str(config),
            namespace=namespace,
            impersonation=impersonate or _impersonation(choice.user),
            clock=clock or SystemClock(),
            plugin_timeout_seconds=plugin_timeout_seconds,
        )
    if not kubeconfig and _is_pod(service_account):
        return _by_service_account(service_account, namespace, impersonate or Impersonation())
    if not config.paths:
        raise AccessError(
            f"there is no way to a cluster: there is no kubeconfig {', '.join(paths)}, and this "
            "is no Pod with a ServiceAccount; set KUBECONFIG to a file"
        )
    raise AccessError(
        f"{config} has no current-context: choose a context; there is: {config.listed_contexts()}"
    )


def _by_kubeconfig(
    choice: Choice,
    *,
    where: str,
    namespace: str | None,
    impersonation: Impersonation,
    clock: Clock,
    plugin_timeout_seconds: float,
) -> Access:
    cluster = choice.cluster
    server = _checked_server(cluster.server, choice.cluster_name)
    proxy = choose_proxy(server, cluster.proxy_url, cluster_name=choice.cluster_name)
    trust: Trust | None = None
    credentials = nobody("they are sent over TLS alone", remedy="use an https:// server")
    if server.startswith("https:"):
        trust = to_trust(choice)
        credentials = to_credentials(
            choice,
            where=where,
            cluster=plugin_cluster(cluster, server=server, proxy=proxy, trust=trust),
            clock=clock,
            plugin_timeout_seconds=plugin_timeout_seconds,
        )
    return Access(
        server=server,
        namespace=_checked_namespace(namespace or choice.namespace or _DEFAULT_NAMESPACE),
        trust=trust,
        server_hostname=cluster.tls_server_name or None,
        proxy=proxy,
        disable_compression=cluster.disable_compression,
        credentials=credentials,
        impersonation=impersonation.headers(what=f"user {choice.user_name!a}"),
    )


def _by_service_account(
    folder: Path, namespace: str | None, impersonation: Impersonation
) -> Access:
    host, port = (os.environ[name] for name in _SERVICE)
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    authority = Pem(what="the cluster's authority", path=str(folder / "ca.crt"))
    return Access(
        server=_checked_server(server, "of this Pod"),
        namespace=_checked_namespace(namespace or _pod_namespace(folder)),
        trust=Trust(authority=authority, is_insecure=False, certificate=None, key=None),
        proxy=choose_proxy(server, "", cluster_name="of this Pod"),
        credentials=TokenFile(str(folder / "token"), what="the ServiceAccount's token"),
        impersonation=impersonation.headers(what="the ServiceAccount"),
    )


def _is_pod(folder: Path) -> bool:
    return all(os.environ.get(name) for name in _SERVICE) and (folder / "token").is_file()


def _pod_namespace(folder: Path) -> str:
    given = os.environ.get("POD_NAMESPACE", "")
    if given:
        return given
    try:
        return (folder / "namespace").read_text().strip() or _DEFAULT_NAMESPACE
    except OSError:
        return _DEFAULT_NAMESPACE


def _impersonation(user: User) -> Impersonation:
    return Impersonation(
        user=user.impersonated_user,
        uid=user.impersonated_uid,
        groups=user.impersonated_groups,
        extra=user.impersonated_extra,
    )


def _checked_namespace(namespace: str) -> str:
    if not _NAMESPACE.fullmatch(namespace):
        raise AccessError(
            f"the namespace {namespace!a} is no valid name: use at most 63 of a-z, 0-9 and -"
        )
    return namespace


def _checked_server(server: str, cluster_name: str) -> str:
    """Messages do not show the URL, which may hold a password."""
    what = f"the server of cluster {cluster_name!a}"
    try:
        parts = urlsplit(server)
        is_whole = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_whole = False
    if not _SERVER.fullmatch(server) or not is_whole:
        raise AccessError(f"{what} is no https:// or http:// URL of a host: correct it")
    return server.rstrip("/")
