import contextlib
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from github_payloads import (
    MARKED,
    account,
    as_body,
    at,
    issue_comment,
    pull_request,
    review,
    review_comment,
)
from payload_rows import TABLE

from mendloop.core.errors import TooLarge, ValidationError
from mendloop.core.lives import finding_of
from mendloop.core.vocabulary import IssueType, Severity
from mendloop.intake.github.deliveries import (
    BODY_LIMIT_BYTES,
    DELIVERY_LIMIT_BYTES,
    Delivery,
    Ignored,
    Says,
)
from mendloop.intake.github.findings import entry_of
from mendloop.intake.github.reduction import EVENTS, reduce


def _reduced(event: str, payload: Any) -> Delivery:
    found = reduce(event, "d-1", as_body(payload))
    assert isinstance(found, Delivery), found
    return found


def test_what_github_publishes_is_read(data: Path) -> None:
    """Of the published examples one is a finding; the others tell why they are none."""
    found = {
        path.name: reduce(path.name.split(".")[0], "d-1", path.read_bytes())
        for path in (data / "github").glob("*.json")
    }
    reasons = {name: one.reason for name, one in found.items() if isinstance(one, Ignored)}
    (comment,) = (one for one in found.values() if isinstance(one, Delivery))

    assert {
        "check_run.completed.json": "a check that ended with 'success' asks for nothing",
        "issue_comment.created.json": "the comment is on an issue and not on a pull request",
        "pull_request_review.submitted.json": "it has no text",
    } == reasons
    assert Says.FINDING is comment.says
    assert "Maybe you should use more emoji on this line." == comment.text
    assert ("README.md", 265, 1) == (comment.path, comment.line, comment.position)
    assert ("changes", 2, ("bug",)) == (comment.branch, comment.pull_request, comment.labels)
    assert "github:186853002:review-comment:284312630" == comment.source_id
    assert comment.head_sha == comment.commit


def test_a_marked_review_becomes_an_entry_with_its_type_and_severity() -> None:
    """The format's own words decide; the entry is named by the review."""
    delivery = _reduced("pull_request_review", review())
    entry = entry_of(delivery)

    assert (Severity.HIGH, IssueType.BUG) == (entry.severity, entry.issue_type)
    assert "github:9:review:21" == entry.pr_comment_id
    assert "Saving a profile with an empty display name answers 500." == entry.description
    assert datetime.fromisoformat(at(10)) == entry.timestamp


def test_a_comment_keeps_where_it_stands_and_what_it_answers() -> None:
    """File and line are the finding's; the place in the diff and the comment that it answers are told."""
    delivery = _reduced(
        "pull_request_review_comment", review_comment(body=MARKED, in_reply_to_id=30)
    )
    finding = finding_of(entry_of(delivery))

    assert ("src/app.py", 12) == (finding.path, finding.line)
    assert "at position 3 of the diff; answers github:9:review-comment:30" == finding.note


def test_a_delivery_survives_the_queue() -> None:
    """What is stored and read back is what was stored."""
    delivery = _reduced("issue_comment", issue_comment(body=f"/pause for now\n\n{MARKED}"))

    assert delivery == msgspec.json.decode(msgspec.json.encode(delivery), type=Delivery)
    assert delivery.command is not None


@pytest.mark.parametrize("name", ["status", "push", "", "pull_request_review_thread"])
def test_an_event_that_is_not_known_is_ignored_with_a_reason(name: str) -> None:
    """A webhook that sends more than it is asked to does no harm."""
    assert isinstance(reduce(name, "d-1", b"no JSON"), Ignored)


@pytest.mark.parametrize("number", TABLE, ids=lambda number: TABLE[number].name)
def test_what_is_signed_says_nothing_else_under_another_event(number: int) -> None:
    """The event's name is not signed: the same body under another name comes to nothing."""
    for event, payload in TABLE[number].events(number):
        for other in set(EVENTS) - {event}:
            with contextlib.suppress(ValidationError):
                assert isinstance(reduce(other, "d-1", as_body(payload)), Ignored), other


def test_a_delivery_is_bounded_whatever_its_text_is_made_of() -> None:
    """The longest of all texts, in the widest of characters, with the most labels, still fits the queue."""
    text = '\x01\u202e"\\\U0001f600é' * 80_000
    labels = [{"name": "\\" * 500}] * 500
    event = {"pull_request": pull_request(labels=labels, head={"ref": '"' * 100_000})}
    found = _reduced("pull_request_review", review(body=text, event=event))

    assert len(msgspec.json.encode(found)) <= DELIVERY_LIMIT_BYTES


def test_what_is_longer_than_a_body_may_be_is_not_read() -> None:
    """Whoever hands over more than the door lets in is refused too."""
    body = as_body(review())
    longest = body + b" " * (BODY_LIMIT_BYTES - len(body))

    assert isinstance(reduce("pull_request_review", "d-1", longest), Delivery)
    with pytest.raises(TooLarge):
        reduce("pull_request_review", "d-1", longest + b" ")


def test_who_and_where_are_kept_as_the_guards_compare_them() -> None:
    """A bot is one by its name too, an association is in capitals, and an id has more than 32 bits."""
    bot = account("octo-ci[bot]", "User")
    repository = {"repository": {"id": 2**33, "full_name": "octo/hello"}}
    found = _reduced(
        "issue_comment", issue_comment(event=repository, user=bot, author_association="member")
    )

    assert (True, "MEMBER", 2**33) == (
        found.author.is_bot,
        found.association,
        found.repository_id,
    )


def test_what_is_edited_to_nothing_is_withdrawn() -> None:
    """Of what was new and says nothing there is nothing to withdraw."""
    assert (
        Says.WITHDRAWN
        is _reduced("pull_request_review_comment", review_comment("edited", body=" ")).says
    )
    blank = as_body(review_comment(body=" "))
    assert isinstance(reduce("pull_request_review_comment", "d-1", blank), Ignored)


@pytest.mark.parametrize("action", ["opened", "reopened", "synchronize"])
def test_a_new_head_is_told_by_each_event_that_has_one(action: str) -> None:
    """A change that was closed meanwhile may stand elsewhere when it is opened again."""
    event = issue_comment(action) | {"number": 7, "pull_request": pull_request()}

    assert Says.HEAD is _reduced("pull_request", event).says


def test_a_time_without_a_zone_is_none() -> None:
    """It could be any of a day: without another one, the comment could be of any age."""
    naive = {"created_at": "2026-01-01T10:00:00", "updated_at": "2026-01-01T10:00:00"}
    found = reduce("issue_comment", "d-1", as_body(issue_comment(**naive)))

    assert isinstance(found, Ignored)
    assert "when it was written" in found.reason


def test_a_hundred_labels_are_kept() -> None:
    """GitHub lets an issue have no more."""
    labels = [{"name": f"l{number}"} for number in range(101)]
    event = {"pull_request": pull_request(labels=labels)}

    assert 100 == len(_reduced("pull_request_review", review(event=event)).labels)


def test_what_is_kept_of_a_delivery_has_no_secret() -> None:
    """Neither the text nor a name that somebody chose: it waits in the store."""
    token = "ghp_" + "a1B2" * 9
    found = _reduced("pull_request_review_comment", review_comment(body=token, path=f"x/{token}"))

    assert ("[redacted: github token]", "x/[redacted: github token]") == (found.text, found.path)
