"""Deliveries with what must come of each: findings, an order, or nothing and why."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from github_payloads import HEAD, pull_request

from mendloop.core.vocabulary import IssueType, Life, Severity

__all__ = ["CHECK", "NAME", "Event", "Kept", "Row", "on", "published"]

NAME = "Saving a profile with an empty display name answers 500."
CHECK = "The check unit tests ended with failure.\n\n2 failed\n\ntest_a, test_b"

Event = tuple[str, Any]
"""X-GitHub-Event and the payload."""

_PUBLISHED = Path(__file__).parents[1] / "intake" / "data" / "github"


class Kept(NamedTuple):
    """A finding as it stands in its task."""

    description: str = NAME
    severity: Severity = Severity.HIGH
    issue_type: IssueType = IssueType.BUG
    life: Life = Life.OPEN
    path: str = ""
    line: int = 0


class Row(NamedTuple):
    """
    Events about one pull request.

    Attributes:
        name: What is special about them.
        events: Makes them of a number that no other row has, which is that of task, pull request,
            comment and review alike.
        kept: The findings that they leave in the task.
        ignored: Why nothing comes of any of them; "" where it is stored.
        warning: What the answer tells beside, where it is stored; ``{n}`` stands for the number.
        order: What is ordered in the end, or "".
    """

    name: str
    events: Callable[[int], list[Event]]
    kept: tuple[Kept, ...] = ()
    ignored: str = ""
    warning: str = ""
    order: str = ""


def on(number: int, /, labels: Any = None, **changed: Any) -> dict[str, Any]:
    """Members of an event about the pull request *number*, which is labelled with its task."""
    named = [{"name": f"task-{number}"}] if labels is None else labels
    head = {"ref": "changes", "sha": HEAD}
    return {
        "pull_request": pull_request(**{"number": number, "labels": named, "head": head, **changed})
    }


def published(name: str) -> Any:
    """One of the payloads that GitHub publishes."""
    return json.loads((_PUBLISHED / name).read_text())
