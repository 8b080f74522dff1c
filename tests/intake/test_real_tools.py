import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mendloop.core.findings import Report

Read = Callable[..., Report]
Names = Callable[[Report], list[str]]


@pytest.fixture
def lint(read: Read, tmp_path: Path) -> Callable[[str], Report]:
    """Check a text with the installed ruff, in a folder of its own, and read its SARIF."""

    def lint(code: str) -> Report:
        file = tmp_path / "pkg" / "faulty.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(code)
        command = ["ruff", "check", "--isolated", "--no-cache", "--select", "B,E,F,S,RET"]
        done = subprocess.run(
            [sys.executable, "-m", *command, "--output-format", "sarif", "."],
            cwd=tmp_path,
            capture_output=True,
            check=False,
        )
        lines = code.splitlines()
        return read(
            done.stdout,
            exit_code=done.returncode,
            root=tmp_path,
            context=lambda _, line: lines[line - 1] if line <= len(lines) else "",
        )

    return lint


@pytest.fixture
def faulty(data: Path) -> str:
    """Code with a fault of many kinds."""
    return (data / "faulty.py.txt").read_text()


def test_what_ruff_reports_is_read(lint: Callable[[str], Report], faulty: str) -> None:
    """Rules, places in the tree and the tool are those that ruff names."""
    report = lint(faulty)
    found = {(finding.rule, finding.line) for finding in report.findings}

    assert ("sarif", ("ruff",), True) == (report.format, report.tools, report.is_complete)
    assert {("F401", 1), ("B006", 6), ("E722", 9), ("F841", 17), ("F841", 22)} <= found
    assert {"pkg/faulty.py"} == {finding.path for finding in report.findings}


def test_clean_code_is_a_clean_bill(lint: Callable[[str], Report]) -> None:
    """Ruff on code without a fault is a complete report of no finding."""
    report = lint('"""Nothing wrong."""\n')

    assert ((), True) == (report.findings, report.is_complete)


def test_moved_lines_keep_every_name(
    lint: Callable[[str], Report], names: Names, faulty: str
) -> None:
    """Lines inserted above, and edits elsewhere, change no finding's name."""
    before = lint(faulty)
    moved = lint('"""A docstring.\n\nOf three lines.\n"""\n\n' + faulty)
    edited = lint(faulty.replace("import subprocess\n", "import subprocess\nimport json\n"))

    assert len(before.findings) == len(set(names(before)))
    assert set(names(before)) == set(names(moved))
    assert set(names(before)) < set(names(edited))
    assert 1 == len(set(names(edited)) - set(names(before)))


def test_equal_faults_on_other_lines_are_told_apart(
    lint: Callable[[str], Report], names: Names, faulty: str
) -> None:
    """The same message on the same text thrice is three findings; one repaired leaves two."""

    def unused(report: Report) -> set[str]:
        pairs = zip(report.findings, names(report), strict=True)
        return {name for finding, name in pairs if "`unused`" in finding.description}

    before = unused(lint(faulty))
    after = unused(lint(faulty.replace("    unused = 1\n", "", 1)))

    assert (3, 2) == (len(before), len(after))
    assert after < before


def test_what_pytest_reports_is_read(read: Read, names: Names, data: Path, tmp_path: Path) -> None:
    """Failures, set-up and tear-down errors and parameters, from a run of the installed pytest."""
    (tmp_path / "test_faulty.py").write_text((data / "test_faulty.py.txt").read_text())

    def run(family: str) -> Report:
        command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir=."]
        command += ["-o", f"junit_family={family}"]
        report = tmp_path / "report.xml"
        done = subprocess.run(
            [sys.executable, *command, f"--junitxml={report}", "test_faulty.py"],
            cwd=tmp_path,
            capture_output=True,
            check=False,
        )
        return read(report.read_bytes(), exit_code=done.returncode)

    modern, legacy = run("xunit2"), run("xunit1")
    told = "\n".join(finding.description for finding in modern.findings)

    assert ("junit", True, "") == (modern.format, modern.is_complete, modern.problem)
    assert 7 == len(modern.findings) == len(set(names(modern)))
    assert names(modern) == names(run("xunit2"))
    for words in ("test_that_fails", "[b/c::d]", "set-up is broken", "tear-down", "TestOld"):
        assert words in told
    assert "test_that_passes" not in told
    assert "test_that_is_skipped" not in told
    assert {"test_faulty.py"} == {finding.path for finding in legacy.findings}
    assert 10 == legacy.findings[0].line
