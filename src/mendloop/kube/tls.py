"""
TLS to an API server: whom we trust, and the certificate that we show.

As client-go does it: a cluster's own authority replaces those of the system and need not be a root
itself, the checks that Python 3.13 adds (``VERIFY_X509_STRICT``) are left out, since clusters have
certificates that fail them, and files are read again when they change.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import ssl
import sys
import tempfile
from contextlib import ExitStack
from typing import IO

import msgspec

from mendloop.core.errors import AccessError

__all__ = ["Pair", "Pem", "Trust"]

_CERTIFICATE = re.compile(
    rb"-----BEGIN CERTIFICATE-----[\s\w+/=]*?-----END CERTIFICATE-----", re.ASCII
)
_ENCRYPTED = re.compile(
    rb"-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED", re.MULTILINE
)


class Pem(msgspec.Struct, frozen=True, kw_only=True):
    """
    A certificate or a key, in a file or in the configuration itself.

    Attributes:
        what: Which it is, in words for messages, such as "the client-key of user 'me'".
        path: Its file, or "".
        data: Itself in base64, or "".
    """

    what: str
    path: str = ""
    data: str = ""

    def __repr__(self) -> str:
        """Show no secret."""
        return f"<{type(self).__name__} {self.what}>"

    def read(self) -> bytes:
        """
        Get its content.

        Raises:
            AccessError: The file cannot be read, or the data is not base64.
        """
        if self.data:
            try:
                return base64.b64decode("".join(self.data.split()), validate=True)
            except (binascii.Error, ValueError):
                raise AccessError(f"{self.what} is not base64: correct it") from None
        try:
            with open(self.path, "rb") as file:  # noqa: PTH123 - a text, as in the configuration
                return file.read()
        except OSError as error:
            raise AccessError(
                f"{self.what} cannot be read: {self.path}: {error.strerror}"
            ) from error

    def stamp(self) -> tuple[int, ...]:
        """What changes when the file does."""
        if not self.path:
            return ()
        try:
            status = os.stat(self.path)  # noqa: PTH116 - see above
        except OSError:
            return (-1,)
        return status.st_ino, status.st_size, status.st_mtime_ns


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """
    A client certificate with its key.

    Attributes:
        owner: Whose it is, in words for messages.
        certificate: In PEM, with what links it to the authority.
        key: In PEM.
    """

    owner: str
    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        """Show no secret."""
        return f"<{type(self).__name__} {self.owner}>"


class Trust:
    """What connections to one API server are made with."""

    def __init__(
        self, *, authority: Pem | None, is_insecure: bool, certificate: Pem | None, key: Pem | None
    ) -> None:
        """
        Take the parts; nothing is read yet.

        Args:
            authority: Vouches for the server, or None for those whom the system trusts.
            is_insecure: Whether to believe any server that it is the right one.
            certificate: Ours, or None.
            key: That of *certificate*.
        """
        self._authority = authority
        self._is_insecure = is_insecure
        self._certificate = certificate
        self._key = key
        self._context: ssl.SSLContext | None = None
        self._stamps: list[tuple[int, ...]] = []
        self._pair: Pair | None = None

    def context(self, pair: Pair | None = None) -> ssl.SSLContext:
        """
        The context for the next connection: another object when a file or *pair* has changed.

        Files that are no good any more, such as a certificate whose new key is not written yet,
        change nothing: the connections go on with the last good ones.

        Args:
            pair: What a plugin gave us to show, where we have no certificate of our own.

        Raises:
            AccessError: A part cannot be used: *pair*, or a file that never could.
        """
        parts = [part for part in (self._authority, self._certificate, self._key) if part]
        stamps = [part.stamp() for part in parts]
        if self._context is None or pair != self._pair:
            self._context = self._make(pair)
        elif stamps != self._stamps:
            try:
                self._context = self._make(pair)
            except AccessError:
                return self._context
        self._stamps, self._pair = stamps, pair
        return self._context

    def authority_pem(self) -> bytes:
        """The authority's certificates, or nothing where it is the system's."""
        return self._authority.read() if self._authority else b""

    def _make(self, pair: Pair | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self._authorities())
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if self._is_insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self._certificate and self._key:
            pair = Pair(
                owner=self._certificate.what,
                certificate=self._certificate.read(),
                key=self._key.read(),
            )
        if pair:
            _show(context, pair)
        return context

    def _authorities(self) -> str | None:
        if not self._authority:
            return None
        blocks = _CERTIFICATE.findall(self._authority.read())
        text = b"\n".join(blocks).decode("ascii")
        try:
            # Two that are the same are one, and none is an error.
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
        except (ssl.SSLError, ValueError):
            raise AccessError(f"{self._authority.what} holds no usable certificate") from None
        return text


def _show(context: ssl.SSLContext, pair: Pair) -> None:
    """
    Let *context* show a certificate; OpenSSL reads it from a file that has no name.

    Raises:
        AccessError: It cannot be used.
    """
    if _ENCRYPTED.search(pair.key):
        raise AccessError(
            f"the key for {pair.owner} is encrypted: give it without a passphrase (openssl pkey)"
        )
    with ExitStack() as files:
        paths = [
            _file_of(files.enter_context(_nameless()), content)
            for content in (pair.certificate, pair.key)
        ]
        try:
            context.load_cert_chain(*paths)
        except ssl.SSLError as error:
            reason = (error.reason or "").replace("_", " ").lower() or "not PEM"
            raise AccessError(
                f"{pair.owner} cannot be used: certificate and key: {reason}"
            ) from None


def _nameless() -> IO[bytes]:
    """A file in memory where the system has such, else one of ours alone that goes with us."""
    if sys.platform == "linux":
        return os.fdopen(os.memfd_create("pem"), "w+b")
    return tempfile.TemporaryFile()


def _file_of(file: IO[bytes], content: bytes) -> str:
    file.write(content)
    file.flush()
    file.seek(0)
    return f"/dev/fd/{file.fileno()}"
