"""Which proxy leads to a server, by the environment; the rules are those of Go, and so kubectl's."""

from __future__ import annotations

import pytest

from mendloop.core.errors import AccessError
from mendloop.kube.proxies import choose_proxy

PROXY = "http://proxy.example.com:3128"

# As golang.org/x/net/http/httpproxy has it: what is in $NO_PROXY, a server, whether it is direct.
NO_PROXY = [
    ("", "https://api.example.com:6443", False),
    ("*", "https://api.example.com:6443", True),
    ("example.com", "https://api.example.com:6443", True),
    ("example.com", "https://example.com", True),
    ("example.com", "https://notexample.com", False),
    (".example.com", "https://api.example.com", True),
    (".example.com", "https://example.com", False),
    ("*.example.com", "https://api.example.com", True),
    ("*.example.com", "https://example.com", False),
    ("EXAMPLE.com", "https://api.Example.com", True),
    (" a.com , example.com ,", "https://example.com", True),
    ("example.com:6443", "https://example.com:6443", True),
    ("example.com:6443", "https://example.com", False),
    ("example.com:443", "https://example.com", True),
    (":443", "https://example.com", False),
    ("10.0.0.1", "https://10.0.0.1:6443", True),
    ("10.0.0.1:6443", "https://10.0.0.1:6443", True),
    ("10.0.0.1:6444", "https://10.0.0.1:6443", False),
    ("10.0.0.0/8", "https://10.2.3.4:6443", True),
    ("10.0.0.0/8", "https://11.2.3.4:6443", False),
    ("10.0.0.0/8", "https://ten.example.com", False),
    ("10.0.0.0/99", "https://10.2.3.4", False),
    ("0.0.1", "https://10.0.0.1", False),
    ("fd00::/8", "https://[fd00::1]:6443", True),
    ("fd00::1", "https://[fd00::1]:6443", True),
    ("[fd00::1]", "https://[fd00::1]:6443", True),
    ("[fd00::1]:6443", "https://[fd00::1]:6443", True),
    ("[fd00::1]:443", "https://[fd00::1]:6443", False),
    ("", "https://localhost:6443", True),
    ("", "https://127.0.0.9:6443", True),
    ("", "https://[::1]:6443", True),
]


@pytest.mark.parametrize(("listed", "server", "is_direct"), NO_PROXY)
def test_no_proxy_names_what_is_direct(
    listed: str, server: str, is_direct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that $NO_PROXY names is reached without the proxy, and loopback always is."""
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", listed)

    assert (None if is_direct else PROXY) == choose_proxy(server, "", cluster_name="c")


def test_each_kind_of_server_has_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """$HTTPS_PROXY is for servers with TLS and $HTTP_PROXY for others; either may be lower case."""
    monkeypatch.setenv("https_proxy", "secure.example.com")
    monkeypatch.setenv("HTTP_PROXY", "http://plain.example.com")

    assert "http://secure.example.com" == choose_proxy("https://a.com", "", cluster_name="c")
    assert "http://plain.example.com" == choose_proxy("http://a.com", "", cluster_name="c")
    monkeypatch.setenv("no_proxy", "a.com")
    assert choose_proxy("https://a.com", "", cluster_name="c") is None


def test_the_kubeconfigs_proxy_goes_before_the_environments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the kubeconfig names is the way, whatever $NO_PROXY says."""
    monkeypatch.setenv("HTTPS_PROXY", "http://other.example.com")
    monkeypatch.setenv("NO_PROXY", "*")

    assert PROXY == choose_proxy("https://127.0.0.1", PROXY, cluster_name="c")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("socks5://me:hunter2@p:1080", "$HTTPS_PROXY is a socks5 proxy, which is not supported"),
        ("ftp://me:hunter2@p", "$HTTPS_PROXY is no http:// or https:// URL: correct it"),
        ("http://me:hunter2@p:port", "$HTTPS_PROXY is no URL: correct it"),
        ("http://", "$HTTPS_PROXY is no http:// or https:// URL: correct it"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_told(
    value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy of another kind is refused by the name of its variable, without what is in it."""
    monkeypatch.setenv("HTTPS_PROXY", value)

    with pytest.raises(AccessError) as caught:
        choose_proxy("https://a.com", "", cluster_name="c")

    assert message in str(caught.value)
    assert "hunter2" not in str(caught.value)
