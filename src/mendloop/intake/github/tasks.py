"""Which task a pull request belongs to, by its labels or else by its branch."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

__all__ = ["NamedTask", "task_of"]

_LABEL = re.compile(r"task-(?P<task>[0-9]{1,20})", re.ASCII)
_BRANCH = re.compile(r"(?:feature/)?task-(?P<task>[0-9]{1,20})(?:-.*)?", re.ASCII | re.DOTALL)


class NamedTask(msgspec.Struct, frozen=True, kw_only=True):
    """
    The task that a delivery is for.

    Attributes:
        task_id: "" where none is named.
        warning: What was passed over, or "".
        problem: Why none is named, or "".
    """

    task_id: str = ""
    warning: str = ""
    problem: str = ""


def task_of(labels: Sequence[str], branch: str) -> NamedTask:
    """
    Name the task: the first label ``task-N``, else the branch ``task-N-…`` or ``feature/task-N-…``.

    Args:
        labels: Of the pull request, in GitHub's order; a check run carries none.
        branch: Its head, or "" where none of the repository itself is told.
    """
    named = [match["task"] for label in labels if (match := _LABEL.fullmatch(label.strip()))]
    others = [other for other in dict.fromkeys(named) if other != named[0]]
    if named:
        passed_over = ", ".join(f"task-{other}" for other in others)
        warning = f"the label task-{named[0]} counts, and not {passed_over}" if others else ""
        return NamedTask(task_id=named[0], warning=warning)
    match = _BRANCH.fullmatch(branch)
    if match is not None:
        return NamedTask(task_id=match["task"])
    where = (
        "and no branch of the repository itself is told"
        if not branch
        else "and its branch names none"
    )
    return NamedTask(
        problem=f"the pull request has no label task-N, {where} (task-N-… or feature/task-N-…)"
    )
