"""Comments on pull requests as a whole, with and without commands, for the table of payloads."""

from __future__ import annotations

from typing import Any

from github_payloads import MARKED, account, at, issue_comment
from payload_table import Event, Kept, Row, published

from mendloop.core.vocabulary import Life, Severity

__all__ = ["ROWS"]

_NEITHER = "the comment has neither marker nor command"
_NOT_PULL = "the comment is on an issue and not on a pull request"


def _comment(
    number: int, action: str = "created", /, *, event: Any = None, issue: Any = None, **changed: Any
) -> Event:
    about = {
        "id": 5,
        "number": number,
        "labels": [{"id": 2, "name": f"task-{number}"}],
        "pull_request": {"url": f"https://api.github.com/repos/octo/hello/pulls/{number}"},
        **(issue or {}),
    }
    return "issue_comment", issue_comment(
        action, event={"issue": about, **(event or {})}, **{"id": number, **changed}
    )


def _by(person: dict[str, Any], number: int, /, **changed: Any) -> Event:
    return _comment(number, event={"sender": person}, **{"user": person, **changed})


def _published_on_pull(number: int) -> Event:
    payload = published("issue_comment.created.json")
    payload["issue"] |= {"number": number, "labels": [{"name": f"task-{number}"}]}
    payload["issue"]["pull_request"] = {"url": "https://api.github.com/repos/octo/hello/pulls/1"}
    payload["comment"] |= {"body": MARKED, "created_at": at(9), "updated_at": at(9)}
    return "issue_comment", payload


COMMENTS = [
    Row(
        "the published comment, on an issue",
        lambda _: [("issue_comment", published("issue_comment.created.json"))],
        ignored=_NOT_PULL,
    ),
    Row(
        "the published comment on an issue, of yesterday, in the format and on a pull request",
        lambda n: [_published_on_pull(n)],
        (Kept(),),
    ),
    Row("a comment in the format, on no line", lambda n: [_comment(n)], (Kept(),)),
    Row(
        "a comment in other words",
        lambda n: [_comment(n, body="Looks good, a shorter name would do.")],
        ignored=_NEITHER,
    ),
    Row("an empty comment", lambda n: [_comment(n, body="")], ignored="it has no text"),
    Row(
        "a comment on an issue",
        lambda n: [_comment(n, issue={"pull_request": None})],
        ignored=_NOT_PULL,
    ),
    Row(
        "a quote of a finding",
        lambda n: [_comment(n, body="> " + MARKED.replace("\n", "\n> ") + "\n\nDone.")],
        ignored=_NEITHER,
    ),
    Row(
        "a comment on no line that was deleted",
        lambda n: [_comment(n), _comment(n, "deleted", updated_at=at(11))],
        (Kept(life=Life.DISMISSED),),
    ),
    Row(
        "a comment that was edited into the format",
        lambda n: [
            _comment(
                n,
                "edited",
                event={"changes": {"body": {"from": "hm"}}},
                updated_at=at(11),
            )
        ],
        (Kept(),),
    ),
    Row(
        "a comment that was edited out of the format: it stays, in its new words",
        lambda n: [
            _comment(n),
            _comment(
                n,
                "edited",
                event={"changes": {"body": {"from": MARKED}}},
                body="Only a question.",
                updated_at=at(11),
            ),
        ],
        (Kept("Only a question.", Severity.MEDIUM),),
    ),
    Row(
        "an edit of a comment that never was in the format",
        lambda n: [
            _comment(
                n,
                "edited",
                event={"changes": {"body": {"from": "hm"}}},
                body="hm, hm",
                updated_at=at(11),
            )
        ],
        ignored=_NEITHER,
    ),
    Row(
        "a comment with a secret",
        lambda n: [_comment(n, body=MARKED + "\nIt logs ghp_" + "a1B2" * 9 + " too.\n")],
        (Kept(Kept().description + "\n\nIt logs [redacted: github token] too."),),
    ),
]

COMMANDS = [
    Row(
        "a pause with a reason", lambda n: [_comment(n, body="/pause while we talk")], order="pause"
    ),
    Row("a pause in capitals", lambda n: [_comment(n, body="\r\n  /PAUSE\r\n")], order="pause"),
    Row("a stop", lambda n: [_comment(n, body="/stop")], order="stop"),
    Row("a resume", lambda n: [_comment(n, body="/remediate")], order="resume"),
    Row("a resume with a limit", lambda n: [_comment(n, body="/resume 25")], order="resume"),
    Row(
        "a command and a finding in one comment",
        lambda n: [_comment(n, body=f"/pause please\n\n{MARKED}")],
        (Kept(),),
        order="pause",
    ),
    Row(
        "a resume with a limit that is none",
        lambda n: [_comment(n, body="/resume soon")],
        ignored="/resume takes a number of iterations from 1 to 4294967295, or nothing",
    ),
    Row(
        "two commands",
        lambda n: [_comment(n, body="/pause\n/resume")],
        ignored="a comment gives one command, and this one has 2: none was taken",
    ),
    Row(
        "two commands and a finding: the finding alone is taken",
        lambda n: [_comment(n, body=f"/pause\n/resume\n\n{MARKED}")],
        (Kept(),),
        warning="a comment gives one command, and this one has 2: none was taken",
    ),
    Row(
        "a command in a fence",
        lambda n: [_comment(n, body="Write\n```\n/stop\n```\nto stop it.")],
        ignored=_NEITHER,
    ),
    Row("a command in a quote", lambda n: [_comment(n, body="> /stop\n\nNo!")], ignored=_NEITHER),
    Row("a command in a list", lambda n: [_comment(n, body="- /stop")], ignored=_NEITHER),
    Row(
        "a command within a line",
        lambda n: [_comment(n, body="Say /stop to stop it.")],
        ignored=_NEITHER,
    ),
    Row("no command that is known", lambda n: [_comment(n, body="/retest")], ignored=_NEITHER),
    Row(
        "a command that an edit puts in",
        lambda n: [
            _comment(
                n,
                "edited",
                event={"changes": {"body": {"from": "hm"}}},
                body="/stop",
                updated_at=at(11),
            )
        ],
        ignored=_NEITHER,
    ),
    Row(
        "a command by somebody who may not",
        lambda n: [_by(account("stranger"), n, body="/stop", author_association="NONE")],
        ignored="'stranger' (NONE) is not allowed by name, team or association",
    ),
    Row(
        "a command by somebody who wrote here before, and may not",
        lambda n: [_by(account("guest"), n, body="/stop", author_association="CONTRIBUTOR")],
        ignored="'guest' (CONTRIBUTOR) is not allowed by name, team or association",
    ),
    Row(
        "a command by a bot whose findings count",
        lambda n: [_by(account("octo-ci[bot]", "Bot"), n, body="/stop")],
        ignored="only a person gives orders",
    ),
    Row(
        "a finding with a command by a bot: the finding alone is taken",
        lambda n: [_by(account("octo-ci[bot]", "Bot"), n, body=f"/stop\n\n{MARKED}")],
        (Kept(),),
    ),
]

ROWS = [*COMMENTS, *COMMANDS]
