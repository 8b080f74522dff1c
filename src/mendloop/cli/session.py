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
        program: Its name, for messages.
        store: The store's spec as given by --store, or the program's own, or "".
        kubeconfig: The file given by --kubeconfig, or "".
        context: Of the kubeconfig, as given by --context, or "".
        namespace: As given by --namespace, or "".
        place: Where the store is, in words for a person, once it was opened; or "".
        output: "table", "json" or "yaml".
        by: Who is named in the history.
    """

    __slots__ = (
        "_by",
        "arguments",
        "context",
        "kubeconfig",
        "namespace",
        "output",
        "place",
        "program",
        "store",
    )

    def __init__(
        self, arguments: Sequence[str], *, program: str = "mendloop", store: str = ""
    ) -> None:
        """Begin with the defaults; the options set what they were given."""
        self.arguments = tuple(arguments)
        self.program = program
        self.store = store
        self.kubeconfig = self.context = self.namespace = self.place = ""
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
        given = self.cluster_options
        if self.store:
            given = {"--store": self.store} | given
        if not given:
            return ""
        import shlex

        return "".join(f" {option} {shlex.quote(value)}" for option, value in given.items())

    @property
    def cluster_options(self) -> dict[str, str]:
        """The options given that say which cluster."""
        options = {
            "--kubeconfig": self.kubeconfig,
            "--context": self.context,
            "--namespace": self.namespace,
        }
        return {option: value for option, value in options.items() if value}


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user that no file knows
        return str(os.getuid())
