"""The container. No runtime is here to build it: its steps are followed in a Debian root, by chroot."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from containerfile import Image, build, stages
from installed import Installed
from served import Replica, Served

import mendloop

ROOT = Path(__file__).parents[2]
FILE = ROOT / "Containerfile"
FINDING = {"severity": "High", "issue_type": "Bug", "description": "an empty name answers 500"}


def test_all_that_it_begins_with_is_pinned() -> None:
    """Each stage begins with a named release, and the installer is the one that the Makefile names."""
    everything = stages(FILE)
    bases = [steps[0].text.split()[0] for steps in everything.values()]
    assert [] == [base for base in bases if not re.search(r":\d+\.\d+-slim$|@sha256:", base)]
    lines = " ".join(step.text for steps in everything.values() for step in steps)
    (wanted,) = re.findall(r"(?m)^UV_VERSION := (.*)$", (ROOT / "Makefile").read_text())
    assert [wanted] == re.findall(r"\buv==(\S+)", lines)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """What the Containerfile makes of this checkout."""
    return build(FILE, tmp_path_factory.mktemp("image"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the root")
def test_it_runs_what_the_chart_starts(image: Image, installed: Installed) -> None:
    """With the files that a Pod has, as its user, it serves, passes `helm test`, writes nowhere, and stops."""
    replica = installed.start_in(image)
    replica.wait_until_ready()
    assert 202 == installed.post(replica, "42")
    asked = installed.ask(replica, image)
    assert 0 == asked.returncode, asked.stdout + asked.stderr
    assert 0 == replica.end()
    user, _ = image.user.split(":")
    assert [] == [str(path) for path in image.root.rglob("*") if str(path.lstat().st_uid) == user]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the root")
def test_it_serves_on_one_machine(image: Image, tmp_path: Path) -> None:
    """It is the version of this checkout, and keeps a SQLite file where its user may write."""
    folder = image.root / "run" / "state"
    served = Served("", folder, {})
    os.chown(folder, *map(int, image.user.split(":")))
    options = ["--store=sqlite:/run/state/state.db", "--feedback-token-file=/run/state/token"]
    options += ["--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"]
    program = image.command(*image.entrypoint)
    told = subprocess.run(
        [*program, "--version"], env=image.environment, capture_output=True, text=True, check=True
    )
    assert mendloop.__version__ in told.stdout
    replica = Replica("inside", options, tmp_path, image.environment, program)
    try:
        replica.wait_until_ready()
        assert 202 == served.post(replica, {"task_id": "42", "findings": [FINDING]})[0]
        assert 0 == replica.end()
    finally:
        replica.process.kill()
    assert (folder / "state.db").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the root")
def test_its_user_can_change_nothing_that_it_runs(image: Image) -> None:
    """It is not root, by number, and may write to no program, library or setting."""
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", image.user)
    find = ("find", "/opt", "/usr", "/etc", "-writable", "-not", "-type", "l")
    found = subprocess.run(image.command(*find), capture_output=True, text=True, check=False)
    assert "" == found.stdout
