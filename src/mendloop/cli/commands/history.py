"""`mendloop history`."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
@shared_options
@click.pass_obj
def history(session: Session, task_id: str, limit: int, after: int) -> None:
    """Show a task's commits, oldest first, a page at a time: every change, by whom and when."""
    from mendloop.cli.composition import with_manager
    from mendloop.cli.printing import emit

    async def read(manager: StateManager) -> list[Commit]:
        return await _read_page(manager, task_id, limit=limit + 1, after=after)

    page = with_manager(session, read)
    commits, has_more = page[:limit], len(page) > limit
    following = commits[-1].number if has_more else None
    data = {"task_id": task_id, "commits": commits, "next_after": following}
    emit(session, data, lambda: _show(session, task_id, commits, following))


async def _read_page(
    manager: StateManager, task_id: str, *, limit: int, after: int
) -> list[Commit]:

    page: list[Commit] = []
    async for commit in manager.commits(await manager.require_state(task_id), after=after):
        page.append(commit)
        if len(page) == limit:
            break
    return page


def _show(session: Session, task_id: str, commits: list[Commit], following: int | None) -> None:
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
    if following is not None:
        store = session.store_option
        print_line(f"more: `mendloop history {task_id} --after {following}{store}`")
