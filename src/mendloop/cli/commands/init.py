"""`mendloop init`."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click

from mendloop.cli.options import directory_option, shared_options

__all__ = ["init"]

_NOT_IN_TASK_IDS = re.compile(r"[^a-z0-9]+")
_TASK_ID_CHARACTERS = 63


class _Tool(NamedTuple):
    """
    A reviewer that `init` knows.

    Attributes:
        name: The reviewer's name.
        program: What has to be in PATH, or in node_modules/.bin.
        marks: Globs; one of them has to be in the folder.
        command: How it is run, so that it reports and changes nothing.
        format: What it then prints.
    """

    name: str
    program: str
    marks: tuple[str, ...]
    command: str
    format: str


_TOOLS = (
    _Tool(
        "ruff",
        "ruff",
        ("*.py", "ruff.toml", "pyproject.toml", "src"),
        "ruff check --output-format sarif .",
        "sarif",
    ),
    _Tool(
        "mypy",
        "mypy",
        ("mypy.ini", ".mypy.ini", "pyproject.toml"),
        "mypy --no-pretty --no-error-summary .",
        "text",
    ),
    _Tool(
        "pytest",
        "pytest",
        ("pytest.ini", "tests", "test", "test_*.py", "conftest.py"),
        'pytest -q --junit-xml="$MENDLOOP_REPORT"',
        "junit",
    ),
    _Tool("eslint", "eslint", ("eslint.config.*", ".eslintrc*"), "npx --no eslint .", "text"),
    _Tool("tsc", "tsc", ("tsconfig.json",), "npx --no tsc --noEmit --pretty false", "text"),
    _Tool("go-vet", "go", ("go.mod",), "go vet ./...", "text"),
    _Tool(
        "clippy",
        "cargo",
        ("Cargo.toml",),
        "cargo clippy --quiet --message-format short -- -D warnings",
        "text",
    ),
    _Tool("shellcheck", "shellcheck", ("*.sh",), "shellcheck --format gcc ./*.sh", "text"),
)

_FIXERS = {
    "claude": 'claude -p --permission-mode acceptEdits "Fix the findings in $MENDLOOP_BRIEF"',
    "codex": 'codex exec --full-auto "Fix the findings in $MENDLOOP_BRIEF"',
    "aider": 'aider --yes-always --message-file "$MENDLOOP_BRIEF"',
}
_NONE_FOUND = "none found, write your own into it"


@click.command
@directory_option
@shared_options
def init(directory: Path) -> None:
    """Write a mendloop.toml for the tools that are found; one that is there is left as it is."""
    from mendloop.cli.printing import print_line
    from mendloop.config import CONFIG_NAME
    from mendloop.core.errors import ValidationError

    path = directory / CONFIG_NAME
    tools = list(_find_tools(directory))
    fixer = next((name for name in _FIXERS if shutil.which(name)), "")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(_content(directory, tools, fixer))
    except FileExistsError as error:
        raise ValidationError(f"{path} exists already: it is left as it is") from error
    except OSError as error:
        raise ValidationError(f"{path} cannot be written: {error.strerror}") from error
    names = ", ".join(tool.name for tool in tools)
    print_line(f"wrote {path}")
    print_line(f"reviewers: {names or _NONE_FOUND}")
    print_line(f"fixer: {_FIXERS.get(fixer, _NONE_FOUND)}")
    print_line("next: read it, then `mendloop run`")


def _find_tools(directory: Path) -> Iterator[_Tool]:
    for tool in _TOOLS:
        is_meant = any(any(directory.glob(mark)) for mark in tool.marks)
        local = directory / "node_modules" / ".bin" / tool.program
        if is_meant and (local.exists() or shutil.which(tool.program)):
            yield tool


def _task_id(directory: Path) -> str:
    name = _NOT_IN_TASK_IDS.sub("-", directory.resolve().name.lower())
    return name[:_TASK_ID_CHARACTERS].strip("-") or "task"


def _content(directory: Path, tools: list[_Tool], fixer: str) -> str:
    lines = [
        "# How mendloop reviews and fixes this folder; `mendloop run` reads it.",
        "# What the command line says counts more.",
        "",
        "# Names the task: `mendloop show`, `explain` and the others take it.",
        f"task = {_quoted(_task_id(directory))}",
        "",
        "[loop]",
        "# The fixer: a shell line. It reads its brief, the open findings with the worst first, from",
        "# the file $MENDLOOP_BRIEF (Markdown) or $MENDLOOP_BRIEF_JSON, and changes files here.",
        f"fix = {_quoted(_FIXERS[fixer])}" if fixer else '#fix = "./fix.sh"',
        'fix_timeout = "1h"',
        "# Stop after so many fixes. A limit that `mendloop resume` raised stays raised.",
        "max_iterations = 10",
        "# Stop when so many reviews in a row leave the same findings open.",
        "no_progress_rounds = 3",
        "# Stop when this time is spent.",
        '#budget = "2h"',
        "# Try a step that fails so often.",
        "step_attempts = 3",
    ]
    for tool in tools:
        lines += ["", *_review_lines(tool.name, tool.command, tool.format)]
    if not tools:
        lines += [
            "",
            "# A reviewer reports on its standard output, or into $MENDLOOP_REPORT.",
            *(f"#{line}" for line in _review_lines("check", "./check.sh", "text")),
        ]
    lines += [
        "",
        "# Formats: sarif, junit, jsonl, text; without the key it is recognised. A review with an",
        "# exit code that is not in ok_exit_codes counts as failed, and resolves nothing:",
        "#ok_exit_codes = [0, 1]",
    ]
    return "\n".join(lines) + "\n"


def _review_lines(name: str, command: str, shape: str) -> list[str]:
    return [
        "[[review]]",
        f"name = {_quoted(name)}",
        f"command = {_quoted(command)}",
        f"format = {_quoted(shape)}",
        'timeout = "15m"',
    ]


def _quoted(text: str) -> str:
    """A TOML basic string: JSON's escapes are TOML's."""
    return json.dumps(text, ensure_ascii=False)
