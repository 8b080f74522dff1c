"""The suite itself: it must catch a store that writes without a version."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

CONTRACT = Path(__file__).parent


def run_contract(expression: str, report: Path) -> dict[str, bool]:
    """Run the marked part of the suite on the unversioned store; say which case passed."""
    command = [sys.executable, "-m", "pytest", str(CONTRACT), "-q", "-p", "no:cacheprovider"]
    command += [f"--ignore={__file__}", "-m", expression, f"--junitxml={report}"]
    environment = os.environ | {"MENDLOOP_CONTRACT_STORE": "unversioned", "MENDLOOP_SOAK": "0"}
    root = CONTRACT.parents[1]
    subprocess.run(command, cwd=root, env=environment, check=False, capture_output=True)
    cases = ET.parse(report).getroot().iter("testcase")  # noqa: S314 - our own report
    return {
        f"{case.get('classname')}::{case.get('name')}": case.find("failure") is None
        and case.find("error") is None
        for case in cases
    }


def test_unversioned_store_fails_every_marked_case(tmp_path: Path) -> None:
    """Each case marked v1_write_fails fails on a store that writes without a version."""
    outcome = run_contract("v1_write_fails", tmp_path / "report.xml")
    assert [] == [case for case, passed in outcome.items() if passed]
    assert len(outcome) >= 15


def test_unversioned_store_passes_every_other_case(tmp_path: Path) -> None:
    """The other cases do not depend on it: they pass on the same store."""
    outcome = run_contract("not v1_write_fails", tmp_path / "report.xml")
    assert [] == [case for case, passed in outcome.items() if not passed]
    assert len(outcome) >= 40
