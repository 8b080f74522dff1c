"""What somebody does on the first day, and later, from the pages alone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from controlplane.programs import program
from walkthrough import PAGES, Shell, follow, machine, matches

from controlplane import ControlPlane


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A machine on which nothing of ours is installed."""
    return machine(tmp_path)


def test_a_day_of_a_newcomer(
    own_control_plane: ControlPlane, helm_file: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """A loop, a service with a signed webhook, cleanup, restore, a cluster, an upgrade, an install."""
    *first_day, install = PAGES["nothing"]
    kubectl = program(own_control_plane.binaries, "kubectl")
    for tool in (kubectl, helm_file):
        (tmp_path / "bin" / tool.name).symlink_to(tool)
    environment["KUBECONFIG"] = str(own_control_plane.kubeconfig(tmp_path / "config"))
    with Shell(tmp_path, environment) as shell:
        for page in first_day:
            follow(page, shell)
    (tmp_path / "install").mkdir()
    with Shell(tmp_path / "install", environment) as shell:
        own_control_plane.kubectl("delete", "namespace", "mendloop")
        follow(install, shell)


@pytest.mark.parametrize("page", PAGES["mendloop"])
def test_a_page_does_what_it_shows(page: str, environment: dict[str, str], tmp_path: Path) -> None:
    """Where mendloop is installed, each command of the page ends well and prints what stands there."""
    (tmp_path / "bin" / "mendloop").symlink_to(Path(sys.executable).with_name("mendloop"))
    (tmp_path / "work").mkdir()
    with Shell(tmp_path / "work", environment) as shell:
        follow(page, shell)


def test_a_page_that_shows_something_else_is_found_out(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """What is printed and not shown, or shown and not printed, does not pass; nor does a failure."""
    with Shell(tmp_path, environment) as shell:
        assert ("one\ntwo", 0) == shell.type("echo one\necho two")
        assert ("", 3) == shell.type("(exit 3)")
    assert not matches("", "one")
    assert not matches("one", "")
    assert not matches("one\n…\nthree", "one\ntwo")
    assert matches("one …\nthree", "one two\nthree")
