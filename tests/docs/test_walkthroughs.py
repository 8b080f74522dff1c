"""What somebody does on the first day, and later, from the pages alone."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest
from controlplane.programs import program
from walkthrough import Shell, matches, steps_of

from controlplane import ControlPlane

ROOT = Path(__file__).parents[2]
KEPT = ("LANG", "SSL_CERT_FILE", "PIP_INDEX_URL", "PIP_CONFIG_FILE", "http_proxy", "https_proxy")


def free_port() -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return str(one.getsockname()[1])


def follow(page: str, shell: Shell) -> None:
    """Type all of a page; each command ends well and prints what stands under it."""
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    intake, admin = free_port(), free_port()  # others may use the usual ones here
    text = text.replace("localhost:8080", f"localhost:{intake}")
    text = text.replace("localhost:9090", f"localhost:{admin}")
    listening = f"--listen localhost:{intake} --admin-listen localhost:{admin}"
    text = text.replace("mendloop serve", f"mendloop serve {listening}")
    for command, expected in steps_of(text):
        printed, code = shell.type(command)
        assert (0, True) == (code, matches(expected, printed)), (
            f"$ {command}\n{printed}\nbut {page}.md has:\n{expected}"
        )


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A machine on which nothing of ours is installed."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to(Path(sys.base_prefix) / "bin" / "python3")
    return {name: os.environ[name] for name in KEPT if name in os.environ} | {
        "HOME": str(tmp_path),
        "PATH": os.pathsep.join([str(tmp_path / "bin"), "/usr/bin", "/bin"]),
        "CHECKOUT": str(ROOT),
        "COLUMNS": "200",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",  # whether pip itself is old says nothing of us
    }


def test_a_day_of_a_newcomer(
    own_control_plane: ControlPlane, helm_file: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """A loop, a service with a signed webhook, cleanup, restore, a cluster, an upgrade, an install."""
    kubectl = program(own_control_plane.binaries, "kubectl")
    for tool in (kubectl, helm_file):
        (tmp_path / "bin" / tool.name).symlink_to(tool)
    environment["KUBECONFIG"] = str(own_control_plane.kubeconfig(tmp_path / "config"))
    with Shell(tmp_path, environment) as shell:
        follow("quickstart", shell)
        follow("upgrade", shell)
    (tmp_path / "install").mkdir()
    with Shell(tmp_path / "install", environment) as shell:
        own_control_plane.kubectl("delete", "namespace", "mendloop")
        follow("install", shell)


@pytest.mark.parametrize("page", ["backup", "ci", "github"])
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
