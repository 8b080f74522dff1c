"""What it means where a connection fails, and that a write is sent over one of them alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import aiohttp

from mendloop.core.errors import AccessError, StoreUnavailable
from mendloop.kube.errors import Call

__all__ = ["connection_errors", "send_once"]

_PROXY_WANTS_LOGIN = 407


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
        raise AccessError(
            f"{server} shows a certificate that is not trusted ({error.certificate_error}): "
            "correct the server or its certificate-authority in the kubeconfig"
        ) from error
    except aiohttp.ClientHttpProxyError as error:
        if error.status == _PROXY_WANTS_LOGIN:
            raise AccessError(
                "the proxy to the API server wants a name and a password: put them into the "
                "proxy-url of the kubeconfig, or into HTTPS_PROXY"
            ) from error
        raise StoreUnavailable(f"{server}: {call}: the proxy says {error.status}") from error
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise StoreUnavailable(f"{server}: {call}: cannot connect: {error}") from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        what = str(error) or type(error).__name__
        raise StoreUnavailable(
            f"{server}: {call}: the connection failed: {what}", maybe_stored=call.is_write
        ) from error


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
