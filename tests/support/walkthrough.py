"""The pages that somebody follows, typed into a shell as they stand."""

from __future__ import annotations

import re
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Self

__all__ = ["Shell", "Step", "matches", "steps_of"]

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEREDOC = re.compile(r"<<'?(\w+)'?")


class Step(NamedTuple):
    """
    What is typed, and what is printed then.

    Attributes:
        command: One or more lines.
        printed: As the page has it; "" where it shows nothing.
    """

    command: str
    printed: str


def steps_of(page: str) -> Iterator[Step]:
    """Yield all that a page has one type, in order: a line after "$ ", and those that go on with it."""
    for block in _BLOCK.findall(page):
        command: list[str] = []
        printed: list[str] = []
        end = ""
        for line in block.splitlines():
            if end or (command and not printed and command[-1].endswith("\\")):
                command.append(line)
                end = "" if line == end else end
            elif line.startswith("$ "):
                if command:
                    yield Step("\n".join(command), "\n".join(printed))
                command, printed = [line[2:]], []
                here = _HEREDOC.search(line)
                end = here[1] if here else ""
            else:
                printed.append(line)
        yield Step("\n".join(command), "\n".join(printed))


def matches(expected: str, printed: str) -> bool:
    """Whether something was printed as a page has it, where "…" stands for anything."""
    pattern = ".*".join(re.escape(part) for part in expected.split("…"))
    return re.fullmatch(pattern, printed, re.DOTALL) is not None


class Shell:
    """
    A context manager: bash, as somebody has it open; what still runs in it ends with it.

    Args:
        folder: Where it begins.
        environment: All of its variables.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._bash = subprocess.Popen(
            ["bash", "--norc"],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End what runs in the background, and the shell."""
        self.type("kill $(jobs -p) 2> /dev/null; wait")
        self._bash.communicate("exit\n", timeout=60)

    def type(self, command: str) -> tuple[str, int]:
        """Run *command* to its end; what it printed, and its exit code."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        mark = secrets.token_hex(8)
        self._bash.stdin.write(f"{command}\nprintf '\\n%s %d\\n' {mark} $?\n")
        self._bash.stdin.flush()
        printed = ""
        for line in self._bash.stdout:
            if line.startswith(mark):
                return printed.removesuffix("\n").rstrip("\n"), int(line.split()[1])
            printed += line
        raise AssertionError(f"the shell ended at: {command}\n{printed}")
