"""Bad input: each has a clear message and its exit code, and nothing is lost."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_user import Done, Quick, User

from mendloop.core.names import HEAD, head_name
from mendloop.stores.sqlite import open_sqlite

BAD_IDS = {
    "": "may not be empty",
    "a/b": "lower-case letters",
    "../a": "lower-case letters",
    "..": "lower-case letters",
    "a b": "lower-case letters",
    "Task": "lower-case letters",
    "a" * 64: "64 characters",
    "a\n": "lower-case letters",
    "\u202ea": "lower-case letters",
}
ON_A_TASK = (
    ("increment",),
    ("show",),
    ("history",),
    ("explain",),
    ("pause", "--reason", "x"),
    ("resume",),
    ("stop",),
    ("feedback", "list"),
    ("feedback", "add", "--severity", "Low", "--issue-type", "Bug", "--description", "x"),
    ("run", "--review", "true", "--fix", "true"),
)


@pytest.mark.parametrize("task_id", BAD_IDS, ids=ascii)
@pytest.mark.parametrize("command", ON_A_TASK, ids=lambda command: command[0])
def test_a_bad_task_id_is_refused(
    quick: Quick, user: User, command: tuple[str, ...], task_id: str
) -> None:
    """Exit code 11 (2 where a run has no task), one line that says why, and nothing is made."""
    done = quick(*command, "--", task_id)

    is_missing = command[0] == "run" and not task_id
    assert (2 if is_missing else 11) == done.code
    assert ("name a TASK" if is_missing else BAD_IDS[task_id]) in done.err
    assert 1 == len(done.err.splitlines())
    assert done.err.isascii()
    assert {"tasks": []} == quick("list", "-o", "json").json()


def test_the_longest_task_id_is_taken(quick: Quick) -> None:
    """63 characters are allowed."""
    assert 0 == quick("increment", "a" * 63).code


@pytest.mark.parametrize("spec", ["postgres:x", "state.db", "sqlite:", "/srv/state.db"])
def test_a_store_that_is_not_understood_is_a_usage_error(quick: Quick, spec: str) -> None:
    """The message lists what is understood."""
    done = quick("list", "--store", spec)

    assert 2 == done.code
    assert "sqlite:PATH" in done.err


def test_the_store_may_come_from_the_environment(
    quick: Quick, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MENDLOOP_STORE names the store; --store counts more."""
    monkeypatch.setenv("MENDLOOP_STORE", f"sqlite:{user.folder / 'one.db'}")
    quick("increment", "demo")
    other = quick("list", "--store", f"sqlite:{user.folder / 'two.db'}", "-o", "json")

    assert (user.folder / "one.db").exists()
    assert not user.store.exists()
    assert {"tasks": []} == other.json()


def _as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _as_text(path: Path) -> None:
    path.write_text("this is no database\n" * 100)


def _truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 4096)


def _emptied(path: Path) -> None:
    os.truncate(path, 0)


def _newer(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()


@pytest.mark.damages
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_as_folder, "is a folder"),
        (_as_text, "is not a SQLite database"),
        (_truncated, "restore a copy"),
        (_emptied, "is empty"),
        (_newer, "upgrade mendloop"),
    ],
)
def test_a_spoilt_database_is_refused_and_left_as_it_is(user: User, spoil: Any, words: str) -> None:
    """Exit code 13 from reading and from writing; not a byte of the file is changed."""
    user("increment", "demo")
    spoil(user.store)
    before = None if user.store.is_dir() else user.store.read_bytes()

    for command in (("list",), ("increment", "demo"), ("show", "demo")):
        done = user(*command)
        assert 13 == done.code, command
        assert words in done.err
        assert 1 == len(done.err.splitlines())
    assert before == (None if user.store.is_dir() else user.store.read_bytes())


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs a user without privileges")
@pytest.mark.skipif(os.geteuid() != 0, reason="root becomes a user without privileges")
def test_a_read_only_database_is_shown_and_not_written(user: User) -> None:
    """It can be listed; a write exits 13 and names the reason."""
    user("increment", "demo")
    before = user.store.read_bytes()
    user.store.chmod(0o444)
    for folder in (user.store.parent, user.store.parent.parent):
        folder.chmod(0o555)
    for folder in (user.folder, *user.folder.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(0o755)

    def as_nobody(*arguments: str) -> subprocess.CompletedProcess[str]:
        nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        return subprocess.run(
            [*nobody, sys.executable, "-m", "mendloop", *arguments],
            cwd=user.tree,
            env=user.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    listed, refused = as_nobody("list"), as_nobody("increment", "demo")
    assert (0, 13) == (listed.returncode, refused.returncode), listed.stderr
    assert "demo" in listed.stdout
    assert "allow writing" in refused.stderr
    assert before == user.store.read_bytes()


def test_a_full_disk_loses_nothing(user: User) -> None:
    """With no room to write, exit code 13; what was acknowledged is still there."""
    user("increment", "demo")
    for number in range(6):
        text = ("--severity", "Low", "--issue-type", "Bug", "--description", f"{number}" * 8000)
        assert 0 == user("feedback", "add", "demo", *text).code
    before = user.state("demo")
    limited = subprocess.run(
        [sys.executable, "-m", "mendloop", "increment", "demo"],
        cwd=user.tree,
        env=user.environment,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000)),
    )

    assert 13 == limited.returncode, limited.stderr
    assert "make room" in limited.stderr
    assert before == user.state("demo")
    assert 0 == user("increment", "demo").code


def _put(user: User, task_id: str, old: bytes, new: bytes) -> None:
    """Write another program's state: through the store's own door, so that its digest fits."""

    async def replace() -> None:
        store = await open_sqlite(user.store)
        document = await store.get(HEAD, head_name(task_id))
        assert document is not None
        assert old in document.body
        await store.replace(
            document,
            document.body.replace(old, new, 1),
            fields=document.fields,
            labels=document.labels,
        )
        await store.close()

    asyncio.run(replace())


def test_an_address_that_is_taken_is_named_with_what_to_do(user: User) -> None:
    """Whoever starts a second service reads which address is taken, and by which options to choose."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = user("serve", "--listen", "127.0.0.1:0", "--admin-listen", address)

    assert 16 == done.code
    told = f"{address} cannot be listened on: Address already in use; "
    assert done.err.endswith(f"{told}choose another by --listen or --admin-listen\n")


@pytest.mark.damages
def test_a_damaged_state_is_named_and_the_others_are_listed(quick: Quick, user: User) -> None:
    """Exit code 12 for the task itself; the list shows it as unreadable beside the sound ones."""
    quick("increment", "demo")
    quick("increment", "sound")
    _put(user, "demo", b'"iteration":1', b'"iteration":-1')

    for command in (("show", "demo"), ("increment", "demo"), ("explain", "demo")):
        refused = quick(*command)
        assert 12 == refused.code
        assert refused.err.endswith("; `mendloop doctor demo` tells what to do\n")
    listed = quick("list")
    assert 0 == listed.code
    assert "unreadable" in listed.out
    assert "sound" in listed.out
    head, *rows, told, advice = listed.out.splitlines()
    assert "`mendloop doctor` tells what to do" == advice
    assert told.startswith("demo is unreadable: the state of task demo cannot be read")
    assert max(map(len, (head, *rows))) < len(told)


@pytest.mark.damages
def test_a_newer_state_is_shown_and_never_written(quick: Quick, user: User) -> None:
    """Show prints it as it is stored, with a warning; a write exits 12."""
    quick("increment", "demo")
    _put(user, "demo", b'"version":"v1"', b'"version":"v2"')
    shown = quick("show", "demo", "-o", "json")

    assert 0 == shown.code
    assert "v2" == shown.json()["version"]
    assert "mendloop: warning: " in shown.err
    assert "upgrade" in shown.err
    assert 12 == quick("increment", "demo").code
    assert '"version":"v2"' in quick("show", "demo").out


BAD_FILES = {
    "[loop": "cannot be read",
    "[loop]\nfixx = 'a'": "unknown key 'fixx' in [loop]; known are: fix,",
    "[[review]]\ncommand = 'a'\nkind = 'b'": "unknown key 'kind' in [[review]]",
    "colour = 1": "unknown key 'colour'; known are: task, loop, review",
    "[loop]\nmax_iterations = 'ten'": "loop.max_iterations: expected `int",
    "[loop]\nmax_iterations = 0": "loop.max_iterations: expected `int` >= 1",
    "[loop]\nno_progress_rounds = 1": "loop.no_progress_rounds: expected `int` >= 2",
    "[loop]\nbudget = 'soon'": "loop.budget: 'soon' is not a duration",
    "[[review]]\ncommand = 'a'\nformat = 'xml'": "review[0].format",
    "[[review]]\nname = 'a'": "review[0]: object missing required field `command`",
    "[[review]]\ncommand = 'a'\nok_exit_codes = [256]": "review[0].ok_exit_codes",
    "loop = 3": "loop: expected `object`",
    "[loop]\nfix = ''": "loop.fix",
    "review = 1": "review: expected `array`",
    "task = '\udc80'": "cannot be read",
    "[[review]]\nname='a'\ncommand='b'\n[[review]]\nname='a'\ncommand='c'": "two reviewers",
}


@pytest.mark.parametrize("content", BAD_FILES, ids=ascii)
def test_a_bad_file_is_a_usage_error_that_names_the_key(
    quick: Quick, user: User, content: str
) -> None:
    """Exit code 2, the file and the key; no task is made."""
    path = user.tree / "mendloop.toml"
    path.write_bytes(content.encode(errors="surrogateescape"))
    done = quick("run", "demo", "--fix", "true")

    assert 2 == done.code
    assert BAD_FILES[content] in done.err
    assert 1 == len(done.err.splitlines())
    assert {"tasks": []} == quick("list", "-o", "json").json()


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_a_file_that_is_none_is_not_read(user: User, kind: str) -> None:
    """A mendloop.toml that would never end, or is no file, is a usage error at once."""
    path = user.tree / "mendloop.toml"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    done = user("run", "demo", "--fix", "true")

    assert 2 == done.code
    assert "mendloop.toml is not a regular file" in done.err


def _in_a_removed_folder(user: User, *arguments: str) -> Done:
    gone = user.folder / "gone"
    gone.mkdir()
    process = user.start(*arguments, cwd=gone, preexec_fn=gone.rmdir)
    out, err = process.communicate(timeout=60)
    return Done(process.returncode, out.decode(), err.decode())


def test_a_current_folder_that_is_gone_is_named(
    todo: User, loop_arguments: tuple[str, ...]
) -> None:
    """Where the current folder was removed, what needs it says so; what does not, works."""
    refused = _in_a_removed_folder(todo, "run", "demo", *loop_arguments)
    assert 2 == refused.code
    assert "the work tree . is gone" in refused.err
    assert 3 == todo("show", "demo").code
    beside = _in_a_removed_folder(todo, "list", "--store", "sqlite:here.db")
    assert 13 == beside.code
    assert "here.db: No such file or directory" in beside.err
    assert 0 == _in_a_removed_folder(todo, "list").code
    assert 0 == _in_a_removed_folder(todo, "run", "a", *loop_arguments, "-C", str(todo.tree)).code


def test_a_command_that_is_not_there_is_named(quick: Quick) -> None:
    """A misspelt command or option is a usage error."""
    assert 2 == quick("shwo").code
    assert "shwo" in quick("shwo").err
    assert 2 == quick("list", "--colour").code
    assert 2 == quick("run", "demo", "--budget", "soon").code
    assert 2 == quick("run", "demo", "-o", "yaml").code
    assert 2 == quick().code


NOT_UTF8 = "caf\udce9"


@pytest.mark.parametrize("output", ["table", "json"])
@pytest.mark.parametrize("what", ["folder", "by", "user", "reviewer", "fixer"])
def test_what_is_not_utf8_ends_no_run(
    todo: User, loop_arguments: tuple[str, ...], tmp_path: Path, what: str, output: str
) -> None:
    """A folder, a name and a command may be any bytes: the run ends by its rules."""
    arguments, environment = ("run", "demo", *loop_arguments, "-o", output), {}
    code = 0
    if what == "folder":
        todo.tree = todo.tree.rename(tmp_path / NOT_UTF8)
    elif what == "by":
        arguments += ("--by", NOT_UTF8)
    elif what == "user":
        environment["LOGNAME"] = NOT_UTF8
    else:
        code = 7
        place = arguments.index("sh review.sh" if what == "reviewer" else "sh fix.sh")
        arguments = (*arguments[:place], NOT_UTF8, *arguments[place + 1 :])
    ran = todo(*arguments, **environment)

    assert code == ran.code
    assert "unexpected" not in ran.err
    assert code == todo(*arguments, **environment).code
    for command in ("show", "explain", "history"):
        assert 0 == todo(command, "demo", "-o", output).code
