"""
Who counts, and what is too much. Each answer is a reason to refuse, safe to log, or "".

What is not allowed by name, team or association is refused, and so is every bot that is not named.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from mendloop.intake.github.deliveries import Delivery, Person, Says

__all__ = ["Authors", "refusal_of_author", "refusal_of_storm"]

_BOT_ENDING = "[bot]"


class Authors(msgspec.Struct, frozen=True, kw_only=True):
    """
    Whose words count.

    Attributes:
        own_login: The account that the service and its agents write as.
        bots: Bots that count.
        ignored: Accounts that never count.
        allow: Accounts that count.
        allow_teams: Names of `teams` whose members count.
        allow_associations: How an author may stand to the repository.
        teams: Members of each team.
    """

    own_login: str = ""
    bots: Sequence[str] = ()
    ignored: Sequence[str] = ()
    allow: Sequence[str] = ()
    allow_teams: Sequence[str] = ()
    allow_associations: Sequence[str] = ()
    teams: dict[str, Sequence[str]] = {}


def refusal_of_author(delivery: Delivery, authors: Authors) -> str:
    """
    Say why the author of *delivery*, or who changed it, does not count; "" where both do.

    A new head is told by nobody's words: whoever pushed it, it is where the pull request stands.
    """
    if delivery.says is Says.HEAD:
        return ""
    return _refusal_of_person(delivery.actor, authors) or _refusal_of_writer(delivery, authors)


def _refusal_of_person(person: Person, authors: Authors) -> str:
    if _is_among(person.login, [authors.own_login]):
        return f"{person.login!a} is this service's own account"
    if _is_among(person.login, authors.ignored):
        return f"{person.login!a} is ignored by the configuration"
    if person.is_bot and not _is_among(person.login, authors.bots):
        return f"{person.login!a} is a bot that is not listed"
    return ""


def _refusal_of_writer(delivery: Delivery, authors: Authors) -> str:
    author = delivery.author
    refusal = _refusal_of_person(author, authors)
    if refusal or author.is_bot or _is_among(author.login, authors.allow):
        return refusal
    if any(_is_among(author.login, authors.teams.get(team, ())) for team in authors.allow_teams):
        return ""
    if delivery.association in {name.upper() for name in authors.allow_associations}:
        return ""
    return f"{author.login!a} ({delivery.association}) is not allowed by name, team or association"


def refusal_of_storm(
    times: Sequence[datetime], now: datetime, *, limit: int, window_seconds: float
) -> str:
    """
    Say why one more is too much: *limit* of them came within the window before *now*.

    Args:
        times: When those before came, in any order.
    """
    since = now - timedelta(seconds=window_seconds)
    count = sum(since < time <= now for time in times)
    if count >= limit:
        return f"{count} came within {window_seconds:g} seconds, and {limit} may"
    return ""


def _is_among(login: str, names: Sequence[str]) -> bool:
    return _folded(login) in {_folded(name) for name in names if name}


def _folded(login: str) -> str:
    """Logins are the same in any case; an app's is written with and without its ending."""
    return login.lower().removesuffix(_BOT_ENDING)
