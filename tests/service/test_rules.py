from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus import RULES, read_rules
from prometheus.rules import seconds_of
from prometheus.unit_tests import (
    BEGIN_MINUTE,
    END_MINUTE,
    FAULTS,
    LAST_MINUTE,
    UNKNOWN,
    Series,
    unit_test,
)

_LONGEST_WINDOW_MINUTES = 15


def _promtool(programs: Path, *arguments: str) -> str:
    done = subprocess.run(
        [programs / "promtool", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stdout
    return done.stdout


def _run(programs: Path, folder: Path, tests: list[dict[str, Any]]) -> None:
    """Have promtool run unit tests of the rules that we ship."""
    file = folder / "tests.yaml"
    content = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}
    file.write_text(yaml.safe_dump(content))
    _promtool(programs, "test", "rules", str(file))


def _firing(name: str) -> str:
    return f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) or vector(0)'


def test_the_rules_are_rules(prometheus_folder: Path) -> None:
    """Promtool finds nothing to criticise, and each alert says how bad it is, what it is and what to do."""
    told = _promtool(prometheus_folder, "check", "rules", "--lint=all", "--lint-fatal", str(RULES))
    assert f"{len(read_rules())} rules found" in told
    for name, rule in read_rules().items():
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert {"summary", "description", "runbook_url"} == set(rule["annotations"])
        assert rule["annotations"]["runbook_url"].endswith(f"/runbooks.md#{name.lower()}")


def test_every_alert_is_tried() -> None:
    """The table of what can go wrong has each alert."""
    assert set(read_rules()) == set(FAULTS)


@pytest.mark.parametrize("name", FAULTS)
def test_an_alert_fires_and_clears(name: str, prometheus_folder: Path, tmp_path: Path) -> None:
    """It fires within two evaluations once its condition held for its time, not before, and clears."""
    rule = read_rules()[name]
    tests = []
    for series, lag_minutes in FAULTS[name]:
        due = BEGIN_MINUTE + lag_minutes + seconds_of(rule) // 60
        over = END_MINUTE + _LONGEST_WINDOW_MINUTES + 1
        minutes = {due - 1: 0, due + 2: 1, END_MINUTE - 1: 1, over: 0, LAST_MINUTE: 0}
        tests.append(unit_test(series, {_firing(name): minutes}))
    _run(prometheus_folder, tmp_path, tests)


@pytest.mark.parametrize("unknown", [(), UNKNOWN], ids=["all known", "limits unknown"])
def test_nothing_is_said_of_a_healthy_service(
    unknown: Sequence[str], prometheus_folder: Path, tmp_path: Path
) -> None:
    """While all is well no alert fires, nor is about to, though nobody knows a limit or has cleaned up."""
    minutes = dict.fromkeys(range(LAST_MINUTE + 1), 0)
    changed = {name: Series("", 0, 0) for name in unknown}
    _run(prometheus_folder, tmp_path, [unit_test(changed, {"count(ALERTS) or vector(0)": minutes})])


def test_one_replica_of_two_that_is_unready_is_no_outage(
    prometheus_folder: Path, tmp_path: Path
) -> None:
    """As long as another one takes in what is sent, only the replica is told."""
    changed = {"mendloop_ready{b}": Series('pod="b"', 1, 0)}
    expected = {
        _firing("MendloopDown"): {END_MINUTE - 1: 0},
        _firing("MendloopReplicaUnready"): {END_MINUTE - 1: 1},
    }
    _run(prometheus_folder, tmp_path, [unit_test(changed, expected)])
