"""`mendloop history`."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, NamedTuple

import click

from mendloop.cli.options import shared_options, task_argument
from mendloop.cli.session import Session

if TYPE_CHECKING:
    from mendloop.core.model import Commit
    from mendloop.manager import StateManager

__all__ = ["history"]


@click.command
@task_argument
@click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Commits a page."
)
@click.option(
    "--after",
    type=click.IntRange(min=0),
    default=0,
    metavar="COMMIT",
    help="Begin after the commit of this number.",
)
@click.option(
    "--iteration",
    type=click.IntRange(min=0),
    help="Only those of this iteration; 0 is before the first.",
)
@click.option("--author", help="Only those with a change by this one.")
@shared_options
@click.pass_obj
def history(
    session: Session,
    task_id: str,
    *,
    limit: int,
    after: int,
    iteration: int | None,
    author: str | None,
) -> None:
    """
    Show a task's commits, oldest first, a page at a time: every change, by whom and when.

    The findings themselves, by severity, life, iteration and author, are what `mendloop feedback list`
    shows.
    """
    from mendloop.cli.composition import with_manager
    from mendloop.cli.printing import emit

    asked = _Asked(after, iteration, author)

    async def read(manager: StateManager) -> list[Commit]:
        return await _read_page(manager, task_id, asked, limit=limit + 1)

    page = with_manager(session, read)
    commits, has_more = page[:limit], len(page) > limit
    following = commits[-1].number if has_more else None
    data = {"task_id": task_id, "commits": commits, "next_after": following}
    emit(session, data, lambda: _show(session, task_id, commits, asked.following(following)))


class _Asked(NamedTuple):
    """Which commits are asked for."""

    after: int
    iteration: int | None
    author: str | None

    def has(self, commit: Commit, iteration: int) -> bool:
        return (
            commit.number > self.after
            and self.iteration in {None, iteration}
            and (self.author is None or any(c.by == self.author for c in commit.changes))
        )

    def following(self, after: int | None) -> str:
        """The options that show the next page, or "" where there is none."""
        if after is None:
            return ""
        chosen = "" if self.iteration is None else f" --iteration {self.iteration}"
        chosen += "" if self.author is None else f" --author {shlex.quote(self.author)}"
        return f"--after {after}{chosen}"


async def _read_page(
    manager: StateManager, task_id: str, asked: _Asked, *, limit: int
) -> list[Commit]:
    """Read at most *limit* commits; which iteration one belongs to, those before it tell."""
    from mendloop.core.timing import begins_iteration

    page: list[Commit] = []
    iteration = 0
    after = asked.after if asked.iteration is None else 0
    async for commit in manager.commits(await manager.require_state(task_id), after=after):
        begun = [c.facts["iteration"] for c in commit.changes if begins_iteration(c)]
        iteration = max([iteration, *begun])
        if asked.has(commit, iteration):
            page.append(commit)
        if len(page) == limit:
            break
    return page


def _show(session: Session, task_id: str, commits: list[Commit], following: str) -> None:
    from mendloop.cli import words
    from mendloop.cli.printing import print_line, print_table
    from mendloop.cli.story import sentence

    rows = [
        [
            str(commit.number),
            words.time_words(commit.at),
            sentence(change),
            f"{change.by} ({change.door})",
        ]
        for commit in commits
        for change in commit.changes
    ]
    if not rows:
        print_line("no commits")
        return
    print_table(session, ["commit", "when", "what", "by"], rows)
    if following:
        store = session.store_option
        print_line(f"more: `mendloop history {task_id} {following}{store}`")
