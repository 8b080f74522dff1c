"""What it means where a connection fails, and that a write is sent over one of them alone."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

import aiohttp

from mendloop.core.errors import AccessError, StoreUnavailable
from mendloop.kube.errors import Call

__all__ = ["connection_errors", "send_once"]

_PROXY_WANTS_LOGIN = 407

_OTHER_NAME = frozenset({62, 64})
"""X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH of OpenSSL."""

_UNREACHED = {
    errno.ECONNREFUSED: "refuses connections: is the server running, and is this its port?",
    errno.EHOSTUNREACH: "cannot be reached: check the network, and the address",
    errno.ENETUNREACH: "cannot be reached: check the network, and the address",
}
_RESET = frozenset({errno.ECONNRESET, errno.EPIPE})


@contextlib.contextmanager
def connection_errors(server: str, call: Call) -> Iterator[None]:
    """
    Say what a failure means to whoever made *call*.

    Args:
        server: Its URL, for the message.
        call: What was asked.

    Raises:
        AccessError: The server or a proxy is not what it should be.
        StoreUnavailable: It may work later; what was written before the connection broke may be
            stored.
    """
    try:
        yield
    except aiohttp.ClientConnectorCertificateError as error:
        raise AccessError(_mistrusted(server, error.certificate_error)) from error
    except aiohttp.ClientHttpProxyError as error:
        if error.status == _PROXY_WANTS_LOGIN:
            raise AccessError(
                "the proxy to the API server wants a name and a password: put them into the "
                "proxy-url of the kubeconfig, or into HTTPS_PROXY"
            ) from error
        raise StoreUnavailable(f"{server}: {call}: the proxy says {error.status}") from error
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise StoreUnavailable(f"{server}: {call}: cannot connect: {_unreached(error)}") from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise StoreUnavailable(
            f"{server}: {call}: the connection failed: {_broken(error)}", maybe_stored=call.is_write
        ) from error


def _mistrusted(server: str, error: Exception) -> str:
    why = str(getattr(error, "verify_message", "") or error).rstrip(".")
    if getattr(error, "verify_code", 0) in _OTHER_NAME:
        return (
            f"{server} shows a certificate that is not trusted, since it is for another name ({why}): "
            "correct the server or its tls-server-name in the kubeconfig"
        )
    return (
        f"{server} shows a certificate that is not trusted ({why}): correct the server or its "
        "certificate-authority in the kubeconfig"
    )


def _unreached(error: aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError) -> str:
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "it does not answer in time: check the address, and the firewalls on the way"
    is_proxy = isinstance(error, aiohttp.ClientProxyConnectionError)
    where = f"{'the proxy ' if is_proxy else ''}{error.host}:{error.port}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"{where}: no address is known for this name: correct it, or check the name service"
    if isinstance(error, aiohttp.ClientSSLError):
        return f"{where} does not speak TLS as an API server does: is this its port?"
    cause = error.os_error
    if isinstance(cause, ConnectionResetError):
        return f"{where} ends connections at once: is this an API server's port?"
    number = cause.errno or 0
    return f"{where} {_UNREACHED.get(number, f'cannot be reached: {_system_words(number)}')}"


def _broken(error: Exception) -> str:
    cause = error.__cause__ if type(error) is aiohttp.ClientConnectionError else error
    if isinstance(cause, TimeoutError):
        return "no answer came in time: the server may be overloaded, or a firewall drops packets"
    if isinstance(cause, aiohttp.ServerDisconnectedError):
        return "the server closed it without an answer"
    if isinstance(cause, aiohttp.ClientPayloadError):
        return "it ended in the middle of the answer"
    number = (cause.errno or 0) if isinstance(cause, OSError) else 0
    if number in _RESET or isinstance(cause, ConnectionResetError):
        return "it was reset by the server, or by something on the way"
    if isinstance(cause, aiohttp.ClientResponseError):
        return "what came is no HTTP: is that an API server?"
    return _system_words(number)


def _system_words(number: int) -> str:
    return os.strerror(number) if number > 0 else "it broke"


async def send_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """
    Send a write once.

    aiohttp sends a DELETE again by itself where a used connection breaks; what the first one has
    removed would then look like a conflict.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientConnectionError(str(error)) from error
