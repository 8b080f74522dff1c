"""Acting as somebody else: the Impersonate-* headers, if the API server lets us."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import quote

import msgspec

from mendloop.core.errors import AccessError
from mendloop.kube.credentials import check_header

__all__ = ["Impersonation"]

# What a header's name may hold, but the percent sign; as client-go escapes it.
_NAME_CHARACTERS = "!#$&'*+-.^_`|~"


class Impersonation(msgspec.Struct, frozen=True, kw_only=True):
    """
    Whom to act as.

    Attributes:
        user: The name; needed where anything else is given.
        uid: Its uid, or "".
        groups: The groups to be in; the server adds none but system:authenticated.
        extra: What else authenticators say of a user, a list of values for each key.
    """

    user: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)

    def headers(self, *, what: str) -> list[tuple[str, str]]:
        """
        The headers, one for each value; none where nobody is impersonated.

        Args:
            what: Where it was asked for, for messages.

        Raises:
            AccessError: There is no user to go with the rest, or a value cannot be a header's.
        """
        headers = list(self._headers())
        if headers and not self.user:
            raise AccessError(f"{what} impersonates without a user: set `as` to a name too")
        for name, value in headers:
            check_header(value, what=f"the {name} of {what}")
        return headers

    def _headers(self) -> Iterator[tuple[str, str]]:
        if self.user:
            yield "Impersonate-User", self.user
        if self.uid:
            yield "Impersonate-Uid", self.uid
        for group in self.groups:
            yield "Impersonate-Group", group
        for key, values in self.extra.items():
            name = f"Impersonate-Extra-{quote(key, safe=_NAME_CHARACTERS)}"
            yield from ((name, value) for value in values)
