"""What people order in a comment: ``/remediate``, ``/pause``, ``/resume``, ``/stop``."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple

import msgspec

from mendloop.intake.markdown import read_markdown

__all__ = ["Command", "Ordered", "Verb", "read_command"]

_HINT = re.compile(r"^ {0,3}/(?:remediate|pause|resume|stop)\b", re.IGNORECASE | re.MULTILINE)
_LINE = re.compile(r"/(?P<verb>remediate|pause|resume|stop)(?:\s+(?P<rest>.*))?", re.IGNORECASE)
_NUMBER = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)
_MOST = 2**32 - 1


class Verb(StrEnum):
    """What can be ordered."""

    REMEDIATE = "remediate"
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"


class Command(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    An order.

    Attributes:
        verb: What is to be done.
        reason: Why, in the author's words, or "".
        max_iterations: The new limit that a resume names, or None.
    """

    verb: Verb
    reason: str = ""
    max_iterations: int | None = None


class Ordered(NamedTuple):
    """
    What a comment orders.

    Attributes:
        command: The order, or None.
        problem: Why there is none although one was written, or "".
        rest: What else the comment says.
    """

    command: Command | None
    problem: str
    rest: str


def read_command(text: str) -> Ordered:
    """
    Read the command at the start of a line of the author's own, in no quote, list or code.

    A comment gives one order: with several none is taken, since their order would be a guess.
    """
    if not _HINT.search(text):
        return Ordered(None, "", text)
    markdown = read_markdown(text)
    found = {
        number: match
        for number, said in markdown.said.items()
        if said.is_top and not said.heading and (match := _LINE.fullmatch(said.text))
    }
    lines = [line for number, line in enumerate(markdown.lines) if number not in found]
    rest = "\n".join(lines).strip()
    if not found:
        return Ordered(None, "", text)
    if len(found) > 1:
        problem = f"a comment gives one command, and this one has {len(found)}: none was taken"
        return Ordered(None, problem, rest)
    (match,) = found.values()
    command, problem = _read(Verb(match["verb"].lower()), (match["rest"] or "").strip())
    return Ordered(command, problem, rest)


def _read(verb: Verb, rest: str) -> tuple[Command | None, str]:
    if verb is not Verb.RESUME or not rest:
        return Command(verb=verb, reason=rest), ""
    if _NUMBER.fullmatch(rest) and 1 <= int(rest) <= _MOST:
        return Command(verb=verb, max_iterations=int(rest)), ""
    return None, f"/resume takes a number of iterations from 1 to {_MOST}, or nothing"
