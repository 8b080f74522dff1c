"""
Payloads as GitHub documents them, each part changed as a test says.

https://docs.github.com/webhooks/webhook-events-and-payloads
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

__all__ = [
    "EARLIER",
    "HEAD",
    "MARKED",
    "account",
    "as_body",
    "at",
    "check_run",
    "issue_comment",
    "pull_request",
    "pull_request_event",
    "review",
    "review_comment",
]

MARKED = """🔴 Required Changes

**Issue Type**: [Bug]
**Severity**: [High]

### Description
Saving a profile with an empty display name answers 500.
"""

HEAD = "a" * 40
EARLIER = "b" * 40

_DAY = (datetime.now(UTC) - timedelta(days=1)).date()


def at(hour: int, minute: int = 0, second: int = 0) -> str:
    """A time of yesterday, as GitHub writes it: older events make nothing new."""
    return f"{_DAY}T{hour:02d}:{minute:02d}:{second:02d}Z"


def account(login: str = "octocat", kind: str = "User") -> dict[str, Any]:
    """An account."""
    return {"login": login, "id": 1, "node_id": "MDQ=", "type": kind, "site_admin": False}


def pull_request(**changed: Any) -> dict[str, Any]:
    """A pull request of task 42, by its label and its branch."""
    return {
        "id": 279147437,
        "number": 7,
        "state": "open",
        "title": "A change",
        "user": account(),
        "labels": [{"id": 1, "name": "bug"}, {"id": 2, "name": "task-42"}],
        "draft": False,
        "head": {"label": "octo:b", "ref": "task-42-names", "sha": HEAD, "repo": {"id": 9}},
        "base": {"label": "octo:main", "ref": "main", "sha": EARLIER, "repo": {"id": 9}},
        "updated_at": at(10, 0, 9),
        **changed,
    }


def _event(action: str, **members: Any) -> dict[str, Any]:
    return {
        "action": action,
        "repository": {"id": 9, "full_name": "octo/hello", "owner": account("octo")},
        "sender": account(),
        **members,
    }


def pull_request_event(action: str = "opened", /, **changed: Any) -> dict[str, Any]:
    """A ``pull_request``."""
    return _event(action, **{"pull_request": pull_request(), **changed})


def review(action: str = "submitted", /, event: Any = None, **changed: Any) -> dict[str, Any]:
    """A ``pull_request_review``; *event* changes members beside the review."""
    body = {
        "id": 21,
        "user": account(),
        "body": MARKED,
        "commit_id": HEAD,
        "submitted_at": at(10),
        "state": "changes_requested",
        "author_association": "MEMBER",
        **changed,
    }
    return _event(action, **{"review": body, "pull_request": pull_request(), **(event or {})})


def review_comment(action: str = "created", /, event: Any = None, **changed: Any) -> dict[str, Any]:
    """A ``pull_request_review_comment``."""
    body = {
        "id": 31,
        "pull_request_review_id": 21,
        "diff_hunk": "@@ -1 +1 @@",
        "path": "src/app.py",
        "position": 3,
        "line": 12,
        "original_line": 10,
        "commit_id": HEAD,
        "user": account(),
        "body": "This name shadows a builtin.",
        "created_at": at(10),
        "updated_at": at(10, 0, 5),
        "author_association": "COLLABORATOR",
        **changed,
    }
    return _event(action, **{"comment": body, "pull_request": pull_request(), **(event or {})})


def issue_comment(action: str = "created", /, event: Any = None, **changed: Any) -> dict[str, Any]:
    """An ``issue_comment`` on a pull request."""
    body = {
        "id": 41,
        "user": account(),
        "body": MARKED,
        "created_at": at(10),
        "updated_at": at(10, 0, 5),
        "author_association": "OWNER",
        **changed,
    }
    issue = {
        "id": 5,
        "number": 7,
        "labels": [{"id": 2, "name": "task-42"}],
        "pull_request": {"url": "https://api.github.com/repos/octo/hello/pulls/7"},
    }
    return _event(action, **{"comment": body, "issue": issue, **(event or {})})


def check_run(action: str = "completed", /, event: Any = None, **changed: Any) -> dict[str, Any]:
    """A ``check_run`` that failed."""
    body = {
        "id": 51,
        "name": "unit tests",
        "head_sha": HEAD,
        "status": "completed",
        "conclusion": "failure",
        "started_at": at(10),
        "completed_at": at(10, 2),
        "output": {"title": "2 failed", "summary": "test_a, test_b", "text": None},
        "check_suite": {"id": 1, "head_branch": "task-42-names"},
        "app": {"id": 1, "slug": "octo-ci"},
        "pull_requests": [
            {"id": 1, "number": 7, "head": {"ref": "task-42-names", "sha": HEAD, "repo": {}}}
        ],
        **changed,
    }
    return _event(action, **{"check_run": body, **(event or {})})


def as_body(payload: Any) -> bytes:
    """As it is sent."""
    return json.dumps(payload).encode()
