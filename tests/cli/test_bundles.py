"""Tasks in files: `mendloop export` and `mendloop import`."""

from __future__ import annotations

import asyncio
import gzip
import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_user import Quick, User, edit

from mendloop.stores.sqlite import open_sqlite


@pytest.fixture
def tasks(quick: Quick) -> Quick:
    """Calls the command line, where two tasks are in the usual store."""
    for task in ("one", "two"):
        assert 0 == quick("increment", task).code
    return quick


def test_tasks_move_to_another_store(tasks: Quick, user: User) -> None:
    """They are there with all their history, and the import says what it did."""
    exported = tasks("export", "--all", "all.jsonl")
    imported = tasks("import", "all.jsonl", "--store", "sqlite:other.db")
    again = tasks("import", "all.jsonl", "--store", "sqlite:other.db", "-o", "json")

    assert "all.jsonl: 2 tasks, 2 documents" in exported.out
    assert (0, "tasks: 2 imported\n", "") == imported
    nothing = {key: [] for key in ("created", "updated", "replaced", "refused", "quarantined")}
    assert nothing | {"present": ["one", "two"]} == again.json()
    for command in ("show", "history"):
        shown = tasks(command, "two", "--store", "sqlite:other.db", "-o", "json")
        assert tasks(command, "two", "-o", "json").out == shown.out
    assert 0o600 == stat.S_IMODE((user.tree / "all.jsonl").stat().st_mode)
    assert {"all.jsonl", "other.db"} == {path.name for path in user.tree.iterdir()}


def test_a_name_in_gz_is_packed(tasks: Quick, user: User) -> None:
    """Import recognises it by itself, whatever its name is then."""
    tasks("export", "two", "some.jsonl.gz")
    packed = (user.tree / "some.jsonl.gz").read_bytes()
    (user.tree / "renamed").write_bytes(packed)

    header, document, trailer = map(json.loads, gzip.decompress(packed).splitlines())
    assert (1, 1) == (header["header"]["bundle"], header["header"]["tasks"])
    assert "two" == document["document"]["task"]
    assert 1 == trailer["trailer"]["documents"]
    assert "tasks: 1 imported\n" == tasks("import", "renamed", "--store", "sqlite:other.db").out


def test_it_goes_through_a_pipe(user: User) -> None:
    """A dash is standard output and standard input, and nothing else is written there."""
    user("increment", "one")
    exported = user("export", "--all", "-")
    imported = user("import", "-", "--store", "sqlite:other.db", stdin=exported.out.encode())

    assert (0, "") == (exported.code, exported.err)
    assert 3 == len(exported.out.splitlines())
    assert (0, "tasks: 1 imported\n", "") == imported


def test_a_refused_task_does_not_stop_the_others(tasks: Quick) -> None:
    """It is named, with what is there, and the exit code says that not all is done."""
    tasks("export", "--all", "all.jsonl")
    tasks("increment", "one", "--store", "sqlite:other.db")
    done = tasks("import", "all.jsonl", "--store", "sqlite:other.db", "-o", "json")

    assert 11 == done.code
    assert (["two"], ["one"]) == (done.json()["created"], done.json()["refused"])
    assert "task one is there already, and is not the one in the bundle" in done.err
    refusal = json.loads(done.err.splitlines()[1])
    assert ("StateExists", "one") == (refusal["error"], refusal["task_id"])


@pytest.mark.damages
@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda body: body[:-1], "cannot be read"),
        (lambda body: body.replace(b'"version":"v1"', b'"version":"v2"'), "is in format 'v2'"),
    ],
)
def test_a_copy_names_the_states_that_cannot_be_read(
    tasks: Quick, user: User, change: Callable[[bytes], bytes], why: str
) -> None:
    """They are in it byte for byte, and nobody takes it for a copy of sound tasks alone."""
    edit(user.store, "two", change)
    exported = tasks("export", "--all", "all.jsonl", "-o", "json")
    imported = tasks("import", "all.jsonl", "--store", "sqlite:other.db")
    tasks("export", "--all", "again.jsonl", "--store", "sqlite:other.db")

    copies = [(user.tree / name).read_text().splitlines() for name in ("all.jsonl", "again.jsonl")]
    told, as_data = exported.err.splitlines()
    assert (12, 2) == (exported.code, exported.json()["tasks"])
    assert "mendloop: warning: " in told
    assert why in told
    assert "it was written as it is, with all of its history that was found" in told
    assert "two" == json.loads(as_data)["task_id"]
    assert (0, "tasks: 2 imported\n") == (imported.code, imported.out)
    assert copies[0][1:-1] == copies[1][1:-1]


def test_a_copy_takes_the_place_of_a_damaged_state(tasks: Quick, user: User) -> None:
    """It does where it is told to, and says where the damaged one is kept; the task goes on."""
    tasks("export", "--all", "all.jsonl")
    edit(user.store, "two", lambda body: body[:-1])
    refused = tasks("import", "all.jsonl")
    told = tasks("import", "all.jsonl", "--replace-damaged")

    assert 11 == refused.code
    assert "--replace-damaged copies it aside and puts the bundle's in its place" in refused.err
    assert (0, "") == (told.code, told.err)
    first, second = told.out.splitlines()
    assert "tasks: 1 put in the place of a damaged state, 1 there already" == first
    [copy] = tasks("restore", "two", "--list", "-o", "json").json()["copies"]
    assert f"a copy of what was damaged is kept as {copy['name']}" == second
    assert 2 == tasks("increment", "two", "-o", "json").json()["iteration"]
    assert 2 == tasks("import", "--from", "cto", "all.jsonl", "--replace-damaged").code


def test_a_damaged_file_is_refused(tasks: Quick, user: User) -> None:
    """The place is named, and where there was no store there is none."""
    tasks("export", "--all", "all.jsonl")
    content = (user.tree / "all.jsonl").read_bytes()
    (user.tree / "cut.jsonl").write_bytes(content[:-10])
    before = {path.name for path in user.tree.iterdir()}
    done = tasks("import", "cut.jsonl", "--store", "sqlite:other.db")

    assert (12, "") == (done.code, done.out)
    assert "line 4 of the bundle, after a document of task two: the line is cut" in done.err
    assert before == {path.name for path in user.tree.iterdir()}


async def _make_store(path: Path) -> None:
    await (await open_sqlite(path)).close()


def test_what_imports_nothing_makes_no_store(quick: Quick, user: User) -> None:
    """An empty bundle is no error, and neither it nor a dump without a sound state leaves a file."""
    asyncio.run(_make_store(user.tree / "empty.db"))
    assert 0 == quick("export", "--all", "empty.jsonl", "--store", "sqlite:empty.db").code
    user.write("dump.json", '{"kind": "ConfigMap", "metadata": {"name": "remediation-state-x"}}')
    user.write("other.json", '{"kind": "Secret"}')
    before = {path.name for path in user.tree.iterdir()}
    options = ("--store", "sqlite:other.db")

    assert (0, "tasks: none in the file\n", "") == quick("import", "empty.jsonl", *options)
    refused = quick("import", "--from", "cto", "dump.json", *options)
    assert (12, "tasks: 1 refused\n") == (refused.code, refused.out)
    assert 11 == quick("import", "--from", "cto", "other.json", *options).code
    assert before == {path.name for path in user.tree.iterdir()}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("export", "file"), 2, "name the tasks, or all of them with --all"),
        (("export", "one", "--all", "file"), 2, "name the tasks, or all of them with --all"),
        (("export", "none", "file"), 3, "there is no task none"),
        (("export", "NO", "file"), 11, "task id 'NO'"),
        (("export", "one", "no/such/folder"), 16, "No such file or directory"),
        (("import", "none"), 2, "does not exist"),
    ],
)
def test_what_cannot_be_is_said(
    tasks: Quick, user: User, arguments: tuple[str, ...], code: int, said: str
) -> None:
    """No file is left behind that looks like an export."""
    done = tasks(*arguments)

    assert code == done.code
    assert said in done.err
    assert [] == list(user.tree.iterdir())


def test_an_export_that_fails_leaves_the_older_file(tasks: Quick, user: User) -> None:
    """The file is replaced once the new one is whole."""
    file: Path = user.write("all.jsonl", "older")
    done = tasks("export", "--all", "all.jsonl", "--store", "sqlite:none.db")

    assert 3 == done.code
    assert "older" == file.read_text()


def test_an_export_to_a_full_device_fails(tasks: Quick) -> None:
    """What could not be written is not taken for a copy."""
    done = tasks("export", "--all", "/dev/full")

    assert 16 == done.code
    assert "No space left on device" in done.err
