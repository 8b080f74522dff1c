"""The suite itself: it must catch stores that write without a version."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

CONTRACT = Path(__file__).parent


def run_contract(store: str, *arguments: str) -> None:
    """Run the suite on a store."""
    command = [sys.executable, "-m", "pytest", str(CONTRACT), "-q", "-p", "no:cacheprovider"]
    command += [f"--ignore={__file__}", *arguments]
    environment = os.environ | {"MENDLOOP_CONTRACT_STORE": store, "MENDLOOP_SOAK": "0"}
    root = CONTRACT.parents[1]
    subprocess.run(command, cwd=root, env=environment, check=False, capture_output=True)


def outcome_of(store: str, report: Path, *, mark: str) -> dict[str, bool]:
    """Say which of the chosen cases passed."""
    run_contract(store, "-m", mark, f"--junitxml={report}")
    cases = ET.parse(report).getroot().iter("testcase")  # noqa: S314 - our own report
    return {
        f"{case.get('classname')}::{case.get('name')}": case.find("failure") is None
        and case.find("error") is None
        for case in cases
    }


_STORES = [
    "unversioned-sqlite",
    pytest.param("unversioned-configmap", marks=pytest.mark.kubernetes),
]


@pytest.mark.parametrize("store", _STORES)
def test_unversioned_store_fails_every_marked_case(store: str, tmp_path: Path) -> None:
    """Each case marked v1_write_fails fails on a store that writes without a version."""
    outcome = outcome_of(store, tmp_path / "report.xml", mark="v1_write_fails")
    assert [] == [case for case, passed in outcome.items() if passed]
    assert len(outcome) >= 15


@pytest.mark.parametrize("store", _STORES)
def test_unversioned_store_passes_every_other_case(store: str, tmp_path: Path) -> None:
    """The other cases do not depend on it: they pass on the same store."""
    outcome = outcome_of(store, tmp_path / "report.xml", mark="not v1_write_fails")
    assert [] == [case for case, passed in outcome.items() if not passed]
    assert len(outcome) >= 40
