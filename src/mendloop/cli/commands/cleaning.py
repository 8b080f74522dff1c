"""`mendloop cleanup`, `delete`, `restore` and `hold`."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from mendloop.cli.exit_codes import ExitCode
from mendloop.cli.options import (
    duration,
    reason_option,
    shared_options,
    spare_reason_option,
    task_argument,
)
from mendloop.cli.session import Session

if TYPE_CHECKING:
    from mendloop.cleanup import CleanupReport

__all__ = ["cleanup", "delete", "hold", "restore"]


@click.command
@click.option("--dry-run", is_flag=True, help="Only tell what would be done.")
@click.option(
    "--retention",
    default="7d",
    show_default=True,
    metavar="TIME",
    help="Delete tasks that are over and in which nothing happened for so long.",
)
@click.option(
    "--grace",
    default="24h",
    show_default=True,
    metavar="TIME",
    help="Remove tasks for good that were deleted so long ago.",
)
@click.option(
    "--quarantine",
    default="30d",
    show_default=True,
    metavar="TIME",
    help="Remove copies of damaged states, and histories without a state, that are so old.",
)
@click.option(
    "--audit",
    default="365d",
    show_default=True,
    metavar="TIME",
    help="Remove entries of the log of removals and imports that are so old.",
)
@shared_options
@click.pass_obj
def cleanup(
    session: Session, *, dry_run: bool, retention: str, grace: str, quarantine: str, audit: str
) -> int:
    """
    Delete tasks that are over and old, and remove those that were deleted before the grace.

    A task in progress is never touched. Run it again after a failure: it goes on.
    """
    from mendloop.cleanup import CleanupTerms
    from mendloop.cli.composition import with_manager
    from mendloop.cli.printing import emit

    terms = CleanupTerms(
        retention_seconds=duration(retention),
        grace_seconds=duration(grace),
        quarantine_seconds=duration(quarantine),
        audit_seconds=duration(audit),
        is_dry_run=dry_run,
    )
    report = with_manager(session, lambda manager: manager.cleanup_old_states(terms))
    emit(session, report, lambda: _show(session, report, is_dry_run=dry_run))
    return ExitCode.STORE_FAILED if report.failures else ExitCode.OK


def _show(session: Session, report: CleanupReport, *, is_dry_run: bool) -> None:
    from mendloop.cli.printing import print_line, print_table
    from mendloop.cli.words import counted

    deleted, removed = (
        ("would be deleted", "would be removed") if is_dry_run else ("deleted", "removed")
    )
    outcomes = {
        f"{deleted}, and can be restored": report.deleted,
        f"{removed} for good": report.removed,
        "kept: it is held": report.held,
        "kept: in progress, and stale": report.stale,
        "kept: it cannot be read": report.unreadable,
        "kept: its state is gone, and `mendloop doctor` says what is left": report.headless,
    }
    rows = [[task, outcome] for outcome, tasks in outcomes.items() for task in tasks]
    rows += [[failure.task_id, f"failed: {failure.why}"] for failure in report.failures]
    if rows:
        print_table(session, ["task", "outcome"], sorted(rows))
        print_line()
    print_line(
        f"{counted(report.scanned, 'task')} looked at: {len(report.deleted)} {deleted}, "
        f"{len(report.removed)} {removed}, {report.orphans} orphaned chunks, "
        f"{report.quarantined} quarantined copies and {report.logged} old entries of the log {removed}, "
        f"{len(report.failures)} failed"
    )


@click.command
@task_argument
@reason_option
@shared_options
@click.pass_obj
def delete(session: Session, task_id: str, reason: str) -> None:
    """Delete a task that is over; `mendloop restore` brings it back until a cleanup removes it."""
    from mendloop.cli.composition import with_manager
    from mendloop.cli.printing import emit, print_line

    with_manager(session, lambda manager: manager.delete(task_id, reason=reason))
    back = f"mendloop restore {shlex.quote(task_id)}{session.store_option}"
    emit(
        session,
        {"task_id": task_id, "is_deleted": True},
        lambda: print_line(f"{task_id} is deleted; `{back}` brings it back"),
    )


@click.command
@task_argument
@click.option(
    "--from",
    "source",
    metavar="COPY",
    help="Put the state in this copy in the place of the task's, which is copied aside first.",
)
@click.option("--list", "is_list", is_flag=True, help="Only list the copies of the task.")
@shared_options
@click.pass_obj
def restore(session: Session, task_id: str, *, source: str | None, is_list: bool) -> int:
    """
    Bring a deleted task back, as it was; or with --from one that was set aside, damaged or replaced.

    With --from, findings, judgements and history that came since stay, and no counter is lowered. The
    exit code is 17 where something could not be brought back.
    """
    if source is not None and is_list:
        raise click.UsageError("--list only lists the copies: leave --from away")
    if is_list:
        return _list_copies(session, task_id)
    if source is not None:
        return _restore_from(session, task_id, source)
    return _restore_deleted(session, task_id)


def _restore_deleted(session: Session, task_id: str) -> int:
    from mendloop.cli.composition import with_manager
    from mendloop.cli.printing import emit, print_line

    with_manager(session, lambda manager: manager.restore(task_id))
    emit(
        session,
        {"task_id": task_id, "is_deleted": False},
        lambda: print_line(f"{task_id} is back as it was"),
    )
    return ExitCode.OK


def _list_copies(session: Session, task_id: str) -> int:
    from mendloop.cli.composition import with_manager
    from mendloop.cli.printing import emit, print_line, print_table
    from mendloop.core.codec import rfc3339

    copies = with_manager(session, lambda manager: manager.list_copies(task_id))
    names = ("name", "of", "made_at", "reason", "size_bytes")
    rows = [{name: getattr(copy, name) for name in names} for copy in copies]

    def show() -> None:
        if not copies:
            print_line(f"there are no copies of {task_id}")
            return
        told = [
            [c.name, c.of, rfc3339(c.made_at) if c.made_at else "", str(c.size_bytes), c.reason]
            for c in copies
        ]
        print_table(session, ["copy", "of", "made", "bytes", "why"], told)

    emit(session, {"task_id": task_id, "copies": rows}, show)
    return ExitCode.OK


def _restore_from(session: Session, task_id: str, source: str) -> int:
    from mendloop.cli.composition import with_manager
    from mendloop.cli.printing import emit, print_line

    recovery = with_manager(session, lambda manager: manager.restore_from(task_id, source))

    def show() -> None:
        if not recovery.is_changed:
            print_line(f"{task_id} was restored from {source} already, and is as it was then")
            return
        lost = "; ".join(recovery.lost) or "nothing"
        print_line(f"{task_id} is restored, at iteration {recovery.iteration}; lost: {lost}")
        for name in recovery.quarantined:
            print_line(f"a copy of what was there is kept as {name}")

    emit(session, recovery, show)
    return ExitCode.UNSOUND if recovery.lost else ExitCode.OK


@click.command
@task_argument
@spare_reason_option
@click.option("--release", is_flag=True, help="End the hold.")
@shared_options
@click.pass_obj
def hold(session: Session, task_id: str, *, reason: str, release: bool) -> None:
    """Keep a task from every cleanup, for ever or until --release."""
    from mendloop.cli.composition import with_manager
    from mendloop.cli.printing import emit, print_line
    from mendloop.manager import StateManager

    async def act(manager: StateManager) -> None:
        if release:
            await manager.end_hold(task_id)
        else:
            await manager.hold(task_id, reason=reason)

    with_manager(session, act)
    emit(
        session,
        {"task_id": task_id, "is_held": not release},
        lambda: print_line(f"{task_id} is {'no longer held' if release else 'held'}"),
    )
