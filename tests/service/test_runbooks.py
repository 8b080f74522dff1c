from __future__ import annotations

import contextlib
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from prometheus import read_rules

from controlplane import program
from mendloop.cli.app import app
from mendloop.cli.session import Session

_ROOT = Path(__file__).parents[2]
_RUNBOOKS = (_ROOT / "docs" / "runbooks.md").read_text(encoding="utf-8")
_PARTS = ("**Means**", "**Look**", "**Do**", "**Wake**")
_ENDS = frozenset({"|", "#"})


def _sections() -> dict[str, str]:
    first, *others = re.split(r"^## (\w+)$", _RUNBOOKS, flags=re.MULTILINE)
    assert "**Wake somebody**" in first
    return dict(zip(others[::2], others[1::2], strict=True))


def _commands(name: str) -> list[list[str]]:
    """All calls of a program, in consoles and in the text, each up to a pipe or a comment."""
    consoles = re.findall(r"^\$ (.*)$", _RUNBOOKS, flags=re.MULTILINE)
    found = []
    for line in [*consoles, *re.findall(r"`([^`\n]+)`", _RUNBOOKS)]:
        words = shlex.split(line) if line.startswith(f"{name} ") else []
        if len(words) > 1:
            end = next((at for at, word in enumerate(words) if word in _ENDS), len(words))
            found.append(words[1:end])
    return found


def _sources() -> Iterator[str]:
    for path in (_ROOT / "src").rglob("*.py"):
        # A message may be written over two lines.
        yield re.sub(r'"\s+f?"', "", path.read_text(encoding="utf-8"))


def test_every_alert_has_its_runbook() -> None:
    """Each has a section of its own, which tells what it means, how to look, what to do, whom to wake."""
    sections = _sections()

    assert list(read_rules()) == list(sections)
    for name, text in sections.items():
        told = [part for part in ("**Means**", "**Look**", "**Do**", "**Wake**") if part in text]
        assert [*_PARTS] == told or "**Look** and **Do**" in text, name


def test_commands_of_the_runbooks_are_commands(tmp_path: Path) -> None:
    """Each call of mendloop that a runbook names is understood, with all its options and arguments."""
    called = _commands("mendloop")

    assert len(called) > 20
    with contextlib.chdir(tmp_path):
        for words in called:
            for bundle in words:
                if bundle.endswith(".jsonl.gz"):
                    Path(bundle).touch()
            context = click.Context(app, info_name="mendloop", obj=Session([]))
            command = app.get_command(context, words[0])
            assert command is not None, words
            # what stands for a task's id or a name is in capitals
            command.make_context(words[0], [word.lower() for word in words[1:]], parent=context)


@pytest.mark.kubernetes
def test_calls_of_kubectl_are_understood(kubernetes_programs: Path) -> None:
    """Each call of kubectl that a runbook names is one, with options that kubectl has."""
    kubectl = program(kubernetes_programs, "kubectl")

    def told(*words: str) -> str:
        done = subprocess.run([kubectl, *words], capture_output=True, text=True, check=True)
        return done.stdout

    shared = told("options")
    called = _commands("kubectl")
    assert len(called) > 10
    helps = {verb: told(*verb, "--help") + shared for verb in {tuple(w[:1]) for w in called}}
    for words in called:
        options = [word.partition("=")[0] for word in words if re.match(r"--?\w", word)]
        for option in options:
            assert re.search(rf"{option}[=,]", helps[tuple(words[:1])]), words


def test_what_to_look_for_is_there_to_be_found() -> None:
    """What a runbook greps for is a metric, or stands in a message of the log."""
    sources = [*_sources()]
    metrics = (_ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    patterns = re.findall(r"(?:grep|-e) (?:\"([^\"]+)\"|([\w^]+))", _RUNBOOKS)

    assert len(patterns) > 8
    for quoted, bare in patterns:
        if quoted:
            assert any(quoted in source for source in sources), quoted
        elif not bare.startswith(("^", "apiserver_")):
            assert f"`mendloop_{bare.removesuffix('_count')}`" in metrics, bare


def test_paths_that_are_asked_for_are_answered() -> None:
    """A runbook asks the service for what it answers."""
    asked = set(re.findall(r"localhost:9090(/\w+)", _RUNBOOKS))

    assert {"/healthz", "/metrics", "/readyz"} == asked
