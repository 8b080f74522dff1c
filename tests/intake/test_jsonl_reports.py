import json
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest

from mendloop.core.findings import RawFinding, Report
from mendloop.core.vocabulary import IssueType, Severity
from mendloop.intake import jsonl_schema

Read = Callable[..., Report]

LINE = {"severity": "High", "issue_type": "Bug", "description": "d"}


def _lines(*given: Any) -> str:
    return "\n".join(one if isinstance(one, str) else json.dumps(one) for one in given)


def test_every_member_of_the_schema_is_read(read: Read) -> None:
    """What a line says is what the finding says; members of other people are ignored."""
    members = {
        "author": "a",
        "comment_id": "c",
        "path": "p",
        "line": 3,
        "rule": "r",
        "tool": "t",
        "identity": "i",
    }
    report = read(_lines({**LINE, **members, "else": [{}]}))

    assert report.is_complete
    assert (
        RawFinding(severity=Severity.HIGH, issue_type=IssueType.BUG, description="d", **members),
    ) == report.findings


@pytest.mark.parametrize(
    ("changes", "severity", "issue_type", "note"),
    [
        ({"severity": "critical"}, Severity.CRITICAL, IssueType.BUG, ""),
        ({"severity": " LOW "}, Severity.LOW, IssueType.BUG, ""),
        ({"issue_type": "SECURITY"}, Severity.HIGH, IssueType.SECURITY, ""),
        (
            {"issue_type": "Missing Feature"},
            Severity.HIGH,
            IssueType.ENHANCEMENT,
            "Missing Feature",
        ),
        ({"issue_type": "regression"}, Severity.HIGH, IssueType.BUG, "regression"),
        ({"severity": "blocker"}, Severity.MEDIUM, IssueType.BUG, '"blocker" is not known'),
        ({"severity": 3}, Severity.MEDIUM, IssueType.BUG, '"3" is not known'),
        ({"severity": None}, Severity.MEDIUM, IssueType.BUG, "is not given"),
        ({"issue_type": "smell"}, Severity.HIGH, IssueType.BUG, '"smell" is not known'),
        ({"issue_type": {"a": 1}}, Severity.HIGH, IssueType.BUG, "is not known, Bug assumed"),
        ({"line": "7"}, Severity.HIGH, IssueType.BUG, "line could not be read"),
        ({"path": ["a"]}, Severity.HIGH, IssueType.BUG, "path could not be read"),
        ({"line": -1}, Severity.HIGH, IssueType.BUG, ""),
        ({"author": None}, Severity.HIGH, IssueType.BUG, ""),
        ({"description": " "}, Severity.HIGH, IssueType.BUG, "no description is given"),
    ],
)
def test_a_finding_is_kept_whatever_its_words(
    read: Read, changes: dict[str, Any], severity: Severity, issue_type: IssueType, note: str
) -> None:
    """Any letter case is read; what is not understood is assumed, noted and never lost."""
    report = read(_lines({**LINE, **changes}))
    (finding,) = report.findings

    assert report.is_complete
    assert (severity, issue_type) == (finding.severity, finding.issue_type)
    assert note in finding.note
    assert bool(note) == bool(finding.note)
    assert finding.description


@pytest.mark.parametrize("missing", ["severity", "issue_type"])
def test_a_missing_word_is_assumed_and_noted(read: Read, missing: str) -> None:
    """One of the two may be missing; the finding is kept as Medium or Bug."""
    line = {name: value for name, value in LINE.items() if name != missing}
    report = read(_lines(line), format="jsonl")

    assert report.is_complete
    assert "is not given" in report.findings[0].note


@pytest.mark.parametrize(
    "bad",
    [
        "not json",
        '{"severity":"High","issue_type":"Bug"}',
        '{"severity":"High","issue_type":"Bug","description":3}',
        '{"description":"d"}',
        "[1]",
        "{" * 100_000,
        '{"severity":"High","issue_type":"Bug","description":"d","x":' + "[" * 100_000,
        '{"severity":"High","issue_type":"Bug","description":"cut',
    ],
)
def test_a_bad_line_is_told_and_loses_no_other(read: Read, bad: str) -> None:
    """The number of the line is said, and the findings around it are kept."""
    report = read(_lines(LINE, "", bad, LINE), exit_code=0)

    assert ("jsonl", 2, False) == (report.format, len(report.findings), report.is_complete)
    assert "line 3 is no finding" in report.problem


def test_many_bad_lines_are_counted(read: Read) -> None:
    """A problem text stays short: the first are told, the rest are a figure."""
    report = read(_lines(LINE, *["{"] * 50))

    assert "47 more" in report.problem
    assert len(report.problem) < 500


def test_bytes_that_are_not_utf8_are_kept_and_told(read: Read) -> None:
    """The finding is kept with a replacement; the report is not whole."""
    report = read(_lines(LINE, {**LINE, "description": "@"}).encode().replace(b"@", b"a\xff"))

    assert ["d", "a\ufffd"] == [finding.description for finding in report.findings]
    assert "line 2: it is not UTF-8" in report.problem


def test_an_escape_of_half_a_character_is_read(read: Read) -> None:
    """A lone surrogate is replaced, not a reason to lose a line."""
    report = read(_lines({**LINE, "description": "\ud800"}))

    assert report.is_complete
    assert "\ufffd" == report.findings[0].description


def test_the_schema_says_what_is_read() -> None:
    """It is a valid schema; it takes a full line, and refuses one that lacks what is required."""
    schema = jsonl_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)

    assert validator.is_valid({**LINE, "line": 3, "path": "a", "more": True})
    for name in LINE:
        assert not validator.is_valid({key: LINE[key] for key in LINE if key != name})
    assert not validator.is_valid({**LINE, "severity": "high"})
    assert not validator.is_valid({**LINE, "line": -1})
