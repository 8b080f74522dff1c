"""Who we are to an API server: nobody, a token, a name with a password, or a file with a token."""

from __future__ import annotations

import base64
import re
from datetime import datetime
from typing import Protocol

import msgspec

from mendloop.core.errors import AccessError
from mendloop.kube.tls import Pair

__all__ = ["Credential", "Credentials", "Fixed", "TokenFile", "basic", "bearer", "check_header"]

_NOT_IN_HEADERS = re.compile(r"[^\t\x20-\x7e\x80-\U0010ffff]|[\ud800-\udfff]")


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """
    What to show to an API server.

    Attributes:
        authorization: The value of the header, or "" for none.
        pair: A certificate for the TLS handshake beside the user's own, or None.
        expires: When it is no good any more, or None where that is not known.
    """

    authorization: str = ""
    pair: Pair | None = None
    expires: datetime | None = None

    def __repr__(self) -> str:
        """Show no secret."""
        return f"<{type(self).__name__}>"


class Credentials(Protocol):
    """
    Where credentials come from.

    Attributes:
        what: In words for messages, such as "the token of user 'me'".
        remedy: What to do where the server does not accept them.
    """

    what: str
    remedy: str

    async def get(self) -> Credential:
        """
        The credential for the next request.

        Raises:
            AccessError: There should be one, and it cannot be had.
        """

    def forget(self) -> None:
        """Do not give again what is remembered."""

    async def close(self) -> None:
        """End what is still running."""


class Fixed:
    """What never changes."""

    def __init__(self, authorization: str, *, what: str, remedy: str) -> None:
        """Give the header *authorization*, or none where it is ""."""
        self.what = what
        self.remedy = remedy
        self._credential = Credential(authorization=authorization)

    async def get(self) -> Credential:
        """The one that there is."""
        return self._credential

    def forget(self) -> None:
        """There is no other."""

    async def close(self) -> None:
        """Nothing is running."""


class TokenFile:
    """A token that others keep fresh in a file, such as a Pod's; read for each request."""

    def __init__(self, path: str, *, what: str) -> None:
        """
        Read it once, so that a wrong path is known at once.

        Raises:
            AccessError: There is no token in the file.
        """
        self.what = f"{what} in {path}"
        self.remedy = "put a fresh one into the file"
        self._path = path
        self._read()

    async def get(self) -> Credential:
        """The token that is there now."""
        return self._read()

    def forget(self) -> None:
        """Nothing is remembered."""

    async def close(self) -> None:
        """Nothing is running."""

    def _read(self) -> Credential:
        try:
            with open(self._path, encoding="utf-8") as file:  # noqa: PTH123 - a text, as configured
                token = file.read().strip()
        except OSError as error:
            raise AccessError(f"{self.what} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError:
            raise AccessError(f"{self.what} is no text: put a token into the file") from None
        if not token:
            raise AccessError(f"{self.what} is missing: the file is empty")
        return Credential(authorization=bearer(token, what=self.what))


def bearer(token: str, *, what: str) -> str:
    """
    The header for a token.

    Raises:
        AccessError: It cannot stand in a header; the message names it by *what*.
    """
    check_header(token, what=what)
    return f"Bearer {token}"


def basic(username: str, password: str) -> str:
    """The header for a name and a password."""
    return f"Basic {base64.b64encode(f'{username}:{password}'.encode()).decode('ascii')}"


def check_header(value: str, *, what: str) -> None:
    """
    Refuse what would end a header.

    Raises:
        AccessError: It cannot stand in one; the message names it by *what*.
    """
    if _NOT_IN_HEADERS.search(value):
        raise AccessError(f"{what} has a character that a header cannot have, such as a line end")
