"""What a page has somebody type belongs to a test."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from walkthrough import PAGES

ROOT = Path(__file__).parents[2]

# The controller is an example of its own, and the library's signatures are made from the code: test_docs.py.
PYTHON_ELSEWHERE = {"docs/cluster.md", "docs/library.md"}

# How the blocks begin that are not typed with their page, and what they would need.
NOT_TYPED = {
    "podman build": "a container runtime",
    "helm test": "Pods that run",
    "python3 -m venv /opt/mendloop": "root, and systemd",
    "kubectl get configmap -n mendloop -l managed-by": "a cluster: test_lists_of_commands.py types it there",
}


def blocks(kind: str) -> Iterator[tuple[str, str]]:
    """All blocks of a kind, each after its page."""
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for block in re.findall(
            rf"^```{kind}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL
        ):
            yield page.relative_to(ROOT).as_posix(), block


def test_every_console_is_typed() -> None:
    """A page with commands is one of those that are typed, and a page that is typed has some."""
    typed = [page for pages in PAGES.values() for page in pages]

    assert sorted(typed) == sorted({page for page, _ in blocks("console")})


def test_what_is_not_typed_is_known() -> None:
    """A block for the shell that is not typed with its page stands in a short list, with what it would need."""
    found = [block for kind in ("sh", "bash", "shell") for _, block in blocks(kind)]

    assert len(found) == len(NOT_TYPED)
    for block in found:
        assert any(block.startswith(line) for line in NOT_TYPED), block


async def test_examples_in_python_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each goes as it stands into an interpreter that awaits, such as `python -m asyncio`."""
    monkeypatch.chdir(tmp_path)
    examples = [(page, text) for page, text in blocks("python") if page not in PYTHON_ELSEWHERE]

    assert examples
    for page, text in examples:
        names: dict[str, object] = {}
        code = compile(text, page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        done = eval(code, names)  # noqa: S307 - our own pages
        if inspect.isawaitable(done):
            await done
        assert names.get("number", 1) == 1
        if "store" in names:
            await names["store"].close()
