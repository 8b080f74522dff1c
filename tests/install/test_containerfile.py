"""The container. No runtime is here to build it: its steps are followed in a Debian root, by chroot."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from containerfile import Image, build, stages
from served import Replica, Served, get_json

import mendloop
from controlplane.helm import Helm

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


@pytest.fixture
def served(image: Image) -> Iterator[Served]:
    """A place in the image where its user may write."""
    folder = image.root / "run" / "state"
    served = Served("", folder, {})
    os.chown(folder, *map(int, image.user.split(":")))
    yield served
    served.end()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the root")
def test_what_it_makes_serves_as_nobody_in_particular(
    image: Image, served: Served, helm: Helm
) -> None:
    """As its user it takes a finding in, passes what `helm test` asks, and stops in good order."""
    version = subprocess.run(
        image.command(*image.entrypoint, "--version"),
        env=image.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert mendloop.__version__ in version.stdout
    options = ["--store=sqlite:/run/state/state.db", "--feedback-token-file=/run/state/token"]
    options += ["--webhook-secret-file=/run/state/secret"]
    options += ["--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"]
    program = image.command(*image.entrypoint)
    replica = Replica("inside", options, served.folder, image.environment, program)
    served.replicas.append(replica)
    replica.wait_until_ready()
    assert 202 == served.post(replica, {"task_id": "42", "findings": [FINDING]})[0]
    assert 401 == get_json(f"{replica.intake}/v1/github", b"{}")[0]
    (pod,) = (each for each in helm.objects() if each["kind"] == "Pod")
    (container,) = pod["spec"]["containers"]
    doors = ["github=401", "feedback=401"]
    asks = [*container["command"], container["args"][0], replica.intake, replica.admin, *doors]
    asked = subprocess.run(image.command(*asks), env=image.environment, check=False)
    assert 0 == asked.returncode
    assert 0 == replica.end()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the root")
def test_its_user_can_change_nothing_that_it_runs(image: Image) -> None:
    """It is not root, by number, and may write to no program, library or setting."""
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", image.user)
    find = ("find", "/opt", "/usr", "/etc", "-writable", "-not", "-type", "l")
    found = subprocess.run(image.command(*find), capture_output=True, text=True, check=False)
    assert "" == found.stdout
