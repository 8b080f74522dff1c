from collections.abc import Callable
from pathlib import Path

import pytest

from mendloop.core.findings import Report
from mendloop.core.vocabulary import IssueType, Severity

Read = Callable[..., Report]
Names = Callable[[Report], list[str]]


def test_what_jest_reports_is_read(read: Read, data: Path) -> None:
    """Cases carry their file; skipped ones are none."""
    report = read((data / "jest.xml").read_bytes())

    assert (True, 2, ()) == (report.is_complete, len(report.findings), report.tools)
    assert {"src/sum.test.js"} == {finding.path for finding in report.findings}
    assert "Expected: 3" in report.findings[0].description
    assert "sum adds <strings>" in report.findings[1].description


def test_what_surefire_reports_is_read(read: Read, data: Path) -> None:
    """Failures and errors are findings; flaky ones passed in the end, and output is no fault."""
    report = read((data / "surefire.xml").read_bytes())
    first, second = report.findings

    assert report.is_complete
    assert "org.example.AppTest.adds failed: expected: <3> but was: <4>" in first.description
    assert "AppTest.java:12" in first.description
    assert "not one" not in first.description
    assert "org.example.AppTest.loads errored: boom" in second.description
    assert {(Severity.HIGH, IssueType.BUG)} == {(f.severity, f.issue_type) for f in report.findings}


def test_a_case_keeps_its_name_when_its_words_change(read: Read, names: Names) -> None:
    """Message, duration and line are no part of what names a failed test."""
    text = '<testsuite name="s"><testcase classname="c" name="a[1]" time="{0}" line="{0}">'
    text += '<failure message="took {0}">at {0}</failure></testcase></testsuite>'

    assert names(read(text.format(1))) == names(read(text.format(22)))


_NESTED = (
    '<testsuites><testsuite name="s"><testsuite name="t"><testcase classname="c" name="a[1]">'
    "<failure/></testcase></testsuite></testsuite></testsuites>"
)


@pytest.mark.parametrize(
    "other",
    [
        '<testsuite name="s"><testcase classname="c" name="a[2]"><failure/></testcase></testsuite>',
        '<testsuite name="s"><testcase classname="d" name="a[1]"><failure/></testcase></testsuite>',
        '<testsuite name="z"><testcase classname="c" name="a[1]"><failure/></testcase></testsuite>',
        _NESTED,
    ],
)
def test_another_case_has_another_name(read: Read, names: Names, other: str) -> None:
    """Parameters, class and every suite around it tell two cases apart."""
    one = (
        '<testsuite name="s"><testcase classname="c" name="a[1]"><failure/></testcase></testsuite>'
    )

    assert names(read(one)) != names(read(other))


def test_a_case_that_fails_and_errors_is_one_finding(read: Read) -> None:
    """Both texts are kept in the one finding of the case."""
    report = read(
        '<testsuite failures="1" errors="1"><testcase name="a"><failure message="m">t</failure>'
        '<error message="n">u</error></testcase></testsuite>'
    )
    (finding,) = report.findings

    assert report.is_complete
    assert "a failed: m\nterrored: n\nu" == finding.description


def test_a_suite_that_does_not_load_is_a_finding(read: Read) -> None:
    """A fault outside of any case is the suite's, and later cases keep their own."""
    report = read(
        '<testsuite name="s" file="a.js"><error message="no such module"/>'
        '<testcase name="b"><failure/></testcase></testsuite>'
    )

    assert report.is_complete
    assert ["s errored: no such module", "b failed"] == [f.description for f in report.findings]
    assert {"a.js"} == {finding.path for finding in report.findings}


@pytest.mark.parametrize("exit_code", [0, 1])
def test_faults_that_are_counted_but_not_listed_are_missed(read: Read, exit_code: int) -> None:
    """A runner that says two and lists one has not told all: the report is incomplete."""
    report = read(
        '<testsuites><testsuite name="s" failures="1" errors="1"><testcase name="b"><failure/>'
        "</testcase></testsuite></testsuites>",
        exit_code=exit_code,
    )

    assert (1, False) == (len(report.findings), report.is_complete)
    assert "counts 2 failures and errors but lists 1" in report.problem


@pytest.mark.parametrize(("given", "line"), [("5", 5), ("", 0), ("x", 0), ("-1", 0), ("9" * 30, 0)])
def test_a_line_is_taken_where_it_is_one(read: Read, given: str, line: int) -> None:
    """Figures that cannot be a line are dropped; pytest's own count from zero is put right."""
    case = f'<testcase name="b" file="a.py" line="{given}"><failure/></testcase></testsuite>'
    (plain,) = read('<testsuite name="s">' + case).findings
    (pytests,) = read('<testsuite name="pytest">' + case).findings

    assert line == plain.line
    assert given != "5" or pytests.line == 6


def test_encodings_are_those_that_are_declared(read: Read) -> None:
    """The document says what it is in."""
    text = '<?xml version="1.0" encoding="{}"?><testsuite><testcase name="ü"><failure/></testcase>'
    text += "</testsuite>"

    for encoding in ("iso-8859-1", "utf-8", "windows-1252"):
        (finding,) = read(text.format(encoding).encode(encoding)).findings
        assert "ü failed" == finding.description


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            f'<!DOCTYPE testsuite [<!ENTITY l0 "ha">{LAUGHS}]><testsuite>&l9;</testsuite>',
            "declaration",
        ),
        ('<!DOCTYPE testsuite SYSTEM "file:///etc/passwd"><testsuite/>', "declaration"),
        ("<testsuite>" + "<a>" * 100_000 + "</a>" * 100_000 + "</testsuite>", "nested"),
        ("<testsuite>&unknown;</testsuite>", "undefined entity"),
        ("<testsuite><testcase></testsuite>", "mismatched"),
        ('<?xml version="1.0" encoding="no-such"?><testsuite/>', "encoding"),
        ("<other/>", "its root is <other>"),
        ("<testsuite " + " ".join(f'a{n}=""' for n in range(11_000)) + "/>", "attributes"),
        ("<testsuite>" + "".join(f"<a{n}/>" for n in range(1_100)) + "</testsuite>", "kinds"),
        (f'<testsuite><testcase name="{"x" * 16_777_216}"/></testsuite>', "attributes are over"),
    ],
)
@pytest.mark.parametrize("exit_code", [0, 1])
def test_a_hostile_document_is_refused_in_words(
    read: Read, text: str, words: str, exit_code: int
) -> None:
    """Entities, deep nesting and huge attributes are neither followed nor a clean bill."""
    report = read(text, format="junit", exit_code=exit_code)

    assert not report.is_complete
    assert words in report.problem


def test_cases_before_the_fault_in_the_document_are_kept(read: Read) -> None:
    """What was read before the document broke is a finding."""
    report = read('<testsuite><testcase name="a"><failure/></testcase><testcase')

    assert ["a failed"] == [finding.description for finding in report.findings]
    assert not report.is_complete
