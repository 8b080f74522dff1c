"""
Which proxy leads to an API server: the kubeconfig's, or else the environment's.

The rules for the environment are those of Go (``golang.org/x/net/http/httpproxy``), so that
mendloop and kubectl take the same way.
"""

from __future__ import annotations

import ipaddress
import os
from urllib.parse import SplitResult, urlsplit

from mendloop.core.errors import AccessError

__all__ = ["choose_proxy"]

_PORTS = {"http": 80, "https": 443}


def choose_proxy(server: str, proxy_url: str, *, cluster_name: str) -> str | None:
    """
    The URL of the proxy for *server*, or None where it is reached directly.

    Args:
        proxy_url: What the kubeconfig says, or "": then $HTTPS_PROXY (or $HTTP_PROXY for a server
            without TLS) and $NO_PROXY count.
        cluster_name: For messages.

    Raises:
        AccessError: The proxy is of a kind that is not supported, or no URL.
    """
    if proxy_url:
        return _checked(proxy_url, f"the proxy-url of cluster {cluster_name!a}")
    target = urlsplit(server)
    names = (f"{target.scheme.upper()}_PROXY", f"{target.scheme}_proxy")
    for name in names:
        found = os.environ.get(name, "")
        if found:
            is_direct = _is_direct(target)
            url = found if "://" in found else f"http://{found}"
            return None if is_direct else _checked(url, f"${name}")
    return None


def _checked(url: str, what: str) -> str:
    """Messages do not show the URL, which may hold a password."""
    try:
        parts = urlsplit(url)
        is_whole = bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise AccessError(f"{what} is no URL: correct it") from None
    if parts.scheme.startswith("socks5"):
        raise AccessError(f"{what} is a socks5 proxy, which is not supported: use an HTTP proxy")
    if parts.scheme not in _PORTS or not is_whole:
        raise AccessError(f"{what} is no http:// or https:// URL: correct it")
    return url


def _is_direct(target: SplitResult) -> bool:
    host, port = target.hostname or "", target.port or _PORTS[target.scheme]
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    listed = os.environ.get("NO_PROXY", "") or os.environ.get("no_proxy", "")
    return any(_matches(entry.strip().lower(), host, address, port) for entry in listed.split(","))


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _address(host: str) -> _Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _matches(entry: str, host: str, address: _Address | None, port: int) -> bool:
    """Whether *entry* of $NO_PROXY is about this host, or this address, and this port."""
    if entry == "*":
        return True
    if "/" in entry:
        try:
            return address is not None and address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    name, only_port = _split_port(entry)
    if not name or (only_port and only_port != str(port)):
        return False
    if address is not None:
        return _address(name) == address
    suffix = name.removeprefix("*")
    return host.endswith(suffix) if suffix.startswith(".") else f".{host}".endswith(f".{suffix}")


def _split_port(entry: str) -> tuple[str, str]:
    if entry.startswith("["):
        name, _, rest = entry[1:].partition("]")
        return name, rest.removeprefix(":")
    if entry.count(":") == 1:
        name, _, port = entry.partition(":")
        return name, port
    return entry, ""
