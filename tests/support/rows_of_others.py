"""Checks, who and what names a task, and events that nothing comes of, for the table of payloads."""

from __future__ import annotations

from typing import Any

from github_payloads import HEAD, MARKED, account, check_run, pull_request, review
from payload_table import CHECK, Event, Kept, Row, on, published

from mendloop.core.vocabulary import Severity

__all__ = ["ROWS"]

_OWN = {"id": 9}
_FORK = {"id": 666}
_FAILED = Kept(CHECK, Severity.MEDIUM)
_NO_BRANCH = (
    "the pull request has no label task-N, and no branch of the repository itself is told "
    "(task-N-… or feature/task-N-…)"
)
_NO_TASK = (
    "the pull request has no label task-N, and its branch names none (task-N-… or feature/task-N-…)"
)


def _check(number: int, action: str = "completed", /, **changed: Any) -> Event:
    ref = {"ref": f"task-{number}-names", "sha": HEAD}
    body = {
        "id": number,
        "check_suite": {"id": 1, "head_branch": f"task-{number}-names"},
        "pull_requests": [{"id": 1, "number": number, "head": ref}],
    }
    return "check_run", check_run(action, **{**body, **changed})


def _ended(conclusion: str | None) -> Row:
    told = conclusion or ""
    return Row(
        f"a check that ended with {conclusion}",
        lambda n: [_check(n, conclusion=conclusion)],
        ignored=f"a check that ended with {told!r} asks for nothing",
    )


def _pull(number: int, action: str, /, **changed: Any) -> Event:
    payload = {
        "action": action,
        "number": number,
        "pull_request": pull_request(number=number, labels=[{"name": f"task-{number}"}]),
        "repository": {"id": 9, "full_name": "octo/hello"},
        "sender": account(),
        **changed,
    }
    return "pull_request", payload


def _review(number: int, /, event: Any = None, **changed: Any) -> Event:
    return "pull_request_review", review(
        event={**on(number), **(event or {})}, **{"id": number, **changed}
    )


def _labelled(
    number: int, labels: list[Any], ref: str = "changes", repo: dict[str, Any] | None = _OWN
) -> Event:
    named = [{"name": label} for label in labels]
    head = {"ref": ref, "sha": HEAD, "repo": repo}
    return _review(number, event=on(number, labels=named, head=head))


def _by(person: dict[str, Any], number: int, association: str = "NONE") -> Event:
    return _review(number, {"sender": person}, user=person, author_association=association)


CHECKS = [
    Row(
        "the published check",
        lambda _: [("check_run", published("check_run.completed.json"))],
        ignored="a check that ended with 'success' asks for nothing",
    ),
    Row("a check that failed", lambda n: [_check(n)], (_FAILED,)),
    Row(
        "a check that needs somebody to act",
        lambda n: [_check(n, conclusion="action_required")],
        (Kept(CHECK.replace("failure", "action_required"), Severity.MEDIUM),),
    ),
    *map(_ended, ("success", "neutral", "cancelled", "timed_out", "skipped", "stale", None)),
    Row(
        "a check that has begun",
        lambda n: [_check(n, "created", conclusion=None, status="in_progress")],
        ignored="nothing is done on the action 'created'",
    ),
    Row(
        "a check with annotations and a long text",
        lambda n: [
            _check(
                n,
                output={
                    "title": None,
                    "summary": "3 problems",
                    "text": "| file | line |\n| --- | --- |\n| a.py | 1 |",
                    "annotations_count": 3,
                    "annotations_url": "https://api.github.com/repos/octo/hello/check-runs/4/annotations",
                },
            )
        ],
        (
            Kept(
                "The check unit tests ended with failure.\n\n3 problems\n\n"
                "| file | line |\n| --- | --- |\n| a.py | 1 |",
                Severity.MEDIUM,
            ),
        ),
    ),
    Row("a check of a push", lambda n: [_check(n, pull_requests=[])], (_FAILED,)),
    Row(
        "a check of a fork",
        lambda n: [_check(n, pull_requests=[], check_suite={"id": 1, "head_branch": None})],
        ignored=_NO_BRANCH,
    ),
    Row(
        "a check of the main branch",
        lambda n: [_check(n, pull_requests=[], check_suite={"id": 1, "head_branch": "main"})],
        ignored=_NO_TASK,
    ),
    Row(
        "a check without a branch",
        lambda n: [_check(n, pull_requests=[], check_suite=None)],
        ignored=_NO_BRANCH,
    ),
    Row(
        "a check of an app that is not listed",
        lambda n: [_check(n, app={"id": 2, "slug": "other-ci"})],
        ignored="'other-ci[bot]' is a bot that is not listed",
    ),
    Row(
        "a check of no app",
        lambda n: [_check(n, app=None)],
        ignored="'ghost' (NONE) is not allowed by name, team or association",
    ),
]

TASKS = [
    Row(
        "several labels: the first one counts",
        lambda n: [_labelled(n, ["bug", f"task-{n}", "task-1", f"task-{n}", "task-2"])],
        (Kept(),),
        warning="the label task-{n} counts, and not task-1, task-2",
    ),
    Row(
        "no label, and a branch",
        lambda n: [_labelled(n, [], f"task-{n}-names")],
        (Kept(),),
    ),
    Row(
        "no label that names a task, and a branch of a feature",
        lambda n: [_labelled(n, ["bug", "task-", "task-x"], f"feature/task-{n}")],
        (Kept(),),
    ),
    Row(
        "a label, and a branch of a fork",
        lambda n: [_labelled(n, [f"task-{n}"], "task-3-names", _FORK)],
        (Kept(),),
    ),
    Row(
        "no label, and a branch of a fork",
        lambda n: [_labelled(n, [], f"task-{n}-names", _FORK)],
        ignored=_NO_BRANCH,
    ),
    Row(
        "no label, and a branch of a fork that is gone",
        lambda n: [_labelled(n, [], f"task-{n}-names", None)],
        ignored=_NO_BRANCH,
    ),
    Row(
        "a label that contradicts the branch: the label counts",
        lambda n: [_labelled(n, [f"task-{n}"], "task-3-names")],
        (Kept(),),
    ),
    Row("neither label nor branch", lambda n: [_labelled(n, [])], ignored=_NO_TASK),
    Row(
        "a branch that only looks like one",
        lambda n: [_labelled(n, [], f"fix-task-{n}")],
        ignored=_NO_TASK,
    ),
]

PEOPLE = [
    Row("a collaborator", lambda n: [_by(account("ann"), n, "COLLABORATOR")], (Kept(),)),
    Row(
        "the service's own account",
        lambda n: [_by(account("mender[bot]", "Bot"), n, "MEMBER")],
        ignored="'mender[bot]' is this service's own account",
    ),
    Row(
        "the service's own account, without its ending and in other letters",
        lambda n: [_by(account("Mender"), n, "OWNER")],
        ignored="'Mender' is this service's own account",
    ),
    Row(
        "a bot that is not listed, member or not",
        lambda n: [_by(account("noisy[bot]", "Bot"), n, "MEMBER")],
        ignored="'noisy[bot]' is a bot that is not listed",
    ),
    Row("a bot that is listed", lambda n: [_by(account("octo-ci[bot]", "Bot"), n)], (Kept(),)),
    Row(
        "a bot that edits what a person wrote",
        lambda n: [_review(n, {"sender": account("noisy[bot]", "Bot")})],
        ignored="'noisy[bot]' is a bot that is not listed",
    ),
    Row(
        "a stranger",
        lambda n: [_by(account("stranger"), n, "FIRST_TIME_CONTRIBUTOR")],
        ignored="'stranger' (FIRST_TIME_CONTRIBUTOR) is not allowed by name, team or association",
    ),
    Row("no sender", lambda n: [_review(n, {"sender": None})], (Kept(),)),
    Row(
        "a repository that was renamed between two deliveries",
        lambda n: [
            _review(n),
            _review(n, {"repository": {"id": 9, "full_name": "octo/renamed"}}),
        ],
        (Kept(),),
    ),
]

EVENTS = [
    Row(
        "a ping",
        lambda _: [("ping", {"zen": "Keep it logically awesome.", "hook_id": 1, "hook": {}})],
        ignored="a ping says that the webhook is set up",
    ),
    Row(
        "an event that nothing is done on",
        lambda _: [("star", {"action": "created", "body": MARKED})],
        ignored="nothing is done on the event 'star'",
    ),
    Row("a pull request that was opened, of no task yet", lambda n: [_pull(n, "opened")]),
    Row("a push to a pull request of no task yet", lambda n: [_pull(n, "synchronize")]),
    Row(
        "a pull request that was closed",
        lambda n: [_pull(n, "closed")],
        ignored="nothing is done on the action 'closed'",
    ),
    Row(
        "a pull request that was labelled",
        lambda n: [_pull(n, "labeled", label={"name": f"task-{n}"})],
        ignored="nothing is done on the action 'labeled'",
    ),
]

ROWS = [*CHECKS, *TASKS, *PEOPLE, *EVENTS]
