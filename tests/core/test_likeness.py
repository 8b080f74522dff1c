"""Findings in new words: what is evidence enough, and what is not."""

from __future__ import annotations

from typing import Any

import pytest
from drive import Driver, finding, report
from msgspec.structs import replace

from mendloop.core.likeness import Traits, reworded
from mendloop.core.model import Finding
from mendloop.core.vocabulary import Life

ONE = Traits(
    source="lint:ruff",
    rule="F841",
    path="a.py",
    message="Local variable `left` is never used",
    context="    left = sum_of(rows, seen)",
)


def changed(**changes: Any) -> Traits:
    """The one finding, changed."""
    return replace(ONE, **changes)


@pytest.mark.parametrize(
    "again",
    [
        changed(message="`left` is assigned to and not read"),
        changed(context="left  =  sum_of(rows, seen)", message="Local variable `l` is never used"),
        changed(message="Local variable `rest` is never used", context="rest = sum_of(rows, seen)"),
        changed(path="b.py"),
        changed(context="    left = sum_of(rows, seen) "),
        changed(context="    left = sum_of(rows, seen, 1)"),
    ],
)
def test_one_that_is_gone_and_one_that_came_are_one(again: Traits) -> None:
    """Where rule and source agree, and enough of file, line and message."""
    assert {0: 0} == reworded([ONE], [again])


def test_one_that_is_found_again_is_found_once() -> None:
    """What is sure by its line is not given to another one that agrees in less."""
    near = changed(context="    left = sum_of(rows, seen, 1)")
    assert {0: 0} == reworded([ONE, near], [changed(message="Local variable `left` is never used")])


def test_a_line_of_one_word_tells_nothing() -> None:
    """Where the message is another, too little is left to agree in."""
    short = changed(context="finish()")
    assert {} == reworded([short], [changed(context="finish()", message="it is not awaited")])


@pytest.mark.parametrize(
    "other",
    [
        changed(source="lint:mypy"),
        changed(rule="F811"),
        changed(context="left = of(other_things)"),
        changed(message="`rest` is not read", context="rest = sum_of(rows, seen)"),
        changed(path="b.py", context="left = sum_of(rows)"),
        changed(path="b.py", message="Local variable `rest` is never used"),
    ],
)
def test_what_differs_in_too_much_is_two(other: Traits) -> None:
    """Another rule or source, or too little of the line."""
    assert {} == reworded([ONE], [other])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("import os", "import re"),
        ("from a.b.c import d", "from a.b.c import e"),
        ("x = 1", "y = 1"),
    ],
)
def test_where_a_name_is_all_another_name_is_another_finding(before: str, after: str) -> None:
    """An import that was removed and one that was put in are two."""
    names = [text.replace(" = 1", "").split()[-1] for text in (before, after)]
    gone, came = (
        changed(message=f"`{name}` is unused", context=text)
        for name, text in zip(names, (before, after), strict=True)
    )
    assert {} == reworded([gone], [came])


def test_of_two_that_may_be_meant_none_is_taken() -> None:
    """They stay two, however well each fits."""
    again = changed(message="`left` is assigned to and not read")
    assert {} == reworded([ONE, ONE], [again])
    assert {} == reworded([ONE], [again, again])


def test_a_finding_without_a_rule_is_not_recognised() -> None:
    """Words alone are no evidence."""
    assert {} == reworded([changed(rule="")], [changed(rule="", message="other")])


def test_a_reworded_finding_is_the_same_and_tells_what_it_was() -> None:
    """It is counted as such, keeps its id and its life, and notes the earlier words."""
    driver = Driver().start()
    driver.increment()
    line = {"rule": "F841", "context": "left = sum_of(rows)", "identity": ""}
    driver.review(report(findings=(finding("a", description="`left` is unused", **line),)))
    driver.fix()
    told = driver.review(report(findings=(finding("a", description="not read", **line),)))
    [found] = driver.state.feedback_history
    assert isinstance(found.mendloop, Finding)
    assert (0, 0, 1) == (told["new"], told["resolved"], told["open"])
    assert ("not read", "before: `left` is unused") == (found.description, found.mendloop.note)
    assert Life.OPEN is found.mendloop.life
    assert (
        0 == driver.review(report(findings=(finding("a", description="not read", **line),)))["new"]
    )


def test_a_cut_review_rewords_nothing() -> None:
    """What it does not report may be there still, beside what it does."""
    driver = Driver().start()
    driver.increment()
    line = {"rule": "F841", "context": "left = sum_of(rows)", "identity": ""}
    driver.review(report(findings=(finding("a", description="`left` is unused", **line),)))
    again = finding("a", description="not read", **line)
    driver.review(report(findings=(again,), is_complete=False, problem="cut"))
    assert ["`left` is unused", "not read"] == driver.open_ids()
