from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mendloop.core.findings import RawFinding, Report
from mendloop.core.fingerprint import fingerprint, number_findings
from mendloop.intake import read_report


@pytest.fixture
def data() -> Path:
    """The folder of recorded reports and of code to report on."""
    return Path(__file__).parent / "data"


@pytest.fixture
def read() -> Callable[..., Report]:
    """`read_report` with everything said that a test does not care about."""

    def read(data: bytes | str, **said: Any) -> Report:
        given = {"reviewer": "lint", "format": None, "exit_code": 1, "is_cut": False, **said}
        return read_report(data.encode() if isinstance(data, str) else data, **given)

    return read


@pytest.fixture
def one(read: Callable[..., Report]) -> Callable[..., RawFinding]:
    """Read a report of one finding that is whole: the finding."""

    def one(data: str, **said: Any) -> RawFinding:
        report = read(data, **said)
        assert report.is_complete, report.problem
        (finding,) = report.findings
        return finding

    return one


@pytest.fixture
def names() -> Callable[[Report], list[str]]:
    """The fingerprints of a report's findings, in their order."""

    def names(report: Report) -> list[str]:
        ordinals = number_findings(report.findings)
        return [
            fingerprint(finding, source=report.reviewer, ordinal=ordinal)
            for finding, ordinal in zip(report.findings, ordinals, strict=True)
        ]

    return names
