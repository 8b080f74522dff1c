"""
Credential plugins: the commands that a kubeconfig names to get a token or a certificate from.

The protocol is client-go's (``client.authentication.k8s.io``, v1 and v1beta1): a description of
the call goes in by an environment variable, an ExecCredential comes out on standard output.
https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins

A plugin gets no standard input, since a loop has none to give, and has a time limit. What goes
wrong with it is an error: a request without credentials is never its result.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal as signals
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any, cast

import msgspec

from mendloop.clock import Clock
from mendloop.core.errors import AccessError
from mendloop.core.text import redact_secrets, tidy
from mendloop.kube.credentials import Credential, bearer
from mendloop.kube.kubeconfig import Exec
from mendloop.kube.tls import Pair

__all__ = ["TIMEOUT_SECONDS", "ExecPlugin"]

TIMEOUT_SECONDS = 60.0

_GROUP = "client.authentication.k8s.io"
_VERSIONS = (f"{_GROUP}/v1", f"{_GROUP}/v1beta1")
_MODES = ("Never", "IfAvailable", "Always")
_STDOUT, _STDERR = 1, 2
_STDOUT_LIMIT_BYTES = 1024 * 1024
_TAIL_LIMIT_BYTES = 4096
_SHOWN_LIMIT_BYTES = 512
_LAST_BYTES_SECONDS = 1.0
_GRACE_SECONDS = 2.0


class _Status(msgspec.Struct, rename="camel"):
    token: str | None = None
    client_certificate_data: str | None = None
    client_key_data: str | None = None
    expiration_timestamp: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class _Answer(msgspec.Struct, rename="camel"):
    api_version: str = ""
    kind: str = ""
    status: _Status | None = None


class ExecPlugin:
    """One user's plugin."""

    def __init__(
        self,
        plugin: Exec,
        *,
        user_name: str,
        cluster: dict[str, Any],
        clock: Clock,
        timeout_seconds: float,
    ) -> None:
        """
        Check what the kubeconfig says of it; it does not run yet.

        Args:
            plugin: As the kubeconfig has it.
            user_name: Whose it is, for messages.
            cluster: What it is told of the cluster, where it asks to be.
            clock: Tells what is expired.
            timeout_seconds: For one run.

        Raises:
            AccessError: Something is missing, or is not supported.
        """
        self.name = f"the exec plugin {plugin.command!a} of user {user_name!a}"
        self._plugin = plugin
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._check()
        spec: dict[str, Any] = {"interactive": False}
        if plugin.provide_cluster_info:
            spec["cluster"] = cluster
        self._info = json.dumps(
            {"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec}
        )

    async def run(self) -> Credential:
        """
        Run it to its end and take the credentials that it prints.

        Raises:
            AccessError: It is not there, fails, takes too long or prints no valid credentials; the
                message names it and ends with what it printed to standard error.
        """
        stdout, stderr = await self._output()
        try:
            return self._read(stdout)
        except AccessError as error:
            raise AccessError(f"{error}{_tail(stderr)}") from None

    def _check(self) -> None:
        plugin = self._plugin
        if not plugin.command:
            raise AccessError(f"{self.name} names no command: set exec.command")
        if plugin.api_version not in _VERSIONS:
            raise AccessError(
                f"{self.name} has the apiVersion {plugin.api_version!a}; "
                f"set one of {', '.join(_VERSIONS)}, whichever it prints"
            )
        if any(not variable.name for variable in plugin.env):
            raise AccessError(f"{self.name} has a variable without a name in exec.env")
        is_v1 = plugin.api_version == _VERSIONS[0]
        mode = plugin.interactive_mode or ("" if is_v1 else "IfAvailable")
        if mode not in _MODES:
            raise AccessError(
                f"{self.name} has the interactiveMode {mode!a}; set one of {', '.join(_MODES)}"
            )
        if mode == "Always":
            raise AccessError(
                f"{self.name} has the interactiveMode 'Always', and mendloop has no terminal to "
                f"give it: use credentials that need nobody's answer"
            )

    async def _output(self) -> tuple[bytes, bytes]:
        """Run it; answer what it printed to standard output, and the end of its complaints."""
        loop = asyncio.get_running_loop()
        transport, protocol = await self._start(loop)
        is_whole = False
        try:
            await asyncio.wait(
                {protocol.exited, protocol.overflow},
                timeout=self._timeout_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if protocol.exited.done():
                # Who has been left in the background may hold the pipes for ever.
                await asyncio.wait({protocol.drained}, timeout=_LAST_BYTES_SECONDS)
            code = transport.get_returncode()
            trouble = self._trouble(protocol, code)
            if trouble:
                raise AccessError(f"{self.name} {trouble}{_tail(protocol.stderr)}")
            is_whole = True
        finally:
            if not is_whole:
                await _end(transport.get_pid(), protocol.exited)
            transport.close()
        return bytes(protocol.stdout), bytes(protocol.stderr)

    def _trouble(self, protocol: _Output, code: int | None) -> str:
        if protocol.overflow.done():
            return f"printed more than {_STDOUT_LIMIT_BYTES} bytes"
        if code is None:
            return f"did not end within {self._timeout_seconds:g} s and was ended"
        if code < 0:
            return f"was ended by signal {-code}"
        return f"failed with exit code {code}" if code else ""

    async def _start(
        self, loop: asyncio.AbstractEventLoop
    ) -> tuple[asyncio.SubprocessTransport, _Output]:
        plugin = self._plugin
        command = shutil.which(plugin.command)
        if command is None:
            hint = _shown(plugin.install_hint)
            raise AccessError(
                f"{self.name} is not found: install it, or correct exec.command"
                + (f"; its hint: {hint}" if hint else "")
            )
        environment = os.environ | {variable.name: variable.value for variable in plugin.env}
        environment["KUBERNETES_EXEC_INFO"] = self._info
        try:
            transport, protocol = await loop.subprocess_exec(
                lambda: _Output(loop),
                command,
                *plugin.args,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "an argument or a variable is not valid"
            raise AccessError(f"{self.name} cannot be started: {reason}") from None
        return transport, protocol

    def _read(self, stdout: bytes) -> Credential:
        try:
            answer = msgspec.json.decode(stdout, type=_Answer)
        except (ValueError, RecursionError):
            raise AccessError(f"{self.name} printed no ExecCredential in JSON") from None
        if answer.kind != "ExecCredential":
            raise AccessError(f"{self.name} printed no ExecCredential")
        if answer.api_version != self._plugin.api_version:
            raise AccessError(
                f"{self.name} printed the apiVersion {_shown(answer.api_version)!a}, and the "
                f"kubeconfig says {self._plugin.api_version!a}: set exec.apiVersion to what it prints"
            )
        status = answer.status or _Status()
        certificate, key = status.client_certificate_data, status.client_key_data
        if bool(certificate) != bool(key):
            raise AccessError(f"{self.name} printed a certificate or a key, and not both")
        if not status.token and not certificate:
            raise AccessError(f"{self.name} printed no credentials")
        expires = status.expiration_timestamp
        if expires is not None and expires <= self._clock.now():
            raise AccessError(
                f"{self.name} printed credentials that expired at {expires.isoformat()}: "
                "log in with it again, or set this machine's clock"
            )
        pair = None
        if certificate and key:
            pair = Pair(owner=self.name, certificate=certificate.encode(), key=key.encode())
        authorization = ""
        if status.token:
            authorization = bearer(status.token, what=f"the token from {self.name}")
        return Credential(authorization=authorization, pair=pair, expires=expires)


class _Output(asyncio.SubprocessProtocol):
    """What a plugin prints, up to a limit; of its complaints only the end."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.exited: asyncio.Future[None] = loop.create_future()
        self.drained: asyncio.Future[None] = loop.create_future()
        self.overflow: asyncio.Future[None] = loop.create_future()
        self._open = {_STDOUT, _STDERR}

    def pipe_data_received(self, fd: int, data: bytes | str) -> None:
        chunk = cast("bytes", data)
        if fd == _STDERR:
            self.stderr += chunk
            del self.stderr[:-_TAIL_LIMIT_BYTES]
        elif len(self.stdout) + len(chunk) <= _STDOUT_LIMIT_BYTES:
            self.stdout += chunk
        elif not self.overflow.done():
            self.overflow.set_result(None)

    def pipe_connection_lost(self, fd: int, _exc: Exception | None) -> None:
        self._open.discard(fd)
        if not self._open and not self.drained.done():
            self.drained.set_result(None)

    def process_exited(self) -> None:
        if not self.exited.done():
            self.exited.set_result(None)


async def _end(pid: int, exited: asyncio.Future[None]) -> None:
    """End a plugin and what it has started: SIGTERM, a grace, SIGKILL."""
    gone = (ProcessLookupError, PermissionError)  # macOS: no permission for those not yet reaped
    try:
        with suppress(*gone):
            os.killpg(pid, signals.SIGTERM)
        await asyncio.wait({exited}, timeout=_GRACE_SECONDS)
    finally:
        with suppress(*gone):
            os.killpg(pid, signals.SIGKILL)
    await asyncio.wait({exited}, timeout=_GRACE_SECONDS)


def _tail(stderr: bytes | bytearray) -> str:
    """What a plugin complained of last, as the end of a message."""
    shown = _shown(stderr.decode(errors="replace"))
    return f"; it said: {shown}" if shown else ""


def _shown(text: str) -> str:
    """The end of a text as one line without secrets."""
    line = " ".join(tidy(text, limit_bytes=4 * _TAIL_LIMIT_BYTES, redact=redact_secrets).split())
    return f"…{line[-_SHOWN_LIMIT_BYTES:]}" if len(line) > _SHOWN_LIMIT_BYTES else line
