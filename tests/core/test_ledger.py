"""Findings: what is new, what is gone, what came back, and who may say so."""

from __future__ import annotations

from datetime import UTC, timedelta, timezone
from typing import Any

import msgspec
import pytest
from drive import Driver, finding, report
from hypothesis import given
from hypothesis import strategies as st
from states import NOW, entry, state

from mendloop.core import commands
from mendloop.core.codec import encode_state
from mendloop.core.errors import StateError, ValidationError
from mendloop.core.model import FeedbackEntry, Finding
from mendloop.core.text import COMMENT_ID_LIMIT_BYTES, RULE_LIMIT_BYTES
from mendloop.core.vocabulary import Life, Severity, Status


def ours(found: FeedbackEntry) -> Finding:
    """Our part of a finding."""
    assert isinstance(found.mendloop, Finding)
    return found.mendloop


def reviewed(*reviews: Any) -> Driver:
    """A task after these reviews, each a tuple of reports."""
    driver = Driver().start(max_iterations=100, step_attempts=100)
    driver.increment()
    for reports in reviews:
        driver.review(*reports)
    return driver


def test_what_a_complete_review_no_longer_reports_is_resolved() -> None:
    """Absent from a complete review by the same source: verified, with its iteration."""
    driver = reviewed((report("a", "b"),), (report("b"),))
    assert ["fault b"] == driver.open_ids()
    gone = ours(driver.state.feedback_history[0])
    assert (Life.VERIFIED, 1) == (gone.life, gone.resolved_iteration)


def test_what_another_source_says_in_the_same_words_stays_the_first_ones() -> None:
    """One finding, of which nothing is changed: the first source knows it again by its name."""
    said = report(findings=(finding("a", comment_id="c1"),))
    driver = reviewed((said,))
    [before] = driver.state.feedback_history
    driver.review(said, report(reviewer="tests", findings=(finding("a", comment_id="c1", line=9),)))
    [after] = driver.state.feedback_history
    assert (ours(before).fingerprint, 0) == (ours(after).fingerprint, ours(after).line)


def test_another_source_resolves_nothing() -> None:
    """A reviewer speaks only for what it reported itself."""
    driver = reviewed((report("a"),), (report(reviewer="tests"),))
    assert ["fault a"] == driver.open_ids()


@pytest.mark.parametrize(("one", "other"), [("lint", "lint:ruff"), ("a", "a:b"), ("a", "a%3Ab")])
def test_reviewers_of_similar_names_are_two(one: str, other: str) -> None:
    """A colon in a reviewer's name makes it no tool of another reviewer."""
    driver = reviewed((report("a", reviewer=other),), (report(reviewer=one),))
    assert ["fault a"] == driver.open_ids()
    driver.review(report(reviewer=other))
    assert [] == driver.open_ids()


@pytest.mark.parametrize(
    "name",
    ["x" * 5000, "check --token=ghp_0123456789abcdefghij0123456789abcdef", "a\x1b[31mb", "\udcff"],
)
def test_a_reviewer_resolves_its_findings_whatever_it_is_called(name: str) -> None:
    """A name that has to be cut, redacted or cleaned still names one source."""
    driver = reviewed((report("a", reviewer=name),), (report(reviewer=name),))
    assert [] == driver.open_ids()
    encode_state(driver.state)


def test_long_names_with_one_beginning_are_two_sources() -> None:
    """What is cut away from a name still tells it apart."""
    driver = reviewed((report("a", reviewer="x" * 500),), (report(reviewer="x" * 501),))
    assert ["fault a"] == driver.open_ids()
    assert 2 == len(driver.ledger.sources)
    assert max(len(name) for name in driver.ledger.sources) <= RULE_LIMIT_BYTES
    assert len(ours(driver.state.feedback_history[0]).source) <= RULE_LIMIT_BYTES


def test_a_report_for_some_tools_resolves_only_theirs() -> None:
    """Of a reviewer with two tools, the one that reports speaks for itself."""
    mypy = finding("m", tool="mypy")
    driver = reviewed((report(findings=(finding("r"), mypy)),))
    driver.review(report(tools=("ruff",)))
    assert ["fault m"] == driver.open_ids()
    driver.review(report(tools=("mypy",)))
    assert [] == driver.open_ids()


def test_a_cut_or_failed_review_adds_and_resolves_nothing() -> None:
    """A partial review is no evidence of absence; what it found goes to the fixer."""
    driver = reviewed((report("a"),), (report("b", is_complete=False, problem="cut"),))
    assert ["fault a", "fault b"] == driver.open_ids()
    assert [True, False] == [done.is_complete for done in driver.ledger.rounds]
    assert driver.ledger.step is None


def test_a_failed_review_without_findings_is_tried_again() -> None:
    """Nothing was learned from it: the step failed once, and no round is closed."""
    driver = reviewed((report("a"),), (report(is_complete=False, problem="cut"),))
    assert ["fault a"] == driver.open_ids()
    assert 1 == len(driver.ledger.rounds)
    assert driver.ledger.step is not None
    assert 1 == driver.ledger.step.failures


def test_one_failed_reviewer_leaves_the_others_word() -> None:
    """Of two reviewers, the one that was complete still resolves what it no longer reports."""
    both = (report("a"), report("b", reviewer="tests"))
    failed = (report(), report(reviewer="tests", is_complete=False, problem="exit 2"))
    assert ["fault b"] == reviewed(both, failed).open_ids()


@pytest.mark.parametrize("turn", [1, -1])
def test_what_any_report_of_a_review_has_is_not_resolved_by_it(turn: int) -> None:
    """Two reports of one reviewer are one word, in whatever order they come."""
    reports = (report("a", "b"), report("c"))[::turn]
    driver = reviewed(reports, reports)
    assert ["fault a", "fault b", "fault c"] == sorted(driver.open_ids())
    assert [0, 0, 0] == [ours(e).times_returned for e in driver.state.feedback_history]


def test_what_returns_is_reopened_and_counted() -> None:
    """A finding that comes back is the same finding, and how often is kept."""
    driver = reviewed((report("a"),), (report(),), (report("a"),), (report(),), (report("a"),))
    [found] = driver.state.feedback_history
    assert (Life.REOPENED, 2, None, False) == (
        ours(found).life,
        ours(found).times_returned,
        ours(found).resolved_iteration,
        found.resolved,
    )


def test_a_finding_keeps_where_it_came_from() -> None:
    """The operation that brought it, its rule, place and iterations stay with it."""
    driver = reviewed((report(findings=(finding("a", rule="E1", line=3),)),))
    driver.fix()
    driver.review(report(findings=(finding("a", rule="E1", line=9),)))
    [found] = driver.state.feedback_history
    told = ours(found)
    assert ("op5", "lint:ruff", "E1", "a.py", 9) == (
        told.op_id,
        told.source,
        told.rule,
        told.path,
        told.line,
    )
    assert (1, 1, "ruff") == (told.first_iteration, told.last_iteration, found.author)
    driver.increment()
    driver.fix()
    driver.review(report(findings=(finding("a", rule="E1"),)))
    assert (1, 2) == (
        ours(found).first_iteration,
        ours(driver.state.feedback_history[0]).last_iteration,
    )


def test_a_persons_finding_is_resolved_by_no_tool() -> None:
    """Whatever linters report, what a person said stays open."""
    driver = reviewed((report("a"),))
    driver.append("p1")
    relayed = finding(
        "p", comment_id="p1", description="it breaks", severity=Severity.HIGH, tool="forge"
    )
    driver.review(report(findings=(finding("a"), relayed)))
    driver.review(report())
    driver.review(report(reviewer="person"))
    assert [True, False] == [e.resolved for e in driver.state.feedback_history]


def test_sources_with_one_comment_id_keep_their_own_findings() -> None:
    """What one source says under an id changes nothing that another one said under it."""
    driver = reviewed()
    driver.append("c1", description="it leaks", severity=Severity.CRITICAL)
    low = finding("x", comment_id="c1", severity=Severity.LOW)
    driver.review(report(findings=(low,), reviewer="one"))
    driver.review(report(findings=(low,), reviewer="two"))
    assert ["it leaks", "fault x", "fault x"] == driver.open_ids()
    driver.review(report(reviewer="one"))
    assert ["it leaks", "fault x"] == driver.open_ids()
    driver.append("c1", description="it leaks a lot", severity=Severity.CRITICAL)
    assert ["it leaks a lot", "fault x"] == driver.open_ids()
    ids = [e.pr_comment_id for e in driver.state.feedback_history]
    assert ("c1", 3) == (ids[0], len(set(ids)))


def test_findings_of_one_review_with_one_comment_id_stay_two() -> None:
    """A tool that gives two faults one id loses neither, in any order, and nothing is reopened."""
    first = finding("x", identity="", comment_id="c1", severity=Severity.CRITICAL)
    second = finding("y", identity="", comment_id="c1", severity=Severity.LOW)
    driver = reviewed((report(findings=(first, second)),), (report(findings=(second, first)),))
    assert ["fault x", "fault y"] == driver.open_ids()
    driver.review(report(findings=(second,)))
    assert ["fault y"] == driver.open_ids()
    assert 2 == len(driver.state.feedback_history)


def test_a_name_made_of_a_fingerprint_overwrites_no_other_finding() -> None:
    """A comment id that looks like the name of a tool's finding is another finding."""
    driver = reviewed((report("a", findings=(finding("a", severity=Severity.CRITICAL),)),))
    [known] = driver.state.feedback_history
    forged = finding("b", comment_id=known.pr_comment_id, severity=Severity.LOW)
    driver.review(report(findings=(forged,), reviewer="other"))
    assert ["fault a", "fault b"] == driver.open_ids()
    assert known == driver.state.feedback_history[0]


def test_equal_words_in_two_comments_are_two_findings() -> None:
    """Comments that say the same are told apart by their ids, also when they come alone."""
    one, two = (finding("x", identity="", comment_id=f"c{n}") for n in (1, 2))
    driver = reviewed((report(findings=(one, two)),), (report(findings=(two,)),))
    assert [True, False] == [e.resolved for e in driver.state.feedback_history]
    assert "c2" == driver.state.feedback_history[1].pr_comment_id


def test_an_edited_comment_of_a_review_stays_one_finding() -> None:
    """New words of one reviewer under one id are an edit."""
    driver = reviewed(
        (report(findings=(finding("x", identity="", comment_id="c1"),)),),
        (report(findings=(finding("y", identity="", comment_id="c1"),)),),
    )
    assert ["fault y"] == driver.open_ids()
    assert 1 == len(driver.state.feedback_history)


def test_findings_without_a_tool_are_resolved_by_a_report_that_names_tools() -> None:
    """A reviewer that spoke in plain text once and in SARIF since speaks for both."""
    driver = reviewed((report("a", findings=(finding("a", tool=""),), format="text"),))
    driver.review(report("b", tools=("ruff",)))
    assert ["fault b"] == driver.open_ids()


def test_what_another_program_took_down_is_a_persons() -> None:
    """A tool that reports a comment of unknown source does not become the one to resolve it."""
    driver = Driver(state(iteration=1, status=Status.IN_PROGRESS, feedback_history=(entry("c1"),)))
    driver.hold()
    driver.review(report(findings=(finding("x", comment_id="c1"),)))
    driver.review(report())
    assert 1 == len(driver.open_ids())


def test_the_same_again_changes_nothing() -> None:
    """A finding delivered twice is known, and nothing is to be written."""
    driver = reviewed()
    assert {"new": 1, "known": 0, "edited": 0, "outdated": 0, "ids": ["c1"]} == driver.append("c1")
    before = driver.state
    assert {"new": 0, "known": 1, "edited": 0, "outdated": 0, "ids": ["c1"]} == driver.append("c1")
    assert before is driver.state


def test_a_late_redelivery_reopens_nothing() -> None:
    """The very same comment again is no return of a finding that was resolved since."""
    driver = reviewed()
    driver.append("c1")
    [found] = driver.state.feedback_history
    driver.set(feedback_history=(msgspec.structs.replace(found, resolved=True),))
    assert 1 == driver.append("c1")["known"]
    assert [] == driver.open_ids()
    driver.append("c1", timestamp=NOW + timedelta(seconds=1))
    assert ["it breaks"] == driver.open_ids()


def test_an_edit_changes_the_finding_and_not_their_number() -> None:
    """Other words or another severity under one id are an edit."""
    driver = reviewed()
    driver.append("c1")
    assert 1 == driver.append("c1", severity=Severity.LOW)["edited"]
    assert 1 == driver.append("c1", description="it hangs")["edited"]
    [found] = driver.state.feedback_history
    assert (Severity.HIGH, "it hangs") == (found.severity, found.description)


def test_findings_without_an_id_get_one_of_their_content() -> None:
    """An empty comment id is never stored."""
    driver = reviewed()
    assert driver.append("")["ids"] == driver.append("")["ids"]
    driver.append("", description="another")
    ids = [e.pr_comment_id for e in driver.state.feedback_history]
    assert 2 == len(set(ids))
    assert all(i.startswith("person:") for i in ids)


@pytest.mark.parametrize(
    ("one", "other"), [("a\x00b", "ab"), ("x" * 500, "x" * 501), ("\ud800", "\ud801")]
)
def test_ids_that_differ_only_in_what_goes_stay_two(one: str, other: str) -> None:
    """Cleaning and cutting an id never makes one finding of two."""
    driver = reviewed()
    driver.append(one, other)
    ids = {e.pr_comment_id for e in driver.state.feedback_history}
    assert 2 == len(ids)
    assert max(len(i.encode()) for i in ids) <= COMMENT_ID_LIMIT_BYTES
    encode_state(driver.state)


def test_times_are_stored_in_utc() -> None:
    """A time with an offset is stored as the same instant in UTC."""
    zone = timezone(timedelta(hours=-7))
    driver = reviewed()
    driver.append("c1", timestamp=NOW.astimezone(zone))
    [found] = driver.state.feedback_history
    assert (NOW, UTC) == (found.timestamp, found.timestamp.tzinfo)


@pytest.mark.parametrize(
    "changes",
    [
        {"timestamp": NOW.replace(tzinfo=None)},
        {"timestamp": NOW.replace(year=1, month=1, day=1, tzinfo=timezone(timedelta(hours=9)))},
        {"severity": "Horrible"},
        {"issue_type": "Style"},
        {"description": " \n"},
        {"description": "\x00\u200b"},
        {"extra": {"other": msgspec.Raw(b"{")}},
    ],
    ids=lambda changes: "-".join(map(repr, changes)),
)
def test_a_finding_that_no_reader_takes_is_refused(changes: dict[str, Any]) -> None:
    """One bad finding is refused, and the task stays as it was."""
    driver = reviewed()
    before = driver.state
    with pytest.raises(ValidationError):
        driver.append("c1", **changes)
    assert before is driver.state


@pytest.mark.parametrize("changes", [{"author": 7}, {"description": 7}, {"pr_comment_id": [7]}])
def test_a_finding_of_wrong_types_changes_nothing(changes: dict[str, Any]) -> None:
    """Values that the types forbid do not get in."""
    driver = reviewed()
    before = driver.state
    with pytest.raises((StateError, TypeError, AttributeError)):
        driver.apply(commands.AppendFeedback(entries=(entry(**changes),)))
    assert before is driver.state


def test_a_line_beyond_any_file_is_kept_within_what_can_be_read() -> None:
    """A tool's absurd line number does no harm."""
    driver = reviewed((report(findings=(finding("a", line=10**40), finding("b", line=-5))),))
    assert [2**31 - 1, 0] == [ours(e).line for e in driver.state.feedback_history]


_REPORTS = st.builds(
    lambda names, reviewer, is_complete: report(
        *sorted(names),
        reviewer=reviewer,
        is_complete=is_complete,
        problem="" if is_complete else "x",
    ),
    st.frozensets(st.sampled_from("abcde")),
    st.sampled_from(["lint", "tests"]),
    st.booleans(),
)


@given(st.lists(st.lists(_REPORTS, min_size=1, max_size=3), min_size=1, max_size=12))
def test_no_finding_is_lost_and_the_order_is_stable(reviews: list[list[Any]]) -> None:
    """Over any reviews: what was once found stays, in its place, open exactly as the rules say."""
    driver = Driver().start(step_attempts=100)
    driver.increment()
    open_names: dict[tuple[str, str], bool] = {}
    for reports in reviews:
        before = [e.pr_comment_id for e in driver.state.feedback_history]
        driver.review(*reports)
        after = [e.pr_comment_id for e in driver.state.feedback_history]
        assert before == after[: len(before)]
        assert len(set(after)) == len(after)
        seen = {(r.reviewer, f.identity) for r in reports for f in r.findings}
        whole = {r.reviewer for r in reports if r.is_complete}
        for name in open_names:
            open_names[name] &= name in seen or name[0] not in whole
        open_names |= dict.fromkeys(sorted(seen), True)
    told = {
        (ours(e).source.split(":")[0], e.description.removeprefix("fault ")): not e.resolved
        for e in driver.state.feedback_history
    }
    assert open_names == told
