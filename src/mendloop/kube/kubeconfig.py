"""
Kubeconfig files: which are read, how several become one, and what a context names.

The fields are those of the kubeconfig v1 API, and the rules those of client-go 1.37
(``tools/clientcmd``): of several files the first to set a name or the current context wins, a
missing file is none, a relative path is relative to its own file, and a field that nobody knows is
ignored. https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeVar

import msgspec
import yaml

from mendloop.core.errors import AccessError

__all__ = [
    "AuthProvider",
    "Choice",
    "Cluster",
    "Context",
    "Exec",
    "ExecVariable",
    "Extension",
    "Kubeconfig",
    "User",
    "kubeconfig_paths",
]

_LISTED_NAMES = 12


class _Part(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What a kubeconfig is made of; shown without its members, since some of them are secrets."""

    def __repr__(self) -> str:
        """Show no secret."""
        return f"<{type(self).__name__}>"


class Extension(_Part, frozen=True, kw_only=True):
    """What others keep in a kubeconfig."""

    name: str = ""
    extension: Any = None


class Cluster(_Part, frozen=True, kw_only=True):
    """Where an API server is, and how it is known to be the right one."""

    server: str = ""
    tls_server_name: str = ""
    insecure_skip_tls_verify: bool = False
    certificate_authority: str = ""
    certificate_authority_data: str = ""
    proxy_url: str = ""
    disable_compression: bool = False
    extensions: tuple[Extension, ...] = ()


class ExecVariable(_Part, frozen=True, kw_only=True):
    """A variable in a plugin's environment."""

    name: str = ""
    value: str = ""


class Exec(_Part, frozen=True, kw_only=True, rename="camel"):
    """A command that prints credentials."""

    command: str = ""
    args: tuple[str, ...] = ()
    env: tuple[ExecVariable, ...] = ()
    api_version: str = ""
    install_hint: str = ""
    provide_cluster_info: bool = False
    interactive_mode: str = ""


class AuthProvider(_Part, frozen=True, kw_only=True):
    """A way to log in that was compiled into older clients."""

    name: str = ""


class User(_Part, frozen=True, kw_only=True):
    """Who we are to an API server, and whom we act as."""

    client_certificate: str = ""
    client_certificate_data: str = ""
    client_key: str = ""
    client_key_data: str = ""
    token: str = ""
    token_file: str = msgspec.field(default="", name="tokenFile")
    impersonated_user: str = msgspec.field(default="", name="as")
    impersonated_uid: str = msgspec.field(default="", name="as-uid")
    impersonated_groups: tuple[str, ...] = msgspec.field(default=(), name="as-groups")
    impersonated_extra: dict[str, tuple[str, ...]] = msgspec.field(
        default_factory=dict, name="as-user-extra"
    )
    username: str = ""
    password: str = ""
    auth_provider: AuthProvider | None = None
    exec: Exec | None = None


class Context(_Part, frozen=True, kw_only=True):
    """Which user talks to which cluster, and about which namespace."""

    cluster: str = ""
    user: str = ""
    namespace: str = ""


class _NamedCluster(_Part, frozen=True, kw_only=True):
    name: str = ""
    cluster: Cluster = Cluster()


class _NamedUser(_Part, frozen=True, kw_only=True):
    name: str = ""
    user: User = User()


class _NamedContext(_Part, frozen=True, kw_only=True):
    name: str = ""
    context: Context = Context()


class _File(_Part, frozen=True, kw_only=True):
    kind: str = msgspec.field(default="Config", name="kind")
    api_version: str = msgspec.field(default="v1", name="apiVersion")
    clusters: tuple[_NamedCluster, ...] = ()
    users: tuple[_NamedUser, ...] = ()
    contexts: tuple[_NamedContext, ...] = ()
    current_context: str = ""


_T = TypeVar("_T")


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a context names, with its paths made absolute.

    Attributes:
        cluster_name: For messages.
        user_name: For messages.
    """

    cluster_name: str
    cluster: Cluster
    user_name: str
    user: User
    namespace: str


class Kubeconfig:
    """All kubeconfig files as one."""

    def __init__(self, paths: Iterable[str]) -> None:
        """
        Read the files; those that are not there are none.

        Raises:
            AccessError: A file cannot be read, or is no kubeconfig.
        """
        self.paths: list[str] = []
        self.current_context = ""
        self._clusters = _Names[Cluster]("cluster")
        self._users = _Names[User]("user")
        self._contexts = _Names[Context]("context")
        for path in paths:
            try:
                content = _read(path)
            except FileNotFoundError:
                continue
            self.paths.append(path)
            self._add(path, content)

    def choose(self, context: str | None) -> Choice | None:
        """
        Follow a context to its cluster and its user.

        Args:
            context: Its name, or None for the current one.

        Returns:
            None where none is asked for and none is current.

        Raises:
            AccessError: There is no such context, or it names what is not there.
        """
        name = context or self.current_context
        if not name:
            return None
        chosen = self._contexts.find(name, self.paths)
        if not chosen.cluster:
            raise AccessError(f"the context {name!a} of {self} names no cluster: set one")
        return Choice(
            cluster_name=chosen.cluster,
            cluster=self._clusters.find(chosen.cluster, self.paths),
            user_name=chosen.user,
            user=self._users.find(chosen.user, self.paths) if chosen.user else User(),
            namespace=chosen.namespace,
        )

    def listed_contexts(self) -> str:
        """The names of the contexts, for messages."""
        return self._contexts.listed()

    def __str__(self) -> str:
        """The files that were read, for messages."""
        return ", ".join(self.paths)

    def _add(self, path: str, content: bytes) -> None:
        file = _parsed(path, content)
        folder = os.path.dirname(os.path.abspath(path))  # noqa: PTH100, PTH120 - as client-go does it
        self._clusters.add(path, ((n.name, _located(n.cluster, folder)) for n in file.clusters))
        self._users.add(path, ((n.name, _located_user(n.user, folder)) for n in file.users))
        self._contexts.add(path, ((n.name, n.context) for n in file.contexts))
        self.current_context = self.current_context or file.current_context


class _Names(Generic[_T]):
    """What the files call clusters, users or contexts."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self.parts: dict[str, _T] = {}

    def add(self, path: str, parts: Iterable[tuple[str, _T]]) -> None:
        """Take what one file has, but for names that an earlier one has set."""
        own: dict[str, _T] = {}
        for name, part in parts:
            if name in own:
                raise AccessError(f"{path} has two {self._kind}s named {name!a}: remove one")
            own[name] = part
        self.parts = own | self.parts

    def find(self, name: str, paths: Sequence[str]) -> _T:
        try:
            return self.parts[name]
        except KeyError:
            raise AccessError(
                f"there is no {self._kind} {name!a} in {', '.join(paths) or 'any kubeconfig'}; "
                f"there is: {self.listed()}"
            ) from None

    def listed(self) -> str:
        """The names, as many as a message can bear."""
        names = sorted(self.parts)
        more = len(names) - _LISTED_NAMES
        shown = ", ".join(names[:_LISTED_NAMES]) or "none"
        return f"{shown} and {more} more" if more > 0 else shown


def kubeconfig_paths(kubeconfig: str | None) -> list[str]:
    """
    The files to read, the first the strongest.

    Args:
        kubeconfig: The one file that was asked for, or None for those of $KUBECONFIG, or else
            ``~/.kube/config``.
    """
    if kubeconfig:
        return [kubeconfig]
    listed = os.environ.get("KUBECONFIG", "")
    if listed:
        return [path for path in listed.split(os.pathsep) if path]
    return [os.path.expanduser("~/.kube/config")]  # noqa: PTH111 - a Path fails where nobody is at home


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - `~` and `..` stay as they are given
            return file.read()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise AccessError(f"the kubeconfig {path} cannot be read: {error.strerror}") from error


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc] # which it is, depends on the build
    """Reads a date as the text that it is, as Go does."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's way to say it
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _parsed(path: str, content: bytes) -> _File:
    """
    Decode a file; messages tell places and no content, which may be a secret.

    Raises:
        AccessError: It is no kubeconfig.
    """
    try:
        loaded = _without_nulls(yaml.load(content, _Loader))  # noqa: S506 - it is a safe loader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise AccessError(f"the kubeconfig {path} is not YAML{place}: correct it") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise AccessError(f"the kubeconfig {path} is not YAML: correct it") from None
    try:
        file = msgspec.convert({} if loaded is None else loaded, _File)
    except msgspec.ValidationError as error:
        raise AccessError(f"the kubeconfig {path} is not valid: {error}") from None
    if (file.kind, file.api_version) != ("Config", "v1"):
        raise AccessError(f"{path} is no kubeconfig: it needs kind Config and apiVersion v1")
    return file


def _without_nulls(value: Any) -> Any:
    """A member that is null is one that is left out; what is in an extension is not ours."""
    if isinstance(value, dict):
        return {
            key: part if key == "extension" else _without_nulls(part)
            for key, part in value.items()
            if part is not None
        }
    if isinstance(value, list):
        return [_without_nulls(part) for part in value]
    return value


def _located(cluster: Cluster, folder: str) -> Cluster:
    return msgspec.structs.replace(
        cluster, certificate_authority=_beside(folder, cluster.certificate_authority)
    )


def _located_user(user: User, folder: str) -> User:
    plugin = user.exec
    if plugin and "/" in plugin.command:
        plugin = msgspec.structs.replace(plugin, command=_beside(folder, plugin.command))
    return msgspec.structs.replace(
        user,
        client_certificate=_beside(folder, user.client_certificate),
        client_key=_beside(folder, user.client_key),
        token_file=_beside(folder, user.token_file),
        exec=plugin,
    )


def _beside(folder: str, path: str) -> str:
    return os.path.normpath(os.path.join(folder, path)) if path else ""  # noqa: PTH118 - texts throughout
