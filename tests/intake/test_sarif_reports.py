import json
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

import pytest

from mendloop.core.findings import RawFinding, Report
from mendloop.core.vocabulary import IssueType, Severity

Read = Callable[..., Report]
One = Callable[..., RawFinding]

MESSAGE = {"text": "m"}


def _log(*results: Any, driver: dict[str, Any] | None = None, **run: Any) -> str:
    tool = {"driver": {"name": "t", **(driver or {})}, **run.pop("tool", {})}
    return json.dumps({"version": "2.1.0", "runs": [{"tool": tool, "results": results, **run}]})


def _at(uri: str, *, line: int = 0, **location: Any) -> dict[str, Any]:
    region = {"region": {"startLine": line}} if line else {}
    artifact = {"artifactLocation": {"uri": uri, **location}}
    return {"message": MESSAGE, "locations": [{"physicalLocation": {**artifact, **region}}]}


@pytest.fixture
def one(read: Read) -> One:
    """Read a log of one result: its one finding."""

    def one(log: str, **said: Any) -> RawFinding:
        report = read(log, **said)
        assert report.is_complete, report.problem
        (finding,) = report.findings
        return finding

    return one


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
    by_id = one(_log({"ruleId": "r", "message": MESSAGE, **result}, driver=driver))
    by_index = one(_log({"ruleIndex": 1, "message": MESSAGE, **result}, driver=driver))

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

    assert issue_type == one(_log({"ruleId": "r", "message": MESSAGE}, driver=driver)).issue_type


def test_an_unknown_level_is_noted(one: One) -> None:
    """A word that the standard does not have is assumed to be Medium, and said."""
    finding = one(_log({"message": MESSAGE, "level": "fatal"}))

    assert finding.severity == Severity.MEDIUM
    assert "fatal" in finding.note


@pytest.mark.parametrize("kind", ["pass", "open", "review", "informational", "notApplicable"])
def test_only_failures_are_findings(read: Read, kind: str) -> None:
    """A result of another kind than fail is none, and the review is whole."""
    report = read(_log({"message": MESSAGE, "kind": kind}), exit_code=0)

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
    report = read(_log({"message": MESSAGE, "suppressions": suppressions}), exit_code=0)

    assert (count, True) == (len(report.findings), report.is_complete)


@pytest.mark.parametrize(
    ("state", "count"), [("new", 1), ("unchanged", 1), ("updated", 1), ("absent", 0)]
)
def test_what_the_baseline_calls_absent_is_gone(read: Read, state: str, count: int) -> None:
    """A result that only the baseline had is no finding."""
    report = read(_log({"message": MESSAGE, "baselineState": state}), exit_code=0)

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

    assert description == one(_log({"ruleId": "r", "message": message}, driver=driver)).description


def test_a_result_without_message_and_rule_is_kept(one: One) -> None:
    """Nothing readable but that something failed is still a finding, with a note."""
    finding = one(_log({}))

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

    by_reference = one(_log({"message": MESSAGE, "rule": reference}, tool=tool))
    by_parent = one(_log({"message": MESSAGE, "ruleId": "x/y/z"}, tool=tool))

    assert (Severity.LOW, "x/y") == (by_reference.severity, by_reference.rule)
    assert (Severity.LOW, "x/y/z") == (by_parent.severity, by_parent.rule)


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("src/a.py", "src/a.py"),
        ("./src//a.py", "src/a.py"),
        ("a%20b%C3%BC.py", "a bü.py"),
        ("file:///work/tree/src/a.py", "src/a.py"),
        ("file:/work/tree/a.py", "a.py"),
        ("file://localhost/work/tree/a%23.py", "a#.py"),
        ("/work/tree/a.py", "a.py"),
        ("file:///work/tree/../treehouse/a.py", "/work/treehouse/a.py"),
        ("file:///work/treehouse/a.py", "/work/treehouse/a.py"),
        ("file:///C:/x/a.py", "C:/x/a.py"),
        ("https://example.com/a.py", "https://example.com/a.py"),
        ("../outside.py", "../outside.py"),
        ("a:b.py", "a:b.py"),
    ],
)
def test_a_place_is_a_path_in_the_work_tree(one: One, uri: str, path: str) -> None:
    """Uris of all kinds become paths, relative where they lie in the tree."""
    finding = one(_log(_at(uri, line=7)), root=PurePosixPath("/work/tree"))

    assert (path, 7) == (finding.path, finding.line)


@pytest.mark.parametrize(
    ("bases", "path"),
    [
        ({"SRC": {"uri": "file:///work/tree/lib/"}}, "lib/a.py"),
        (
            {"SRC": {"uri": "lib/", "uriBaseId": "TOP"}, "TOP": {"uri": "file:///work/tree/"}},
            "lib/a.py",
        ),
        ({"SRC": {"uri": "file:///elsewhere/"}}, "a.py"),
        ({"SRC": {"description": {"text": "unknown"}}}, "a.py"),
        ({"SRC": {"uri": "x/", "uriBaseId": "SRC"}}, "a.py"),
        ({}, "a.py"),
    ],
)
def test_bases_are_followed_where_they_lead_into_the_tree(
    one: One, bases: dict[str, Any], path: str
) -> None:
    """A base in the tree is put before the path; an unknown, foreign or circular one is not."""
    log = _log(_at("a.py", uriBaseId="SRC"), originalUriBaseIds=bases)

    assert path == one(log, root=PurePosixPath("/work/tree")).path


def test_a_place_may_be_an_index_of_the_artifacts(one: One) -> None:
    """A location without a uri is looked up in the run; a wrong index loses only the place."""
    located = {"physicalLocation": {"artifactLocation": {"index": 1}}}
    artifacts = [{}, {"location": {"uri": "b.py"}}]
    result = {"message": MESSAGE, "locations": [located]}

    assert one(_log(result, artifacts=artifacts)).path == "b.py"
    assert one(_log(result, artifacts=[])).path == ""


def test_the_first_physical_location_is_the_place(one: One) -> None:
    """Logical locations before it are passed over."""
    result = {
        "message": MESSAGE,
        "locations": [{"logicalLocations": []}, *_at("a.py")["locations"]],
    }

    assert one(_log(result)).path == "a.py"


def test_a_line_beyond_any_file_is_no_line(one: One) -> None:
    """A figure that cannot be a line is dropped, and the finding stays."""
    assert one(_log(_at("a.py", line=2**40))).line == 0
    assert one(_log(_at("a.py", line=-5))).line == 0


def test_the_tools_own_fingerprints_name_the_finding(one: One) -> None:
    """Full ones go before partial ones, in an order of their own."""
    partial = {"b": "2", "a": "1"}
    turned = {"a": "1", "b": "2"}
    names = [
        one(_log({"message": MESSAGE, "partialFingerprints": partial})).identity,
        one(_log({"message": MESSAGE, "partialFingerprints": turned})).identity,
        one(
            _log({"message": MESSAGE, "partialFingerprints": partial, "fingerprints": {"f": "0"}})
        ).identity,
    ]

    assert names[0] == names[1] != names[2]
    assert "" not in names


def test_equal_partial_fingerprints_stay_two_findings(
    read: Read, names: Callable[[Report], list[str]]
) -> None:
    """A tool that names two results of one rule, file and message the same loses none."""
    twice = [{**_at("a.py", line=n), "partialFingerprints": {"h": "x"}} for n in (3, 9)]
    report = read(_log(*twice))

    assert len(set(names(report))) == 2


def test_the_text_of_the_line_is_asked_for_only_within_the_tree(one: One, read: Read) -> None:
    """A snippet goes before the file; a path that climbs or is absolute is never opened."""
    asked: list[tuple[str, int]] = []

    def context(path: str, line: int) -> str:
        asked.append((path, line))
        return f"line {line}"

    snippet = _at("b.py", line=2)
    snippet["locations"][0]["physicalLocation"]["region"]["snippet"] = {"text": "given"}
    report = read(
        _log(
            _at("a.py", line=7),
            snippet,
            _at("../x.py", line=1),
            _at("/etc/passwd", line=1),
            _at("a%00b", line=1),
            _at("c.py"),
        ),
        context=context,
    )

    assert [("a.py", 7)] == asked
    assert ["line 7", "given", "", "", "", ""] == [f.context for f in report.findings]


def test_a_report_speaks_for_its_tools_only(read: Read) -> None:
    """Every run names its tool, and a tool without results is spoken for as well."""
    runs = [
        {"tool": {"driver": {"name": name}}, "results": results}
        for name, results in [("a", [{"message": MESSAGE}]), ("b", []), ("a", []), ("\x1b[1m ", [])]
    ]
    report = read(json.dumps({"version": "2.1.0", "runs": runs}))

    assert ("a", "b", "unnamed") == report.tools
    assert ["a"] == [finding.tool for finding in report.findings]
    assert report.is_complete


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (
            _log(invocations=[{"executionSuccessful": True}, {"executionSuccessful": False}]),
            "successful",
        ),
        (_log(invocations=[{"executionSuccessful": "yes"}]), "successful"),
        ('{"version":"2.1.0","runs":[]}', "no run"),
        ('{"version":"2.1.0","runs":null}', "no run"),
        ('{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"t"}}}]}', "no results at all"),
        (
            '{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"t"}},"results":null}]}',
            "no results",
        ),
        ('{"version":"2.1.0","runs":[{"results":[]}]}', "run 0"),
        ('{"version":"1.0.0","runs":[]}', '"1.0.0" is not 2.1.0'),
        (_log({"message": "no object"}), "result 0 of t"),
        (_log({"message": {"text": "x" * 1_100_000}}), "result 0 of t"),
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
    report = read(_log({"message": MESSAGE}, 7, {"locations": 1}, {"message": {"text": "n"}}))

    assert ["m", "n"] == [finding.description for finding in report.findings]
    assert "result 1" in report.problem
    assert "result 2" in report.problem


def test_lone_surrogates_are_read(one: One) -> None:
    """An escape that is half a character is replaced; whole ones and backslashes stay."""
    log = _log({"message": {"text": "@"}}).replace("@", r"a\ud800b \ud83d\ude00 \\ud800")

    assert "a\ufffdb 😀 \\ud800" == one(log).description


def test_bytes_that_are_not_utf8_are_kept_and_told(read: Read) -> None:
    """The finding is there with a replacement; the report is not whole."""
    report = read(_log({"message": {"text": "@"}}).encode().replace(b"@", b"a\xffb"))

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
