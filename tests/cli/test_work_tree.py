"""`mendloop run`: what is a change of the work tree, and what is not."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest
from cli_user import PATIENCE_SECONDS, User


def _git(todo: User) -> None:
    subprocess.run(["git", "init", "-q", "."], cwd=todo.tree, check=True)


def test_a_tree_that_never_rests_is_never_completed(todo: User) -> None:
    """The tree is another one at each look: the loop names what changes and completes nothing."""
    change = "od -An -N8 -tx8 /dev/urandom | tee busy.txt"
    noise = ("git", "config", "filter.noise.clean", change)
    subprocess.run(["git", "init", "-q"], cwd=todo.tree, check=True)
    subprocess.run(noise, cwd=todo.tree, check=True)
    todo.write(".gitattributes", "noise.txt filter=noise\n")
    todo.write("noise.txt", "")
    ran = todo("run", "demo", "--review", "true", "--format", "text", "--fix", "true")
    todo.write(".gitattributes", "")

    assert 7 == ran.code
    assert "(written meanwhile: busy.txt); end what writes into it" in ran.err
    assert "InProgress" == todo.state("demo")["status"]
    assert 0 == todo("run", "demo", "--review", "true", "--format", "text", "--fix", "true").code


@pytest.mark.parametrize("is_repository", [False, True])
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_runs_own_output_is_no_change_of_the_tree(
    todo: User, loop_arguments: tuple[str, ...], stream: str, *, is_repository: bool
) -> None:
    """What the run prints may go into a file in the work tree: it is completed all the same."""
    if is_repository:
        _git(todo)
    with (todo.tree / "out.log").open("wb") as file:
        process = todo.start("run", "demo", *loop_arguments, **{stream: file})

        assert 0 == process.wait(PATIENCE_SECONDS)
    assert stream == "stderr" or (todo.tree / "out.log").stat().st_size


@pytest.mark.parametrize("prepare", [lambda _: None, _git], ids=["plain", "git"])
@pytest.mark.parametrize("place", ["--store", "XDG_STATE_HOME"])
def test_a_store_in_the_work_tree_is_no_part_of_it(
    todo: User, loop_arguments: tuple[str, ...], prepare: Callable[[User], None], place: str
) -> None:
    """What mendloop writes is no change of the tree: it is refused there unless it is ignored."""
    prepare(todo)
    option, environment = ("--store", "sqlite:own/s.db"), {}
    if place != "--store":
        option, environment = (), {place: str(todo.tree / "own")}
    refused = todo("run", "demo", *loop_arguments, *option, **environment)

    assert 2 == refused.code
    assert f"is inside the work tree {todo.tree}" in refused.err
    assert not (todo.tree / "own").exists()
    todo.write(".gitignore", "own/\n")
    ran = todo("run", "demo", *loop_arguments, *option, **environment)
    assert (0 if (todo.tree / ".git").exists() else 2) == ran.code


def test_half_an_ignored_store_is_not_ignored(todo: User, loop_arguments: tuple[str, ...]) -> None:
    """The files that SQLite keeps beside a store are to be ignored as well."""
    _git(todo)
    todo.write(".gitignore", "*.db\n")
    refused = todo("run", "demo", *loop_arguments, "--store", "sqlite:s.db")

    assert 2 == refused.code
    assert f"{todo.tree / 's.db-wal'} is inside the work tree" in refused.err
