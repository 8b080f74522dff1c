import json
from collections.abc import Callable
from typing import Any

import pytest
from sarif_log import MESSAGE, sarif

from mendloop.core.findings import RawFinding, Report
from mendloop.core.vocabulary import IssueType, Severity

Read = Callable[..., Report]
One = Callable[..., RawFinding]


@pytest.mark.parametrize(
    ("result", "rule", "severity"),
    [
        ({"level": "error"}, {}, Severity.HIGH),
        ({"level": "warning"}, {}, Severity.MEDIUM),
        ({"level": "note"}, {}, Severity.LOW),
        ({"level": "none"}, {}, Severity.LOW),
        ({}, {}, Severity.MEDIUM),
        ({}, {"defaultConfiguration": {"level": "error"}}, Severity.HIGH),
        ({"level": "note"}, {"defaultConfiguration": {"level": "error"}}, Severity.LOW),
        ({"level": "note"}, {"properties": {"security-severity": "9.0"}}, Severity.CRITICAL),
        ({"level": "note"}, {"properties": {"security-severity": "8.9"}}, Severity.HIGH),
        ({"level": "error"}, {"properties": {"security-severity": 4}}, Severity.MEDIUM),
        ({"level": "error"}, {"properties": {"security-severity": "0.1"}}, Severity.LOW),
        ({"level": "error"}, {"properties": {"security-severity": "high"}}, Severity.HIGH),
        ({"level": "error"}, {"properties": {"security-severity": "nan"}}, Severity.HIGH),
        ({"properties": {"security-severity": "7.0"}}, {}, Severity.HIGH),
    ],
)
def test_score_level_and_rule_give_the_severity(
    one: One, result: dict[str, Any], rule: dict[str, Any], severity: Severity
) -> None:
    """The security score goes first, then the result's level, then the rule's, then warning."""
    driver = {"rules": [{"id": "other"}, {"id": "r", **rule}]}
    by_id = one(sarif({"ruleId": "r", "message": MESSAGE, **result}, driver=driver))
    by_index = one(sarif({"ruleIndex": 1, "message": MESSAGE, **result}, driver=driver))

    assert (severity, "r") == (by_id.severity, by_id.rule)
    assert (severity, "r") == (by_index.severity, by_index.rule)


@pytest.mark.parametrize(
    ("properties", "issue_type"),
    [
        ({}, IssueType.BUG),
        ({"security-severity": "3.0"}, IssueType.SECURITY),
        ({"tags": ["correctness", "Security"]}, IssueType.SECURITY),
        ({"tags": ["performance"]}, IssueType.PERFORMANCE),
        ({"tags": ["documentation"]}, IssueType.DOCUMENTATION),
        ({"tags": "security"}, IssueType.BUG),
        ({"tags": [1, None]}, IssueType.BUG),
    ],
)
def test_tags_and_score_give_the_issue_type(
    one: One, properties: dict[str, Any], issue_type: IssueType
) -> None:
    """A rule says what kind of fault it finds; without a word it is a bug."""
    driver = {"rules": [{"id": "r", "properties": properties}]}

    assert issue_type == one(sarif({"ruleId": "r", "message": MESSAGE}, driver=driver)).issue_type


def test_an_unknown_level_is_noted(one: One) -> None:
    """A word that the standard does not have is assumed to be Medium, and said."""
    finding = one(sarif({"message": MESSAGE, "level": "fatal"}))

    assert finding.severity == Severity.MEDIUM
    assert "fatal" in finding.note


@pytest.mark.parametrize("kind", ["pass", "open", "review", "informational", "notApplicable"])
def test_only_failures_are_findings(read: Read, kind: str) -> None:
    """A result of another kind than fail is none, and the review is whole."""
    report = read(sarif({"message": MESSAGE, "kind": kind}), exit_code=0)

    assert ((), True) == (report.findings, report.is_complete)


@pytest.mark.parametrize(
    ("suppressions", "count"),
    [
        (None, 1),
        ([], 1),
        ([{"kind": "inSource"}], 0),
        ([{"kind": "external", "status": "accepted"}], 0),
        ([{"kind": "external", "status": "underReview"}], 1),
        ([{"kind": "inSource"}, {"kind": "external", "status": "rejected"}], 1),
    ],
)
def test_an_accepted_suppression_takes_a_result_out(
    read: Read, suppressions: Any, count: int
) -> None:
    """Accepted, or without a status, is out; under review or rejected is still a finding."""
    report = read(sarif({"message": MESSAGE, "suppressions": suppressions}), exit_code=0)

    assert (count, True) == (len(report.findings), report.is_complete)


@pytest.mark.parametrize(
    ("state", "count"), [("new", 1), ("unchanged", 1), ("updated", 1), ("absent", 0)]
)
def test_what_the_baseline_calls_absent_is_gone(read: Read, state: str, count: int) -> None:
    """A result that only the baseline had is no finding."""
    report = read(sarif({"message": MESSAGE, "baselineState": state}), exit_code=0)

    assert count == len(report.findings)


@pytest.mark.parametrize(
    ("message", "description"),
    [
        ({"text": "plain {0} and {{x}}"}, "plain {0} and {{x}}"),
        ({"text": "{1} in {0}", "arguments": ["a", "b"]}, "b in a"),
        ({"text": "{{0}} {0} {7}", "arguments": ["{0}"]}, "{0} {0} {7}"),
        ({"markdown": "**m**"}, "**m**"),
        ({"id": "own", "arguments": ["x"]}, "own x"),
        ({"id": "global"}, "for {all}"),
        ({"id": "nowhere"}, "the rule's title"),
        ({}, "the rule's title"),
    ],
)
def test_a_message_is_put_into_words(one: One, message: dict[str, Any], description: str) -> None:
    """Placeholders, ids of strings and missing words all end in a text for a person."""
    driver = {
        "globalMessageStrings": {"global": {"text": "for {{all}}"}},
        "rules": [
            {
                "id": "r",
                "shortDescription": {"text": "the rule's title"},
                "messageStrings": {"own": {"text": "own {0}"}},
            }
        ],
    }

    assert description == one(sarif({"ruleId": "r", "message": message}, driver=driver)).description


def test_a_result_without_message_and_rule_is_kept(one: One) -> None:
    """Nothing readable but that something failed is still a finding, with a note."""
    finding = one(sarif({}))

    assert "a result without a message" == finding.description
    assert "no message was given" == finding.note


def test_rules_of_extensions_and_parents_are_found(one: One) -> None:
    """A rule may sit in an extension, or be named with a suffix (hierarchical ids)."""
    extension = {
        "name": "pack",
        "rules": [{"id": "x/y", "defaultConfiguration": {"level": "note"}}],
    }
    tool = {"extensions": [{"broken": 1}, extension]}
    reference = {"index": 0, "toolComponent": {"index": 1}}

    by_reference = one(sarif({"message": MESSAGE, "rule": reference}, tool=tool))
    by_parent = one(sarif({"message": MESSAGE, "ruleId": "x/y/z"}, tool=tool))

    assert (Severity.LOW, "x/y") == (by_reference.severity, by_reference.rule)
    assert (Severity.LOW, "x/y/z") == (by_parent.severity, by_parent.rule)


def test_a_report_speaks_for_its_tools_only(read: Read) -> None:
    """Every run names its tool, and one without results is spoken for; after a clean exit all are."""
    runs = [
        {"tool": {"driver": {"name": name}}, "results": results}
        for name, results in [("a", [{"message": MESSAGE}]), ("b", []), ("a", []), ("\x1b[1m ", [])]
    ]
    log = json.dumps({"version": "2.1.0", "runs": runs})
    report = read(log)

    assert ("a", "b", "unnamed") == report.tools
    assert () == read(log, exit_code=0).tools
    assert ["a"] == [finding.tool for finding in report.findings]
    assert report.is_complete


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (
            sarif(invocations=[{"executionSuccessful": True}, {"executionSuccessful": False}]),
            "successful",
        ),
        (sarif(invocations=[{"executionSuccessful": "yes"}]), "successful"),
        ('{"version":"2.1.0","runs":[]}', "no run"),
        ('{"version":"2.1.0","runs":null}', "no run"),
        ('{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"t"}}}]}', "no results at all"),
        (
            '{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"t"}},"results":null}]}',
            "no results",
        ),
        ('{"version":"2.1.0","runs":[{"results":[]}]}', "run 0"),
        ('{"version":"1.0.0","runs":[]}', '"1.0.0" is not 2.1.0'),
        (sarif({"message": "no object"}), "result 0 of t"),
        (sarif({"message": {"text": "x" * 1_100_000}}), "result 0 of t"),
    ],
)
@pytest.mark.parametrize("exit_code", [0, 1])
def test_a_run_that_did_not_go_well_is_no_clean_bill(
    read: Read, log: str, words: str, exit_code: int
) -> None:
    """Failed, missing, of another version or unreadable: incomplete, and it says why."""
    report = read(log, exit_code=exit_code)

    assert "sarif" == report.format
    assert not report.is_complete
    assert words in report.problem


def test_one_unreadable_result_loses_no_other(read: Read) -> None:
    """The readable results are findings, and the report is incomplete."""
    report = read(sarif({"message": MESSAGE}, 7, {"locations": 1}, {"message": {"text": "n"}}))

    assert ["m", "n"] == [finding.description for finding in report.findings]
    assert "result 1" in report.problem
    assert "result 2" in report.problem


def test_lone_surrogates_are_read(one: One) -> None:
    """An escape that is half a character is replaced; whole ones and backslashes stay."""
    log = sarif({"message": {"text": "@"}}).replace("@", r"a\ud800b \ud83d\ude00 \\ud800")

    assert "a\ufffdb 😀 \\ud800" == one(log).description


def test_bytes_that_are_not_utf8_are_kept_and_told(read: Read) -> None:
    """The finding is there with a replacement; the report is not whole."""
    report = read(sarif({"message": {"text": "@"}}).encode().replace(b"@", b"a\xffb"))

    assert ["a\ufffdb"] == [finding.description for finding in report.findings]
    assert "not UTF-8" in report.problem


def test_what_bandit_reports_is_read(read: Read, data: Any) -> None:
    """A recorded report of bandit 1.9.4: severities, kinds, places and snippets."""
    report = read((data / "bandit-1.9.4.sarif").read_bytes())
    told = {(f.rule, f.line, f.severity.value, f.issue_type.value) for f in report.findings}

    assert (("Bandit",), True, 8) == (report.tools, report.is_complete, len(report.findings))
    assert {
        ("B403", 2, "Low", "Security"),
        ("B404", 3, "Low", "Security"),
        ("B301", 8, "Medium", "Security"),
        ("B110", 9, "Low", "Security"),
        ("B602", 11, "High", "Security"),
        ("B105", 15, "Low", "Security"),
        ("B101", 16, "Low", "Security"),
        ("B307", 18, "Medium", "Security"),
    } == told
    assert {"faulty.py"} == {finding.path for finding in report.findings}
    assert all(finding.context for finding in report.findings)


@pytest.mark.parametrize(
    ("provenance", "commit"),
    [
        ([{"repositoryUri": "https://x.test/r", "revisionId": "abc"}], "abc"),
        ([{"revisionId": "abc"}, {"revisionId": "abc"}, {"repositoryUri": "u"}], "abc"),
        ([{"revisionId": "abc"}, {"revisionId": "def"}], ""),
        ([{"revisionId": 7}], ""),
        ("abc", ""),
        (None, ""),
    ],
)
def test_a_report_tells_the_commit_that_it_is_of(read: Read, provenance: Any, commit: str) -> None:
    """Where it names one alone; whatever else stands there costs no finding."""
    told = read(sarif({"message": MESSAGE}, versionControlProvenance=provenance))
    assert (commit, 1, True) == (told.commit, len(told.findings), told.is_complete)
