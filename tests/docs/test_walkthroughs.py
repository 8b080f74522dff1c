"""What somebody does on the first day, from the pages alone."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest
from walkthrough import Shell, matches, steps_of

from controlplane import ControlPlane
from controlplane.programs import program

ROOT = Path(__file__).parents[2]


def free_port() -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return str(one.getsockname()[1])


@pytest.fixture
def environment(own_control_plane: ControlPlane, tmp_path: Path) -> dict[str, str]:
    """A machine on which nothing of ours is installed, with a cluster that kubectl reaches."""
    kubectl = Path(program(own_control_plane.binaries, "kubectl"))
    kept = ("LANG", "SSL_CERT_FILE", "PIP_INDEX_URL", "PIP_CONFIG_FILE", "http_proxy", "https_proxy")
    (tmp_path / "python3").symlink_to(Path(sys.base_prefix) / "bin" / "python3")
    return {name: os.environ[name] for name in kept if name in os.environ} | {
        "HOME": str(tmp_path),
        "PATH": os.pathsep.join([str(tmp_path), str(kubectl.parent), "/usr/bin", "/bin"]),
        "KUBECONFIG": str(own_control_plane.kubeconfig(tmp_path / "config")),
        "CHECKOUT": str(ROOT),
        "COLUMNS": "200",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",  # whether pip itself is old says nothing of us
    }


@pytest.mark.parametrize("page", ["quickstart"])
def test_each_command_of_a_page_does_what_stands_under_it(
    page: str, environment: dict[str, str], tmp_path: Path
) -> None:
    """In the order of the page, in one shell: each ends well and prints what the page shows."""
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    intake, admin = free_port(), free_port()  # others may use the usual ones here
    text = text.replace("localhost:8080", f"localhost:{intake}")
    text = text.replace("localhost:9090", f"localhost:{admin}")
    listening = f"--listen localhost:{intake} --admin-listen localhost:{admin}"
    text = text.replace("mendloop serve", f"mendloop serve {listening}")
    with Shell(tmp_path, environment) as shell:
        for command, expected in steps_of(text):
            printed, code = shell.type(command)
            assert (0, True) == (code, matches(expected, printed)), (
                f"$ {command}\n{printed}\nbut the page has:\n{expected}"
            )
