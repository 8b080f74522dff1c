"""Findings of real linters on edited code: recognised where the evidence allows, and never mixed up."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from drive import Driver, report

from mendloop.core.findings import RawFinding
from mendloop.core.model import Finding
from mendloop.core.vocabulary import IssueType, Severity

FLOOR = 0.96
"""The share that was measured when the cases were recorded, rounded down."""

CASES: list[dict[str, Any]] = [
    json.loads(line)
    for line in (Path(__file__).parent / "data" / "cases.jsonl").read_text().splitlines()
]


def raw(told: dict[str, Any]) -> RawFinding:
    """A recorded finding as intake hands it in."""
    members = {name: value for name, value in told.items() if name != "label"}
    return RawFinding(severity=Severity.MEDIUM, issue_type=IssueType.BUG, **members)


def followed(case: dict[str, Any]) -> list[tuple[str, str]]:
    """Each fault of the last review that an earlier one had or was taken for: what it is, what for."""
    driver = Driver().start(max_iterations=100)
    driver.increment()
    labels: list[str] = []
    said: list[tuple[str, str]] = []
    for told in case["reviews"]:
        said = []
        known = len(labels)
        driver.review(report(findings=tuple(map(raw, told))))
        kept: dict[tuple[Any, ...], list[int]] = {}
        for place, entry in enumerate(driver.state.feedback_history):
            if not entry.resolved and isinstance(entry.mendloop, Finding):
                ours = entry.mendloop
                kept.setdefault((ours.rule, ours.path, ours.line, entry.description), []).append(
                    place
                )
        taken: dict[int, str] = {}
        for found in told:
            where = found["rule"], found["path"], found["line"], found["description"]
            place = kept[where].pop(0)
            taken[place] = found["label"]
            if place < known or found["label"] in labels[:known]:
                said.append((found["label"], labels[place] if place < known else ""))
        labels += ["?"] * (len(driver.state.feedback_history) - known)
        for place, label in taken.items():
            labels[place] = label if place >= known else labels[place]
    return said


def test_no_case_merges_two_findings_and_most_are_recognised(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Of at least 40 recorded edits; the share is printed, and no less than was measured."""
    said = [(case["name"], *pair) for case in CASES for pair in followed(case)]
    wrong = [pair for pair in said if pair[2] and pair[1] != pair[2]]
    known = sum(bool(taken_for) for _, label, taken_for in said if label)
    total = sum(bool(label) for _, label, _ in said)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{len(CASES)} cases: {known} of {total} recognised, {known / total:.1%}\n"
        )
    assert [] == wrong
    assert len(CASES) >= 40
    assert known / total >= FLOOR


def test_what_no_rewording_explains_is_told_apart() -> None:
    """A fault that was fixed while another of its rule came is never taken for that one."""
    count = 0
    for case in CASES:
        if case["name"].endswith("another put in"):
            before, after = ({found["label"] for found in told} for told in case["reviews"])
            count += bool(before - after and after - before)
            assert all(label in before or not taken for label, taken in followed(case))
    assert count >= 6
