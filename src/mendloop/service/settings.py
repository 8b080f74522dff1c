"""Reading the service's configuration: one TOML file, and secrets in files of their own."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

import msgspec

from mendloop.config import parse_duration
from mendloop.core.errors import ValidationError

__all__ = [
    "CleanupTable",
    "GithubTable",
    "Secrets",
    "ServiceSettings",
    "StoreTable",
    "StormTable",
    "TasksTable",
    "read_secret",
    "read_settings",
]

Duration = str | float
_SECRET_LEAST_BYTES = 16
_SECRET_MOST_BYTES = 4096


class StormTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[github.storm]``: of one pull request no more than *limit* in *window*."""

    limit: Annotated[int, msgspec.Meta(ge=1)] = 300
    window: Duration = "1m"


class GithubTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    The table ``[github]``.

    Attributes:
        repositories: Full names of those that count; all that have the secret, if none is named. A
            task is named by its number alone, so two that use the same labels share their tasks.
        max_age: What was written longer ago than this makes no finding and gives no order: a delivery
            that somebody kept and sends again finds nothing to change. At most the cleanups'
            retention.
        own_login: The account that this service and its agents comment as: its own comments are
            never findings.
        bots: Bots whose comments count; others' do not.
        ignored: Accounts whose comments never count.
        allow: Accounts that count.
        allow_teams: Names of `teams` whose members count.
        allow_associations: How an author may stand to the repository, as GitHub says it.
        teams: Members of each team.
        storm: When there is too much at once.
    """

    repositories: tuple[str, ...] = ()
    max_age: Duration = "3d"
    own_login: str = ""
    bots: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    allow_teams: tuple[str, ...] = ()
    allow_associations: tuple[str, ...] = ("OWNER", "MEMBER", "COLLABORATOR")
    teams: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    storm: StormTable = StormTable()


class CleanupTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[cleanup]``; the defaults are those of `mendloop cleanup`."""

    interval: Duration = "6h"
    retention: Duration = "7d"
    grace: Duration = "1d"
    quarantine: Duration = "30d"
    audit: Duration = "365d"


class TasksTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    The table ``[tasks]``.

    Attributes:
        max_iterations: Of a task that a finding makes.
        stuck_after: A task in progress that has not changed for so long counts as stuck.
    """

    max_iterations: Annotated[int, msgspec.Meta(ge=1, le=2**32 - 1)] = 10
    stuck_after: Duration = "1d"


class StoreTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    The table ``[store]``.

    Attributes:
        limit: Bytes that all that is stored may have; an alert tells before it is reached. 0 is what
            the disk takes, or no limit where nobody knows it, as in a cluster.
        weigh_interval: From one count of the stored bytes to the next: it reads all that is stored.
    """

    limit: Annotated[int, msgspec.Meta(ge=0)] = 0
    weigh_interval: Duration = "5m"


class ServiceSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file; its defaults are those of a service without one."""

    github: GithubTable = GithubTable()
    cleanup: CleanupTable = CleanupTable()
    tasks: TasksTable = TasksTable()
    store: StoreTable = StoreTable()


class Secrets(msgspec.Struct, frozen=True, kw_only=True):
    """
    What senders prove themselves with; a door without one is closed.

    Attributes:
        github: Secrets of the webhook: two while one replaces the other.
        feedback: Tokens of other senders: two while one replaces the other.
    """

    github: tuple[bytes, ...] = ()
    feedback: tuple[bytes, ...] = ()

    def __repr__(self) -> str:
        """Say how many there are, and none of them."""
        return f"Secrets(github={len(self.github)}, feedback={len(self.feedback)})"


def read_settings(path: Path) -> ServiceSettings:
    """
    Read the configuration file.

    Raises:
        ValidationError: It cannot be read, is no TOML, or has a key or a value that it may not
            have; the message names the key.
    """
    try:
        content: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValidationError(f"{path} cannot be read: {error}") from error
    try:
        settings = msgspec.convert(content, ServiceSettings)
    except msgspec.ValidationError as error:
        raise ValidationError(f"{path}: {error}") from error
    _check(path, settings)
    return settings


def read_secret(path: Path) -> bytes:
    """
    Read a secret from a file of its own; white space around it does not count.

    Raises:
        ValidationError: It cannot be read, or is too short to be one.
    """
    try:
        with path.open("rb") as file:
            secret = file.read(_SECRET_MOST_BYTES + 1).strip()
    except OSError as error:
        raise ValidationError(f"the secret in {path} cannot be read: {error.strerror}") from error
    if not _SECRET_LEAST_BYTES <= len(secret) <= _SECRET_MOST_BYTES:
        raise ValidationError(
            f"the secret in {path} has {len(secret)} bytes: use {_SECRET_LEAST_BYTES} to "
            f"{_SECRET_MOST_BYTES}, for instance of `openssl rand -hex 32`"
        )
    return secret


def _check(path: Path, settings: ServiceSettings) -> None:
    durations = {
        "github.max_age": settings.github.max_age,
        "github.storm.window": settings.github.storm.window,
        "cleanup.interval": settings.cleanup.interval,
        "cleanup.retention": settings.cleanup.retention,
        "cleanup.grace": settings.cleanup.grace,
        "cleanup.quarantine": settings.cleanup.quarantine,
        "cleanup.audit": settings.cleanup.audit,
        "tasks.stuck_after": settings.tasks.stuck_after,
        "store.weigh_interval": settings.store.weigh_interval,
    }
    for key, value in durations.items():
        try:
            parse_duration(value)
        except ValidationError as error:
            raise ValidationError(f"{path}: {key}: {error}") from error
    if parse_duration(settings.github.max_age) > parse_duration(settings.cleanup.retention):
        raise ValidationError(
            f"{path}: github.max_age: it is longer than cleanup.retention: a delivery that is sent "
            "again could bring back a task that was removed"
        )
    for team in settings.github.allow_teams:
        if team not in settings.github.teams:
            raise ValidationError(
                f"{path}: github.allow_teams: there is no [github.teams] {team!a}; known are: "
                f"{', '.join(settings.github.teams) or 'none'}"
            )
