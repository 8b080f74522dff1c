from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mendloop.runners.tree import changed_files, is_content, tree_files, tree_revision


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    return subprocess.run(
        ["git", *identity, *arguments],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def fill(folder: Path) -> Path:
    (folder / "sub").mkdir(parents=True)
    (folder / "kept.txt").write_text("kept\n")
    (folder / "sub" / "deep.txt").write_text("deep\n")
    (folder / ".gitignore").write_text("*.log\n")
    (folder / "link").symlink_to("kept.txt")
    return folder


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit."""
    folder = fill(tmp_path / "repository")
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "first")
    return folder


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A folder without a repository."""
    return fill(tmp_path / "plain")


def write_file(folder: Path) -> None:
    (folder / "kept.txt").write_text("cept\n")


def add_file(folder: Path) -> None:
    (folder / "new.txt").write_text("new")


def delete_file(folder: Path) -> None:
    (folder / "sub" / "deep.txt").unlink()


def move_file(folder: Path) -> None:
    (folder / "kept.txt").rename(folder / "moved.txt")


def set_executable(folder: Path) -> None:
    (folder / "kept.txt").chmod(0o755)


def relink(folder: Path) -> None:
    (folder / "link").unlink()
    (folder / "link").symlink_to("sub")


CHANGES = [write_file, add_file, delete_file, move_file, set_executable, relink]


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_in_a_repository_counts(
    repository: Path, change: Callable[[Path], None]
) -> None:
    """Changed, new, deleted, moved and newly executable files give the tree another name."""
    before = await tree_revision(repository)
    change(repository)

    assert before.startswith("git:")
    assert before != await tree_revision(repository)


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_in_a_plain_folder_counts(
    plain: Path, change: Callable[[Path], None]
) -> None:
    """Without git the same changes count."""
    before = await tree_revision(plain)
    change(plain)

    assert before.startswith("sha256:")
    assert before != await tree_revision(plain)


@pytest.mark.parametrize("folder", ["repository", "plain"])
async def test_the_files_that_changed_are_named(
    folder: str, request: pytest.FixtureRequest
) -> None:
    """Between two listings: what was written, came or went, and nothing that does not count."""
    tree: Path = request.getfixturevalue(folder)
    before = await tree_files(tree)
    for change in (write_file, add_file, delete_file):
        change(tree)
    (tree / ".git").mkdir(exist_ok=True)
    (tree / ".git" / "noise").write_text("noise")
    after = await tree_files(tree)

    names = ("kept.txt", "new.txt", "sub/deep.txt")
    assert [tree / name for name in names] == changed_files(before, after)
    assert not changed_files(after, await tree_files(tree))


async def test_what_git_ignores_does_not_count(repository: Path) -> None:
    """An ignored file is not content; nor is it when the index is brought up to date."""
    before = await tree_revision(repository)
    (repository / "noise.log").write_text("noise")
    git(repository, "commit", "-q", "--allow-empty", "-m", "second")

    assert before == await tree_revision(repository)


async def test_caches_and_environments_do_not_count(plain: Path) -> None:
    """Without git, folders that tools fill are not content; nor are pipes."""
    before = await tree_revision(plain)
    for name in (".git", ".hg", ".venv", "venv", "node_modules", "sub/__pycache__", ".tox"):
        (plain / name).mkdir()
        (plain / name / "file").write_text("noise")
    os.mkfifo(plain / "pipe")

    assert before == await tree_revision(plain)


async def test_committing_changes_nothing(repository: Path) -> None:
    """The name is that of the content: staged, committed or not, and that of git's own tree."""
    add_file(repository)
    loose = await tree_revision(repository)
    git(repository, "add", "-A")
    staged = await tree_revision(repository)
    git(repository, "commit", "-qm", "second")

    tree = git(repository, "rev-parse", "HEAD^{tree}").strip()
    assert [f"git:{tree}"] * 3 == [loose, staged, await tree_revision(repository)]


async def test_the_repository_is_not_touched(repository: Path) -> None:
    """Index, objects and all else under .git stay as they are, staged changes included."""
    add_file(repository)
    git(repository, "add", "new.txt")
    write_file(repository)
    (repository / "untracked.txt").write_text("untracked")
    git(repository, "config", "core.splitIndex", "true")
    hook = repository / ".git" / "hooks" / "post-index-change"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ntouch hooked\n")
    hook.chmod(0o755)

    def snapshot() -> dict[str, bytes]:
        files = [path for path in (repository / ".git").rglob("*") if path.is_file()]
        return {str(path): path.read_bytes() for path in files}

    before = snapshot()
    revision = await tree_revision(repository)

    assert revision.startswith("git:")
    assert before == snapshot()
    assert not (repository / "hooked").exists()
    status = git(repository, "status", "--porcelain")
    assert [" M kept.txt", "A  new.txt", "?? untracked.txt"] == status.splitlines()


async def test_equal_content_at_two_paths_has_one_name(repository: Path, tmp_path: Path) -> None:
    """A clone, a linked work tree and a copy inside another repository have the name too."""
    expected = await tree_revision(repository)
    clone, linked, outer = tmp_path / "clone", tmp_path / "linked", tmp_path / "outer"
    git(tmp_path, "clone", "-q", str(repository), str(clone))
    git(repository, "worktree", "add", "-q", "--detach", str(linked))
    outer.mkdir()
    git(outer, "init", "-q")
    (outer / "beside.txt").write_text("beside")
    fill(outer / "a:b [c] \N{GREEK SMALL LETTER PI}")

    for folder in (clone, linked, outer / "a:b [c] \N{GREEK SMALL LETTER PI}"):
        assert expected == await tree_revision(folder)


async def test_equal_plain_content_at_two_paths_has_one_name(plain: Path, tmp_path: Path) -> None:
    """Without git, too, the path of the folder does not count."""
    shutil.copytree(plain, tmp_path / "copy", symlinks=True)

    assert await tree_revision(plain) == await tree_revision(tmp_path / "copy")


async def test_an_empty_folder_of_a_repository_has_a_name(repository: Path) -> None:
    """Git sees nothing in a folder without files: it is named by content, beside others or not."""
    (repository / "empty").mkdir()
    empty = await tree_revision(repository / "empty")
    add_file(repository)

    assert empty == await tree_revision(repository / "empty")
    (repository / "empty" / "file").write_text("")
    assert empty != await tree_revision(repository / "empty")
    assert empty.startswith("sha256:")


async def test_an_ignored_folder_is_named_by_its_content(repository: Path) -> None:
    """A work tree that its repository ignores changes its name with its content all the same."""
    (repository / ".gitignore").write_text("scratch/\n")
    (repository / "scratch").mkdir()
    (repository / "scratch" / "file").write_text("one")
    before = await tree_revision(repository / "scratch")
    (repository / "scratch" / "file").write_text("two")

    assert before != await tree_revision(repository / "scratch")


async def test_a_repository_without_a_commit_has_a_name(plain: Path) -> None:
    """Before the first commit, and without an index, git names the tree as well."""
    git(plain, "init", "-q")

    assert (await tree_revision(plain)).startswith("git:")


async def test_where_git_cannot_tell_the_content_is_read(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken or bare repository, an ignored folder and a missing git give the content's name."""
    bare = tmp_path / "bare"
    git(tmp_path, "init", "-q", "--bare", str(bare))
    ignored = repository / "ignored.log"
    ignored.mkdir()
    (ignored / "file").write_text("content")
    broken = fill(tmp_path / "broken")
    (broken / ".git").write_text("gitdir: /nowhere")
    names = [await tree_revision(folder) for folder in (bare, ignored, broken)]
    (repository / ".git" / "HEAD").write_text("garbage")
    names.append(await tree_revision(repository))
    monkeypatch.setenv("PATH", str(tmp_path))
    names.append(await tree_revision(repository))

    assert ["sha256"] * 5 == [name.partition(":")[0] for name in names]
    assert names[-1] == names[-2]


async def test_a_surrounding_gits_variables_do_not_matter(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run from a hook of another repository, it is still this one's tree that is named."""
    expected = await tree_revision(repository)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))

    assert expected == await tree_revision(repository)


async def test_large_files_are_told_by_size_and_time(plain: Path) -> None:
    """A large file is not read: another size or time is another content."""
    large = plain / "large.bin"
    large.write_bytes(b"x" * (8 * 1024 * 1024 + 1))
    os.utime(large, ns=(1, 1))
    before = await tree_revision(plain)
    os.utime(large, ns=(1, 2))
    touched = await tree_revision(plain)
    os.utime(large, ns=(1, 1))

    assert before != touched
    assert before == await tree_revision(plain)


async def test_an_unreadable_file_does_not_stop_it(plain: Path) -> None:
    """A file that goes away or may not be read still has a place in the name."""
    before = await tree_revision(plain)
    (plain / "secret").write_text("secret")
    (plain / "secret").chmod(0)

    assert before != await tree_revision(plain)


async def test_a_change_in_the_same_tick_as_the_index_counts(repository: Path) -> None:
    """A file changed without a trace in size and time, right after the index, is read again."""
    file, index = repository / "kept.txt", repository / ".git" / "index"
    git(repository, "config", "core.trustctime", "false")
    tick = (10**18, 10**18)
    os.utime(file, ns=tick)
    git(repository, "add", "-A")
    before = await tree_revision(repository)
    file.write_text("cept\n")
    for path in (file, index):
        os.utime(path, ns=tick)

    assert before != await tree_revision(repository)


IN_A_REPOSITORY = {
    "state.db": True,
    "sub/state.db": True,
    "a.txt": True,
    "noise.log": False,
    "sub/noise.log": False,
    ".git/state.db": False,
    "../state.db": False,
}


@pytest.mark.parametrize("path", IN_A_REPOSITORY)
async def test_what_counts_in_a_repository(repository: Path, path: str) -> None:
    """A file counts unless git ignores it, whether it is there or not."""
    assert IN_A_REPOSITORY[path] == await is_content(repository, (repository / path).resolve())


async def test_all_counts_in_a_folder_that_is_ignored_as_a_whole(repository: Path) -> None:
    """There the content is hashed without git, so git's word on a file in it does not count."""
    folder = repository / "noise.log"
    folder.mkdir()

    assert await is_content(folder, folder / "state.db")
    assert not await is_content(folder, folder / "node_modules" / "state.db")


async def test_what_counts_in_a_plain_folder(plain: Path) -> None:
    """Without git a file counts unless it is in a cache or the like."""
    assert await is_content(plain, plain / "sub" / "state.db")
    assert not await is_content(plain, plain / ".venv" / "state.db")
    assert not await is_content(plain, plain.parent / "state.db")
