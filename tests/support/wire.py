"""What arrives on the wire: a TLS server and a proxy that write down who called, and a caller."""

from __future__ import annotations

import json

import aiohttp

from mendloop.kube.access import Access

__all__ = ["ask"]


async def ask(
    access: Access, method: str = "GET", path: str = "/version", body: object = None
) -> tuple[int, bytes]:
    """Send one request by way of *access*; return the status and the answer."""
    headers = await access.headers()
    headers["Content-Type"] = "application/json"
    async with (
        aiohttp.ClientSession() as session,
        session.request(
            method,
            access.server + path,
            data=None if body is None else json.dumps(body),
            headers=headers,
            ssl=access.ssl or True,
            server_hostname=access.server_hostname,
            proxy=access.proxy,
        ) as answer,
    ):
        return answer.status, await answer.read()
