from collections.abc import Callable

import pytest

from mendloop.core.errors import ValidationError
from mendloop.core.findings import Report

Read = Callable[..., Report]

SARIF = '{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"t"}},"results":[%s]}]}'
DIRTY = {
    "sarif": SARIF % '{"message":{"text":"m"}}',
    "junit": '<testsuite><testcase name="a"><failure/></testcase></testsuite>',
    "jsonl": '{"severity":"High","issue_type":"Bug","description":"m"}\n',
    "text": "something is wrong\n",
}
CLEAN = {
    "sarif": SARIF % "",
    "junit": '<testsuite><testcase name="a"/></testsuite>',
    "jsonl": "",
    "text": "all is well\n",
}
STRUCTURED = ["sarif", "junit", "jsonl"]


@pytest.mark.parametrize("form", [*STRUCTURED, "text"])
@pytest.mark.parametrize("is_named", [True, False])
def test_what_is_found_is_a_whole_report_with_exit_code_1(
    read: Read, form: str, *, is_named: bool
) -> None:
    """In every format, named or recognised, one fault and exit code 1 is one finding."""
    report = read(DIRTY[form], format=form if is_named else None, exit_code=1)

    assert (form, 1, True, "") == (
        report.format,
        len(report.findings),
        report.is_complete,
        report.problem,
    )


@pytest.mark.parametrize("form", STRUCTURED)
def test_findings_count_with_exit_code_0(read: Read, form: str) -> None:
    """A tool that reports and exits with 0 is believed what it reports."""
    report = read(DIRTY[form], exit_code=0)

    assert (form, 1, True) == (report.format, len(report.findings), report.is_complete)


@pytest.mark.parametrize("form", [*STRUCTURED, "text"])
def test_nothing_found_is_a_clean_bill_with_exit_code_0(read: Read, form: str) -> None:
    """In every format an empty report with exit code 0 is complete."""
    report = read(CLEAN[form], format=form, exit_code=0)

    assert (form, 0, True) == (report.format, len(report.findings), report.is_complete)


@pytest.mark.parametrize("form", STRUCTURED)
def test_exit_code_1_with_nothing_reported_is_no_clean_bill(read: Read, form: str) -> None:
    """A tool that says that it found something and reports nothing is not believed."""
    report = read(CLEAN[form], format=form, exit_code=1)

    assert not report.is_complete
    assert "holds nothing" in report.problem


@pytest.mark.parametrize("form", STRUCTURED)
def test_another_exit_code_is_a_failed_review_that_keeps_its_findings(
    read: Read, form: str
) -> None:
    """What was reported before the tool failed is kept, and resolves nothing."""
    report = read(DIRTY[form], exit_code=2)

    assert (1, False) == (len(report.findings), report.is_complete)
    assert "exit code 2" in report.problem


def test_exit_codes_that_mean_well_can_be_said(read: Read) -> None:
    """A tool that exits with 3 where it found something is read when that is said."""
    report = read(DIRTY["sarif"], exit_code=3, ok_exit_codes=frozenset({0, 3}))

    assert report.is_complete


@pytest.mark.parametrize("form", [*STRUCTURED, "text"])
@pytest.mark.parametrize(
    ("exit_code", "word"), [(126, "executed"), (127, "found"), (137, "signal"), (-9, "signal 9")]
)
def test_a_command_that_did_not_end_by_itself_has_not_reviewed(
    read: Read, form: str, exit_code: int, word: str
) -> None:
    """Not executable, not found, ended by a signal: never complete, whatever is allowed."""
    allowed = frozenset({0, 1, exit_code})
    report = read(DIRTY[form], format=form, exit_code=exit_code, ok_exit_codes=allowed)

    assert not report.is_complete
    assert word in report.problem


@pytest.mark.parametrize("form", [*STRUCTURED, "text"])
@pytest.mark.parametrize("exit_code", [0, 1])
def test_a_cut_report_is_never_whole(read: Read, form: str, exit_code: int) -> None:
    """What comes after the cut might be a finding."""
    report = read(DIRTY[form], format=form, exit_code=exit_code, is_cut=True)

    assert not report.is_complete
    assert "cut" in report.problem


@pytest.mark.parametrize("exit_code", [1, 2, 125])
def test_text_with_a_failing_exit_code_is_one_finding(read: Read, exit_code: int) -> None:
    """The whole output is the finding, and it speaks for all that this reviewer says."""
    report = read(DIRTY["text"], exit_code=exit_code)

    assert (True, ()) == (report.is_complete, report.tools)
    assert ["something is wrong"] == [finding.description for finding in report.findings]


@pytest.mark.parametrize("known", ["sarif", "junit"])
@pytest.mark.parametrize("exit_code", [0, 1])
@pytest.mark.parametrize("is_named", [True, False])
def test_silence_is_no_clean_bill_where_a_report_is_due(
    read: Read, known: str, exit_code: int, *, is_named: bool
) -> None:
    """No output at all from a reviewer that writes documents is a failed review."""
    said = {"format": known} if is_named else {"known_format": known}
    report = read(" \n", exit_code=exit_code, **said)

    assert (known, False) == (report.format, report.is_complete)


def test_silence_is_a_clean_bill_in_json_lines_and_text(read: Read) -> None:
    """No line is no finding, and a silent command that succeeds has none."""
    assert read("", exit_code=0, known_format="jsonl").is_complete
    assert read("", exit_code=0, known_format="text").is_complete
    assert read("", exit_code=0).format == "text"
    assert read("", exit_code=0).is_complete


def test_a_silent_failure_is_a_finding(read: Read) -> None:
    """A command that fails without a word has found something, by its exit code."""
    report = read("", exit_code=3)

    assert ["exit code 3 and no output"] == [finding.description for finding in report.findings]


@pytest.mark.parametrize("known", STRUCTURED)
@pytest.mark.parametrize("exit_code", [0, 1])
def test_a_reviewer_that_suddenly_talks_otherwise_has_not_reviewed(
    read: Read, known: str, exit_code: int
) -> None:
    """A traceback where a report was before is no finding in the code and no clean bill."""
    report = read(
        "Traceback (most recent call last):\n boom", exit_code=exit_code, known_format=known
    )

    assert (known, (), False) == (report.format, report.findings, report.is_complete)
    assert "Traceback" in report.problem


def test_a_change_of_format_is_read_but_not_trusted_until_it_is_named(read: Read) -> None:
    """Another format speaks for other findings: it resolves nothing unless somebody says so."""
    changed = read(DIRTY["junit"], known_format="sarif")
    named = read(DIRTY["junit"], known_format="sarif", format="junit")

    assert (1, False) == (len(changed.findings), changed.is_complete)
    assert "sarif was read before" in changed.problem
    assert named.is_complete


def test_text_may_become_a_report(read: Read) -> None:
    """A reviewer that was silent while clean is recognised when it first reports."""
    assert read(DIRTY["sarif"], known_format="text").is_complete


def test_an_unknown_format_is_refused(read: Read) -> None:
    """A misspelt format is an error in the configuration and not a failed review."""
    with pytest.raises(ValidationError, match="not one of sarif, junit, jsonl, text"):
        read("", format="xml")
