"""What the command line said that holds for every command."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

__all__ = ["Session"]


class Session:
    """
    One call of the command line.

    Attributes:
        arguments: As they were typed, without the program's name.
        store: The store's spec as given by --store, or "".
        output: "table", "json" or "yaml".
        by: Who is named in the history.
    """

    __slots__ = ("_by", "arguments", "output", "store")

    def __init__(self, arguments: Sequence[str]) -> None:
        """Begin with the defaults; the options set what they were given."""
        self.arguments = tuple(arguments)
        self.store = ""
        self.output = "table"
        self._by = ""

    @property
    def by(self) -> str:
        """The name given by --by, or user@host."""
        return self._by or f"{_user()}@{os.uname().nodename}"

    @by.setter
    def by(self, name: str) -> None:
        self._by = name

    @property
    def is_terminal(self) -> bool:
        """Whether standard output is a terminal that can move its cursor."""
        return sys.stdout.isatty() and os.environ.get("TERM") not in {None, "", "dumb"}

    @property
    def store_option(self) -> str:
        """What to add to a command that is proposed, so that it means the same store."""
        if not self.store:
            return ""
        import shlex

        return f" --store {shlex.quote(self.store)}"


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user that no file knows
        return str(os.getuid())
