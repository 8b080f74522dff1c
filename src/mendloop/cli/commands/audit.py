"""`mendloop audit`."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from mendloop.cli.exit_codes import ExitCode
from mendloop.cli.options import shared_options
from mendloop.cli.session import Session

if TYPE_CHECKING:
    from mendloop.core.model import Chain, Commit
    from mendloop.core.records import Record
    from mendloop.core.verifying import Verdict
    from mendloop.logbook import LogPage
    from mendloop.manager import StateManager

__all__ = ["audit"]

_DONE = {"remove": "removed", "import": "imported"}


def _check_task(_context: click.Context, _parameter: click.Parameter, task_id: str) -> str:
    from mendloop.core.names import check_task_id

    return check_task_id(task_id) if task_id else ""


@click.command
@click.argument("task_id", metavar="[TASK]", default="", callback=_check_task)
@click.option(
    "--verify", is_flag=True, help="Tell whether the records are those that were written."
)
@click.option(
    "--log", is_flag=True, help="Show the log of the tasks that were removed or imported."
)
@click.option(
    "--limit",
    type=click.IntRange(1, 1_000_000),
    default=50,
    show_default=True,
    help="Commits, or entries of the log, a page.",
)
@click.option(
    "--after",
    default="",
    metavar="COMMIT",
    help="Begin after the commit of this number; of the log, where the page before ended.",
)
@shared_options
@click.pass_obj
def audit(
    session: Session, task_id: str, *, verify: bool, log: bool, limit: int, after: str
) -> int:
    """
    Show who changed a task, when, from where and what, a page at a time, oldest first.

    With --verify the records are compared with the chain that they hang on, those of all tasks if
    none is named. The exit code is 17 where one was changed, taken out or moved. The records of a
    task go with it, and come with it: --log shows who removed or imported which.
    """
    if verify and log:
        raise click.UsageError("--verify compares the records of tasks, and --log shows no such")
    if verify:
        return _verify(session, task_id)
    if log:
        return _show_log(session, task_id, limit=limit, after=after)
    if not task_id:
        raise click.UsageError("name the task, or use --verify or --log for all of them")
    if after and not after.isdecimal():
        raise click.UsageError(f"--after {after!a}: records begin after the number of a commit")
    return _show_records(session, task_id, limit=limit, after=int(after or 0))


def _show_records(session: Session, task_id: str, *, limit: int, after: int) -> int:
    from mendloop.cli.composition import with_manager
    from mendloop.cli.printing import emit
    from mendloop.core.records import records_of

    async def read(manager: StateManager) -> tuple[Chain | None, list[Commit]]:
        state = await manager.require_state(task_id)
        page: list[Commit] = []
        async with contextlib.aclosing(manager.commits(state, after=after)) as commits:
            async for commit in commits:
                page.append(commit)
                if len(page) > limit:
                    break
        return state.ledger.chain, page

    chain, page = with_manager(session, read)
    commits = page[:limit]
    following = commits[-1].number if len(page) > limit else None
    records = [record for commit in commits for record in records_of(task_id, commit)]
    data = {"task_id": task_id, "records": records, "chain": chain, "next_after": following}
    emit(session, data, lambda: _print_records(session, task_id, records, following))
    return ExitCode.OK


def _print_records(
    session: Session, task_id: str, records: list[Record], following: int | None
) -> None:
    from mendloop.cli import words
    from mendloop.cli.printing import print_line, print_table
    from mendloop.cli.story import sentence

    rows = [
        [
            f"{record.from_commit} -> {record.to_commit}",
            words.local_time(record.at),
            record.by,
            record.door,
            record.op_id,
            sentence(record),
            record.link,
        ]
        for record in records
    ]
    if not rows:
        print_line("no records")
        return
    print_table(session, ["commit", "when", "by", "door", "operation", "what", "link"], rows)
    if following is not None:
        print_line(f"more: `mendloop audit {task_id} --after {following}{session.store_option}`")


def _verify(session: Session, task_id: str) -> int:
    from mendloop.cli.composition import with_manager
    from mendloop.cli.printing import emit

    async def verify(manager: StateManager) -> list[Verdict]:
        if task_id:
            return [await manager.verify_records(task_id)]
        return [verdict async for verdict in manager.verify_all_records()]

    verdicts = with_manager(session, verify)
    emit(session, {"tasks": verdicts}, lambda: _print_verdicts(session, verdicts))
    is_sound = all(verdict.is_sound for verdict in verdicts)
    return ExitCode.OK if is_sound else ExitCode.UNSOUND


def _print_verdicts(session: Session, verdicts: list[Verdict]) -> None:
    from mendloop.cli.printing import print_line, print_table
    from mendloop.cli.words import counted

    for verdict in verdicts:
        how = "sound" if verdict.is_sound else counted(len(verdict.flaws), "flaw")
        chain = f", the chain ends with {verdict.head}" if verdict.head else ""
        print_line(f"{verdict.task_id}: {how}, {counted(verdict.records, 'record')}{chain}")
        for note in verdict.notes:
            print_line(f"{verdict.task_id}: {note}")
    flaws = [
        [verdict.task_id, flaw.kind, flaw.place, flaw.what]
        for verdict in verdicts
        for flaw in verdict.flaws
    ]
    if flaws:
        print_line()
        print_table(session, ["task", "flaw", "place", "what"], flaws)
    if not verdicts:
        print_line("no tasks")


def _show_log(session: Session, task_id: str, *, limit: int, after: str) -> int:
    from mendloop.cli.composition import with_manager
    from mendloop.cli.printing import emit

    page: LogPage = with_manager(
        session, lambda manager: manager.read_log(task_id, limit=limit, cursor=after or None)
    )
    data = {"entries": page.entries, "next_after": page.cursor}
    emit(session, data, lambda: _print_log(session, task_id, page))
    return ExitCode.OK


def _print_log(session: Session, task_id: str, page: LogPage) -> None:
    from mendloop.cli import words
    from mendloop.cli.printing import print_line, print_table

    rows = [
        [
            words.local_time(entry.at),
            entry.task_id,
            _DONE.get(entry.do, entry.do),
            entry.by,
            entry.door,
            f"{entry.from_commit} -> {entry.to_commit}",
            entry.head,
            entry.why,
        ]
        for entry in page.entries
    ]
    if rows:
        headers = ["when", "task", "what", "by", "door", "commit", "link", "why"]
        print_table(session, headers, rows)
    else:
        print_line("no entries")
    if page.cursor is not None:
        task = f" {task_id}" if task_id else ""
        more = f"mendloop audit{task} --log --after {page.cursor}{session.store_option}"
        print_line(f"more: `{more}`")
