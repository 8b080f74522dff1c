import json
from collections.abc import Callable

import pytest

from mendloop.core.findings import Report

Read = Callable[..., Report]

RESULT = {
    "message": {"text": "m"},
    "ruleId": "r",
    "locations": [{"physicalLocation": {"artifactLocation": {"uri": "a.py"}}}],
}
RUN = {"tool": {"driver": {"name": "t"}}, "results": [RESULT, RESULT]}
LOG = {
    "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
    "version": "2.1.0",
    "runs": [RUN],
}
LINE = json.dumps({"severity": "High", "issue_type": "Bug", "description": "ü { <"})
JUNIT = """<?xml version="1.0" encoding="utf-8"?>
<!-- made by hand -->
<testsuites><testsuite name="s" tests="2"><testcase classname="c" name="a"><failure message="m">
text</failure></testcase><testcase name="b"><error/></testcase></testsuite></testsuites>
"""


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (json.dumps(LOG), "sarif"),
        (json.dumps(LOG, indent=2), "sarif"),
        (json.dumps({"runs": [RUN], "version": "2.1.0"}), "sarif"),
        (JUNIT, "junit"),
        ("\n\n" + JUNIT.partition("?>")[2], "junit"),
        ('<j:testsuite xmlns:j="urn:x"><j:testcase><j:error/></j:testcase></j:testsuite>', "junit"),
        (f"{LINE}\n\n{LINE}\r\n", "jsonl"),
        ("plain words", "text"),
        ('{"issues": 3}', "text"),
        ('{"reason":"compiler-message"}\n{"reason":"build-finished"}\n', "text"),
        ("{braces} in a message", "text"),
        ("[1, 2]", "text"),
        ("<html><body>no</body></html>", "text"),
        ("<!DOCTYPE html>\n<html>", "text"),
        ("<stdin>:3: a fault", "text"),
        ("a <testsuite> in the middle", "text"),
    ],
)
def test_a_format_is_told_by_its_content(read: Read, output: str, expected: str) -> None:
    """Each format is recognised, and what only resembles one is text."""
    report = read(output)

    assert (expected, True, "") == (report.format, report.is_complete, report.problem)


@pytest.mark.parametrize("bom", ["utf-8-sig", "utf-16", "utf-16-be-bom"])
@pytest.mark.parametrize("output", [json.dumps(LOG), JUNIT, LINE])
def test_a_byte_order_mark_is_no_obstacle(read: Read, bom: str, output: str) -> None:
    """Reports that a Windows shell redirected are read like any other."""
    encoded = output.encode("utf-16-be") if bom == "utf-16-be-bom" else output.encode(bom)
    report = read(b"\xfe\xff" + encoded if bom == "utf-16-be-bom" else encoded)

    assert report.is_complete
    assert report.findings == read(output).findings


@pytest.mark.parametrize("exit_code", [0, 1])
@pytest.mark.parametrize(
    ("output", "step"),
    [(json.dumps(LOG), 1), (json.dumps(LOG, indent=2), 1), (JUNIT.rstrip(), 1)],
)
def test_half_a_document_is_never_whole(read: Read, output: str, step: int, exit_code: int) -> None:
    """Every proper beginning of a report, down to its first byte, is incomplete."""
    for end in range(1, len(output), step):
        assert not read(output[:end], exit_code=exit_code).is_complete, output[:end][-40:]


@pytest.mark.parametrize("exit_code", [0, 1])
def test_half_a_line_is_never_whole(read: Read, exit_code: int) -> None:
    """JSON Lines cut within a line is incomplete; the whole lines before it are kept."""
    output = f"{LINE}\n{LINE}\n{LINE}".encode()
    line_size = len(LINE.encode())
    for end in range(1, len(output)):
        report = read(output[:end], exit_code=exit_code)
        is_whole = end % (line_size + 1) in {line_size, 0}

        assert is_whole == report.is_complete
        assert (end + 1) // (line_size + 1) == len(report.findings)


@pytest.mark.parametrize(
    "output",
    [
        "Scanning 3 files...\n" + json.dumps(LOG),
        "Scanning 3 files...\n" + JUNIT,
        json.dumps(LOG) + "\nFound 2 errors.",
        JUNIT + "Found 2 errors.",
        "Scanning...\n" + LINE,
    ],
)
@pytest.mark.parametrize("exit_code", [0, 1])
def test_words_around_a_report_are_no_clean_bill(read: Read, output: str, exit_code: int) -> None:
    """A banner or a summary on the same stream makes the review incomplete, never clean text."""
    report = read(output, exit_code=exit_code)

    assert "text" != report.format
    assert not report.is_complete


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (json.dumps(LOG)[:-4], f"ends in the middle (byte {len(json.dumps(LOG)) - 4})"),
        (json.dumps(LOG).replace("[", "(", 1), "byte"),
        (JUNIT.replace("</testcase>", "", 1), "byte"),
        (f"{LINE}\noops\n", "line 2 is no finding"),
    ],
)
def test_a_problem_says_where(read: Read, output: str, words: str) -> None:
    """Whoever reads the problem can find the place in the output."""
    assert words in read(output).problem
