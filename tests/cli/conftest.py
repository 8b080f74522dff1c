"""A user with a folder, a state folder and a terminal's worth of patience."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from audited import check_namespace, check_texts
from cli_user import PATIENCE_SECONDS, Done, Quick, User, Wait

from controlplane import Cluster
from mendloop.cli.main import run as run_in_process

REVIEW = r"""n=0
while read -r line; do
  n=$((n + 1))
  printf '{"severity": "High", "issue_type": "Bug", "description": "%s", "path": "todo.txt", "line": %d}\n' \
    "$line" "$n"
done < todo.txt
"""
FIX = """sed -i.old 1d todo.txt
echo "one line is gone"
"""


@pytest.fixture
def user(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[User]:
    """A user in an empty folder."""
    user = User(tmp_path)
    yield user
    user.end()
    check_texts(request, user.told)


@pytest.fixture
def cluster_user(
    request: pytest.FixtureRequest, user: User, control_plane: Cluster, namespace: str
) -> Iterator[User]:
    """A user whose kubeconfig leads to a namespace of the test's own."""
    path = control_plane.kubeconfig(user.folder / "config", namespace=namespace)
    user.environment["KUBECONFIG"] = str(path)
    user.environment["MENDLOOP_STORE"] = "kubernetes"
    yield user
    asyncio.run(check_namespace(request, f"configmap:{path}"))


@pytest.fixture
def todo(user: User) -> User:
    """A user whose folder holds three faults, a reviewer that sees them and a fixer of one each."""
    user.write("review.sh", REVIEW)
    user.write("fix.sh", FIX)
    user.write("todo.txt", "one\ntwo\nthree\n")
    return user


@pytest.fixture
def loop_arguments() -> tuple[str, ...]:
    """The reviewer and the fixer of `todo`, as options."""
    return ("--review", "sh review.sh", "--format", "jsonl", "--fix", "sh fix.sh")


@pytest.fixture
def quick(user: User, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Quick:
    """Call the command line in this process: the same, without the start of an interpreter."""
    for name in [name for name in os.environ if name[:9] == "MENDLOOP_"]:
        monkeypatch.delenv(name)
    for name, value in user.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(user.tree)

    def call(*arguments: str) -> Done:
        capfd.readouterr()
        code = run_in_process(arguments)
        out, err = capfd.readouterr()
        user.told += out.encode(), err.encode()
        return Done(code, out, err)

    return call


@pytest.fixture
def wait_until() -> Wait:
    """Wait for something that a started process does."""

    def wait(is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_so():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.02)

    return wait
