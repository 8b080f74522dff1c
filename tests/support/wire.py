"""What arrives on the wire: a TLS server and a proxy that write down who called, and two callers."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import json
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import aiohttp
import trustme
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mendloop.kube.access import Access

__all__ = ["Pki", "Proxy", "Seen", "Wire", "ask", "ask_in", "ask_with_kubectl"]


class Seen(NamedTuple):
    """
    One request as it arrived.

    Attributes:
        authorization: The header, or "".
        impersonation: The Impersonate-* headers, in order of their names.
        certificate: The common name in the client's certificate, or "".
        server_name: The name that was asked for in the handshake, or "".
        accepts: The encodings that the caller takes, or "".
    """

    authorization: str
    impersonation: list[tuple[str, str]]
    certificate: str
    server_name: str
    accepts: str


class Pki:
    """
    An authority, and what it and another one have signed, as files in a folder.

    ca.pem vouches for the server; client.pem with client.key is of "alice", other.pem with
    other.key of "bob"; stranger.pem is of an authority that nobody trusts.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ca = trustme.CA()
        self._ca.cert_pem.write_to_path(str(folder / "ca.pem"))
        trustme.CA().cert_pem.write_to_path(str(folder / "stranger.pem"))
        for stem, name in (("client", "alice"), ("other", "bob")):
            self.issue(stem, name)

    def issue(self, stem: str, common_name: str) -> None:
        """Write a client certificate and its key."""
        issued = self._ca.issue_cert("client@example.com", common_name=common_name)
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        (self.folder / f"{stem}.pem").write_bytes(chain)
        issued.private_key_pem.write_to_path(str(self.folder / f"{stem}.key"))

    def server_context(self, *names: str) -> ssl.SSLContext:
        """What a server needs that is known by these names, and asks for client certificates."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(*names).configure_cert(context)
        context.load_verify_locations(str(self.folder / "ca.pem"))
        context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def branch_context(self, *names: str) -> ssl.SSLContext:
        """What a server needs whose authority, in branch.pem, is no root."""
        branch = self._ca.create_child_ca()
        branch.cert_pem.write_to_path(str(self.folder / "branch.pem"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        branch.issue_cert(*names).configure_cert(context)
        return context

    def plain_context(self, address: str) -> ssl.SSLContext:
        """What a server needs whose authority, in plain.pem, links its certificates by name alone."""
        names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, n)]) for n in ("old", "leaf")]
        keys = [ec.generate_private_key(ec.SECP256R1()) for _ in names]
        alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        extensions = [
            (x509.BasicConstraints(ca=True, path_length=None), False),
            (alternative, False),
        ]
        now = datetime.now(UTC)
        pems = []
        for name, key, (extension, is_critical) in zip(names, keys, extensions, strict=True):
            builder = x509.CertificateBuilder().subject_name(name).issuer_name(names[0])
            builder = builder.public_key(key.public_key()).serial_number(len(pems) + 1)
            builder = builder.not_valid_before(now - timedelta(days=1))
            builder = builder.not_valid_after(now + timedelta(days=1))
            signed = builder.add_extension(extension, is_critical).sign(keys[0], hashes.SHA256())
            pems.append(signed.public_bytes(serialization.Encoding.PEM))
        (self.folder / "plain.pem").write_bytes(pems[0])
        secret = keys[1].private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        (self.folder / "plain-leaf.pem").write_bytes(pems[1] + secret)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "plain-leaf.pem")
        return context

    def data(self, name: str) -> str:
        """A file in base64, as a kubeconfig has it."""
        return base64.b64encode((self.folder / name).read_bytes()).decode()


class Wire:
    """A server on loopback that answers all it is asked with `status`; a context manager."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self.seen: list[Seen] = []
        self.status = 200
        self._context = context
        self._names: list[str] = []
        if context:
            context.sni_callback = self._note_name

    async def __aenter__(self) -> Self:
        self._runner = web.ServerRunner(web.Server(self._answer))  # type: ignore[arg-type]
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._context)
        await site.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._runner.cleanup()

    @property
    def port(self) -> int:
        return int(self._runner.addresses[0][1])

    @property
    def url(self) -> str:
        return f"http{'s' if self._context else ''}://127.0.0.1:{self.port}"

    @property
    def handshakes(self) -> int:
        """How many connections have got as far as naming the server they want."""
        return len(self._names)

    def _note_name(self, link: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        self._names.append(name or "")

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        certificate = request.transport.get_extra_info("peercert") or {}
        subject = dict(part[0] for part in certificate.get("subject", ()))
        headers = request.headers
        self.seen.append(
            Seen(
                authorization=headers.get("Authorization", ""),
                impersonation=sorted(
                    (name, value)
                    for name, value in headers.items()
                    if name.startswith("Impersonate-")
                ),
                certificate=subject.get("commonName", ""),
                server_name=self._names[-1] if self._names else "",
                accepts=headers.get("Accept-Encoding", ""),
            )
        )
        return web.json_response({}, status=self.status)


class Proxy:
    """An HTTP proxy on loopback that counts its tunnels; a context manager."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.tunnels: list[str] = []
        self._context = context
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def port(self) -> int:
        return int(self._server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, target, _ = head.split(" ", 2)
        login = [line for line in head.splitlines() if line.lower().startswith("proxy-auth")]
        self.tunnels.append(" ".join([method, *login]))
        host, _, port = target.rpartition(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        finally:
            far_writer.close()
            writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(65536):
        writer.write(chunk)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
    else:
        writer.close()


async def ask(
    access: Access, method: str = "GET", path: str = "/version", body: object = None
) -> tuple[int, bytes]:
    """Send one request by way of *access*; return the status and the answer."""
    async with aiohttp.ClientSession() as session:
        return await ask_in(session, access, method, path, body)


async def ask_in(
    session: aiohttp.ClientSession,
    access: Access,
    method: str = "GET",
    path: str = "/version",
    body: object = None,
) -> tuple[int, bytes]:
    """Send one request over the connections of *session*."""
    headers = await access.headers()
    headers["Content-Type"] = "application/json"
    headers["Accept-Encoding"] = "identity" if access.disable_compression else "gzip"
    async with session.request(
        method,
        access.server + path,
        data=None if body is None else json.dumps(body),
        headers=headers,
        ssl=access.ssl or True,
        server_hostname=access.server_hostname,
        proxy=access.proxy,
    ) as answer:
        return answer.status, await answer.read()


async def ask_with_kubectl(kubectl: str, *options: str) -> tuple[int, str]:
    """Let kubectl send one request; return its exit code and what it complained of."""
    process = await asyncio.create_subprocess_exec(
        kubectl,
        *options,
        "get",
        "--raw=/version",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, stderr = await process.communicate()
    assert process.returncode is not None
    return process.returncode, stderr.decode()
