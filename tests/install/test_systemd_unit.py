"""The unit for one machine. No systemd runs here: it judges the unit, and what the unit starts is run."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from served import Replica, Served, get_json

UNIT = Path(__file__).parents[2] / "deploy" / "systemd" / "mendloop.service"
PROGRAM = "/opt/mendloop/bin/mendloop"
STOP_SECONDS = 20  # docs/service.md promises it


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with the program of this checkout in the place of an installed one."""
    here = Path(sys.executable).with_name("mendloop")
    path = tmp_path / UNIT.name
    path.write_text(UNIT.read_text().replace(PROGRAM, str(here)))
    return path


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """Where the process that the unit starts has its files."""
    served = Served("", tmp_path / "service", {})
    yield served
    served.end()
    assert [] == served.leaks()


def _analyze(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        ["systemd-analyze", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_systemd_understands_every_line(unit: Path) -> None:
    """It finds no key that it does not know, no value that may not be, and nothing that is missing."""
    assert (0, "") == _analyze("verify", str(unit))


def test_it_may_do_little(unit: Path) -> None:
    """By systemd's own measure, from 0 to 10, what the service is exposed to is at most 1.5."""
    code, table = _analyze("security", "--offline=true", "--threshold=15", str(unit))
    assert 0 == code, table


def test_what_it_starts_serves_and_stops_in_time(served: Served) -> None:
    """Its command runs with what systemd gives it, takes a finding in, and ends with 0 in its time."""
    text = UNIT.read_text().replace("\\\n", " ")
    words = re.findall(r"(?m)^ExecStart=(.*)$", text)[0].split()
    assert [PROGRAM, "serve"] == words[:2]
    folder = served.folder
    contents = {
        "webhook-secret": "s" * 32,
        "feedback-token": served.token,
        "serve.toml": "[tasks]\nmax_iterations = 5\n",
    }
    assert set(contents) == set(re.findall(r"(?m)^LoadCredential=(\S+):/etc/mendloop/\1$", text))
    for name, content in contents.items():
        (folder / name).write_text(content)
    for place in ("${STATE_DIRECTORY}", "${CREDENTIALS_DIRECTORY}"):
        words = [word.replace(place, str(folder)) for word in words]
    listen = ["--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"]
    replica = Replica("unit", [*words[2:], *listen], folder, {"PATH": "/usr/bin:/bin"})
    served.replicas.append(replica)
    replica.wait_until_ready()
    finding = {"severity": "High", "issue_type": "Bug", "description": "an empty name answers 500"}
    assert 202 == served.post(replica, {"task_id": "42", "findings": [finding]})[0]
    assert 401 == get_json(f"{replica.intake}/v1/github", b"{}")[0]
    replica.process.terminate()
    assert 0 == replica.process.wait(STOP_SECONDS)
    assert STOP_SECONDS < int(re.findall(r"(?m)^TimeoutStopSec=(\d+)$", text)[0])
