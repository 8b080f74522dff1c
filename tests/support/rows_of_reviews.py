"""Reviews and comments on lines, for the table of payloads."""

from __future__ import annotations

from typing import Any

from github_payloads import EARLIER, MARKED, account, at, review, review_comment
from payload_table import Event, Kept, Row, on, published

from mendloop.core.text import DESCRIPTION_LIMIT_BYTES, clean
from mendloop.core.vocabulary import IssueType, Life, Severity

__all__ = ["ROWS"]

_LONG = "Shadows a builtin." + " and" * 16_000
_PLAIN = Kept("Shadows a builtin.", Severity.MEDIUM)
_ON_LINE = Kept("This name shadows a builtin.", Severity.MEDIUM, path="src/app.py", line=12)
_OTHER = MARKED.replace("[High]", "[Low]").replace("answers 500", "answers 404")
_OTHER_KEPT = Kept("Saving a profile with an empty display name answers 404.", Severity.LOW)


def _review(number: int, action: str = "submitted", pull: Any = None, **changed: Any) -> Event:
    return "pull_request_review", review(
        action, event=on(number, **(pull or {})), **{"id": number, **changed}
    )


def _line(number: int, action: str = "created", /, **changed: Any) -> Event:
    return "pull_request_review_comment", review_comment(
        action, event=on(number), **{"id": number, **changed}
    )


def _labelled(number: int) -> Event:
    payload = published("pull_request_review_comment.created.json")
    payload["pull_request"]["labels"] = [{"name": f"task-{number}"}]
    payload["comment"] |= {"created_at": at(9), "updated_at": at(9)}
    return "pull_request_review_comment", payload


REVIEWS = [
    Row(
        "the published review",
        lambda _: [("pull_request_review", published("pull_request_review.submitted.json"))],
        ignored="it has no text",
    ),
    Row("a review in the format", lambda n: [_review(n)], (Kept(),)),
    Row(
        "a review that only comments, in its own words",
        lambda n: [_review(n, state="commented", body="Shadows a builtin.")],
        (_PLAIN,),
    ),
    Row(
        "a state in capitals",
        lambda n: [_review(n, state="CHANGES_REQUESTED")],
        (Kept(),),
    ),
    Row(
        "a review with an empty body",
        lambda n: [_review(n, body="", state="commented")],
        ignored="it has no text",
    ),
    Row(
        "a review without a body",
        lambda n: [_review(n, body=None)],
        ignored="it has no text",
    ),
    Row("a review of blanks", lambda n: [_review(n, body=" \n\t\n")], ignored="it has no text"),
    Row("an approval, with nothing to resolve", lambda n: [_review(n, state="approved")]),
    Row(
        "a pending review",
        lambda n: [_review(n, state="pending")],
        ignored="a review in the state 'pending' asks for nothing",
    ),
    Row(
        "a review that was dismissed",
        lambda n: [
            _review(n),
            _review(n, "dismissed", {"updated_at": at(11)}, state="dismissed"),
        ],
        (Kept(life=Life.DISMISSED),),
    ),
    Row(
        "a review of which only the dismissal arrives",
        lambda n: [_review(n, "dismissed", {"updated_at": at(11)}, state="dismissed")],
        (Kept(life=Life.DISMISSED),),
    ),
    Row(
        "a review that was edited twice",
        lambda n: [
            _review(n),
            _review(n, "edited", {"updated_at": at(11)}, body="Shadows a builtin."),
            _review(n, "edited", {"updated_at": at(12)}, body=_OTHER),
        ],
        (_OTHER_KEPT,),
    ),
    Row(
        "a review of an older commit",
        lambda n: [_review(n, commit_id=EARLIER)],
        (Kept(life=Life.OUTDATED),),
    ),
    Row("a review without a commit", lambda n: [_review(n, commit_id=None)], (Kept(),)),
    Row(
        "a review by an account that is gone",
        lambda n: [_review(n, user=None, author_association="NONE")],
        ignored="'ghost' (NONE) is not allowed by name, team or association",
    ),
    Row(
        "a review without a time",
        lambda n: [_review(n, submitted_at=None)],
        ignored="it does not tell when it was written: it could be of any age",
    ),
    Row("a review of a draft", lambda n: [_review(n, pull={"draft": True})], (Kept(),)),
    Row(
        "a review of a pull request that is closed",
        lambda n: [_review(n, pull={"state": "closed", "merged": True})],
        (Kept(),),
    ),
    Row(
        "a review whose body is too long to be kept whole",
        lambda n: [_review(n, body=_LONG)],
        (Kept(clean(_LONG, limit_bytes=DESCRIPTION_LIMIT_BYTES), Severity.MEDIUM),),
    ),
]

LINES = [
    Row(
        "the published comment",
        lambda _: [
            ("pull_request_review_comment", published("pull_request_review_comment.created.json"))
        ],
        ignored="the pull request has no label task-N, and its branch names none "
        "(task-N-… or feature/task-N-…)",
    ),
    Row(
        "the published comment, of yesterday, on a labelled pull request",
        lambda n: [_labelled(n)],
        (
            Kept(
                "Maybe you should use more emoji on this line.",
                Severity.MEDIUM,
                path="README.md",
                line=265,
            ),
        ),
    ),
    Row("a comment on a line", lambda n: [_line(n)], (_ON_LINE,)),
    Row(
        "a comment in the format, on a line",
        lambda n: [_line(n, body=MARKED)],
        (Kept(path="src/app.py", line=12),),
    ),
    Row(
        "a comment that was edited",
        lambda n: [_line(n), _line(n, "edited", body=_OTHER, updated_at=at(11))],
        (_OTHER_KEPT._replace(path="src/app.py", line=12),),
    ),
    Row(
        "a comment that was edited within the second that it was written in",
        lambda n: [_line(n, body="old", updated_at=at(10)), _line(n, "edited", updated_at=at(10))],
        (_ON_LINE,),
    ),
    Row(
        "a comment that was deleted by somebody else",
        lambda n: [
            _line(n),
            (
                "pull_request_review_comment",
                review_comment(
                    "deleted",
                    event={**on(n), "sender": account("admin")},
                    id=n,
                    updated_at=at(11),
                ),
            ),
        ],
        (_ON_LINE._replace(life=Life.DISMISSED),),
    ),
    Row(
        "an edit that arrives behind the deletion",
        lambda n: [
            _line(n, "deleted", updated_at=at(12)),
            _line(n, "edited", body="other words", updated_at=at(11)),
        ],
        (_ON_LINE._replace(life=Life.DISMISSED),),
    ),
    Row(
        "a comment on a line that is gone",
        lambda n: [_line(n, line=None, position=None)],
        (_ON_LINE._replace(line=10),),
    ),
    Row(
        "a comment on a file",
        lambda n: [_line(n, line=None, original_line=None, position=None, subject_type="file")],
        (_ON_LINE._replace(line=0),),
    ),
    Row("a reply", lambda n: [_line(n, in_reply_to_id=n - 1)], (_ON_LINE,)),
    Row(
        "a comment that proposes code",
        lambda n: [_line(n, body="```suggestion\nnames = []\n```")],
        (_ON_LINE._replace(description="```suggestion\nnames = []\n```"),),
    ),
    Row(
        "a comment in other scripts, with signs that hide and turn text",
        lambda n: [_line(n, body="空の名前 لا تظهر 👩🏽‍💻 \u202eneddih\u202c \u200bword")],
        (_ON_LINE._replace(description="空の名前 لا تظهر 👩🏽💻 neddih word"),),
    ),
    Row(
        "a comment with an id beyond 64 bits",
        lambda n: [_line(n, id=2**70 + n)],
        (_ON_LINE,),
    ),
    Row(
        "a comment with nothing but what the schema requires",
        lambda n: [
            (
                "pull_request_review_comment",
                {
                    "action": "created",
                    "comment": {
                        "id": n,
                        "body": "This name shadows a builtin.",
                        "user": {"login": "octocat"},
                        "created_at": at(10),
                        "author_association": "OWNER",
                    },
                    "pull_request": {"number": n, "labels": [{"name": f"task-{n}"}]},
                    "repository": {"id": 9, "full_name": "octo/hello"},
                },
            )
        ],
        (_ON_LINE._replace(path="", line=0),),
    ),
    Row(
        "a thread that was resolved",
        lambda n: [_line(n, "resolved")],
        ignored="nothing is done on the action 'resolved'",
    ),
    Row(
        "a comment on an older commit",
        lambda n: [_line(n, commit_id=EARLIER)],
        (_ON_LINE._replace(life=Life.OUTDATED),),
    ),
    Row(
        "a comment about performance, in the format",
        lambda n: [_line(n, body=MARKED.replace("[Bug]", "performance"))],
        (Kept(issue_type=IssueType.PERFORMANCE, path="src/app.py", line=12),),
    ),
]

ROWS = [*REVIEWS, *LINES]
