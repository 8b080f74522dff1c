"""`mendloop feedback add`, `list`, `resolve`, `dismiss`, `defer` and `reopen`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from mendloop.cli.options import (
    SEVERITIES,
    not_blank,
    reason_option,
    shared_options,
    task_argument,
)
from mendloop.cli.session import Session

if TYPE_CHECKING:
    from mendloop.core.model import FeedbackEntry
    from mendloop.findings import FindingsPage

__all__ = ["ISSUE_TYPES", "LIVES", "feedback"]

ISSUE_TYPES = ("Bug", "Enhancement", "Documentation", "Performance", "Security")
LIVES = ("open", "addressed", "verified", "reopened", "dismissed", "deferred", "outdated")

_STDIN_LIMIT_BYTES = 1024 * 1024


@click.group
@shared_options
def feedback() -> None:
    """Add, list and judge a task's findings."""


@feedback.command
@task_argument
@click.option("--severity", type=click.Choice(SEVERITIES, case_sensitive=False), required=True)
@click.option("--issue-type", type=click.Choice(ISSUE_TYPES, case_sensitive=False), required=True)
@click.option("--description", required=True, help="What is wrong; - reads it from standard input.")
@click.option("--author", default="", help="Who reports it; the user if not given.")
@click.option(
    "--comment-id", callback=not_blank, help="The forge's id of the comment: makes it unique."
)
@click.option("--path", default="", help="The file, relative to the work tree.")
@click.option("--line", type=click.IntRange(min=1), help="The line, from 1.")
@click.option(
    "--commit",
    default="",
    help="The commit it was seen on: of an older one it does not count as open.",
)
@click.option("--op-id", help="Names this attempt: the same id again adds nothing.")
@shared_options
@click.pass_obj
def add(session: Session, /, task_id: str, commit: str, op_id: str | None, **said: Any) -> None:
    """Add a person's finding; one that is there already changes nothing."""
    from mendloop.cli.composition import with_manager
    from mendloop.cli.printing import emit, print_line

    entry = _entry(session, **said)
    told = with_manager(
        session,
        lambda manager: manager.append_feedback(task_id, entry, commit=commit, op_id=op_id),
    )
    counted = ("new", "edited", "known", "outdated")
    how = next((name for name in counted if told[name]), "reopened")
    emit(
        session,
        {"task_id": task_id, **told},
        lambda: print_line(f"{task_id}: {how} finding {told['ids'][0]}"),
    )
    _warn_of_cut(session, task_id, entry.description)


@feedback.command("list")
@task_argument
@click.option("--open", "is_open_only", is_flag=True, help="Only what is not resolved.")
@click.option("--life", type=click.Choice(LIVES), help="Only what this became of.")
@click.option("--severity", type=click.Choice(SEVERITIES, case_sensitive=False))
@click.option("--iteration", type=click.IntRange(min=0), help="Only what came up in this one.")
@click.option("--author", help="Only what this one reported.")
@click.option(
    "--limit",
    type=click.IntRange(min=1, max=1000),
    default=1000,
    show_default=True,
    help="Findings a page.",
)
@click.option("--after", metavar="CURSOR", help="Go on where the page before ended.")
@shared_options
@click.pass_obj
def list_findings(
    session: Session,
    task_id: str,
    *,
    is_open_only: bool,
    life: str | None,
    severity: str | None,
    iteration: int | None,
    author: str | None,
    limit: int,
    after: str | None,
) -> None:
    """List a task's findings, in the order they came, a page at a time."""
    import msgspec

    from mendloop.cli.composition import with_manager
    from mendloop.cli.printing import emit
    from mendloop.core.codec import encode
    from mendloop.core.vocabulary import Life, Severity
    from mendloop.findings import Which

    which = Which(
        severity=Severity(severity) if severity else None,
        life=Life(life) if life else None,
        is_open=True if is_open_only else None,
        iteration=iteration,
        author=author,
    )
    page = with_manager(
        session, lambda manager: manager.find(task_id, which, limit=limit, cursor=after)
    )
    listed = b",".join(map(encode, page.entries))
    following = msgspec.json.encode(page.cursor)
    data = b'{"task_id":"%s","feedback":[%b],"next_after":%b}' % (
        task_id.encode(),
        listed,
        following,
    )
    emit(session, data, lambda: _show(session, task_id, page))


def _judging(name: str, life: str, what: str) -> None:
    """Make the command *name*, by which a person says that findings are *life* now."""

    @feedback.command(name, help=what)
    @task_argument
    @click.argument("ids", metavar="ID...", nargs=-1, required=True)
    @reason_option
    @click.option("--op-id", help="Names this attempt: the same id again changes nothing.")
    @shared_options
    @click.pass_obj
    def judging(
        session: Session, task_id: str, ids: tuple[str, ...], reason: str, op_id: str | None
    ) -> None:
        from mendloop.cli.composition import with_manager
        from mendloop.cli.printing import cell, emit, print_line
        from mendloop.core.vocabulary import Life

        told = with_manager(
            session,
            lambda manager: manager.judge(task_id, Life(life), *ids, reason=reason, op_id=op_id),
        )
        emit(
            session,
            {"task_id": task_id, **told},
            lambda: print_line(f"{task_id}: {life} {cell(', '.join(told['ids']))}"),
        )


_NAMED = "ID is a finding's id or fingerprint; of an open one, the beginning that no other has is enough."
_judging("resolve", "verified", f"Say that findings are fixed. {_NAMED}")
_judging("dismiss", "dismissed", f"Say that findings are none, whatever reports them. {_NAMED}")
_judging("defer", "deferred", f"Put findings off: they no longer count as open. {_NAMED}")
_judging("reopen", "reopened", f"Open findings again. {_NAMED}")


def _entry(
    session: Session,
    *,
    severity: str,
    issue_type: str,
    description: str,
    author: str,
    comment_id: str | None,
    path: str,
    line: int | None,
) -> FeedbackEntry:
    from datetime import UTC, datetime

    from mendloop.core.model import FeedbackEntry, Finding
    from mendloop.core.vocabulary import PERSON, IssueType, Severity

    return FeedbackEntry(
        timestamp=datetime.now(UTC),
        author=author or session.by,
        severity=Severity(severity),
        issue_type=IssueType(issue_type),
        description=_read_stdin() if description == "-" else description,
        resolved=False,
        pr_comment_id=comment_id or "",
        mendloop=Finding(fingerprint="", source=PERSON, path=path, line=line or 0),
    )


def _warn_of_cut(session: Session, task_id: str, description: str) -> None:
    from mendloop.cli.main import complain
    from mendloop.core.text import DESCRIPTION_LIMIT_BYTES, clean, is_cut

    if is_cut(clean(description, limit_bytes=DESCRIPTION_LIMIT_BYTES)):
        message = (
            f"warning: of the description {DESCRIPTION_LIMIT_BYTES} bytes are kept: it is longer"
        )
        complain(session, "warning", message, task_id=task_id)


def _read_stdin() -> str:
    from mendloop.core.errors import TooLarge

    content = sys.stdin.buffer.read(_STDIN_LIMIT_BYTES + 1)
    if len(content) > _STDIN_LIMIT_BYTES:
        raise TooLarge(
            f"a description has at most {_STDIN_LIMIT_BYTES} bytes, and standard input has more",
            size_bytes=len(content),
            limit_bytes=_STDIN_LIMIT_BYTES,
        )
    return content.decode(errors="replace")


def _show(session: Session, task_id: str, page: FindingsPage) -> None:
    from mendloop.cli import words
    from mendloop.cli.printing import print_line, print_table
    from mendloop.core.lives import life_of

    if not page.entries:
        print_line("no findings")
        return
    rows = [
        [
            str(entry.severity),
            str(entry.issue_type),
            str(life_of(entry)),
            words.place_words(entry),
            entry.description.split("\n")[0],
            entry.author,
            words.relative_time(entry.timestamp),
            entry.pr_comment_id,
        ]
        for entry in page.entries
    ]
    headers = ["severity", "type", "life", "where", "what", "author", "since", "id"]
    print_table(session, headers, rows)
    if page.cursor is not None:
        store = session.store_option
        print_line(f"more: `mendloop feedback list {task_id} --after {page.cursor}{store}`")
