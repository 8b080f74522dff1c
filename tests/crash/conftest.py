"""A small work tree whose faults can be counted, a reviewer that finds them, a fixer that repairs some."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from audited import check_namespace

from controlplane import Cluster

REVIEWER = """
import json, pathlib, sys
faults = [line for line in pathlib.Path("code.txt").read_text().splitlines() if "FAULT" in line]
results = [
    {
        "ruleId": "F1",
        "level": "error",
        "message": {"text": fault},
        "partialFingerprints": {"name": fault},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": "code.txt"}}}],
    }
    for fault in faults
]
with open(sys.argv[1], "a") as log:
    log.write("review\\n")
print(json.dumps({
    "version": "2.1.0",
    "runs": [{"tool": {"driver": {"name": "counter"}}, "results": results}],
}))
sys.exit(1 if faults else 0)
"""

FIXER = """
import json, os, pathlib, sys
brief = json.loads(pathlib.Path(os.environ["MENDLOOP_BRIEF_JSON"]).read_text())
chosen = {f["description"] for f in brief["findings"][: int(sys.argv[2])]}
file = pathlib.Path("code.txt")
lines = file.read_text().splitlines()
fixed = ["fixed" if line in chosen else line for line in lines]
draft = file.with_suffix(".draft")
draft.write_text("\\n".join(fixed) + "\\n")
draft.replace(file)
with open(sys.argv[1], "a") as log:
    log.write("fix " + os.environ["MENDLOOP_ITERATION"] + "\\n")
"""


class Project:
    """A work tree, its tools, and a store, all in one folder of the test's."""

    def __init__(self, folder: Path, *, faults: int, fixes: int) -> None:
        self.tree = folder / "tree"
        self.tree.mkdir(parents=True)
        self.store = f"sqlite:{folder / 'state.db'}"
        self.log = folder / "steps.log"
        self._folder = folder
        self._fixes = fixes
        lines = [f"FAULT number {number}" for number in range(faults)]
        (self.tree / "code.txt").write_text("\n".join(["intro", *lines]) + "\n")
        self.reviewer = self.tool("reviewer.py", REVIEWER)
        self.fixer = self.tool("fixer.py", FIXER)

    def tool(self, name: str, text: str) -> Path:
        """Write a script outside the work tree."""
        path = self._folder / name
        path.write_text(textwrap.dedent(text))
        return path

    def command(self, *options: str) -> list[str]:
        """The `mendloop run` of this project."""
        # Relative, so that the reviewer has one name in every project.
        reviewer, log = (os.path.relpath(path, self.tree) for path in (self.reviewer, self.log))
        review = f"{sys.executable} {reviewer} {log}"
        fix = f"{sys.executable} {self.fixer} {self.log} {self._fixes}"
        return [
            *(sys.executable, "-m", "mendloop", "run", "job", "--review", review, "--fix", fix),
            *("--store", self.store, "-C", str(self.tree), "--by", "tester", *options),
        ]

    def environment(self, **extra: str) -> dict[str, str]:
        """Everything that mendloop keeps outside the store goes below the test's folder."""
        kept = {name: v for name, v in os.environ.items() if not name.startswith("MENDLOOP_")}
        return kept | {"XDG_STATE_HOME": str(self._folder / "xdg")} | extra

    def run(self, *options: str, crash_at: str = "") -> subprocess.CompletedProcess[str]:
        """Run to the end, or to the crash; the run has a process group of its own."""
        extra = {"MENDLOOP_CRASH_AT": crash_at} if crash_at else {}
        return subprocess.run(
            self.command(*options),
            env=self.environment(**extra),
            capture_output=True,
            text=True,
            timeout=60,
            start_new_session=True,
            check=False,
        )

    def state(self) -> dict[str, Any]:
        """The stored state, as JSON."""
        return self._told("show", "job")

    def records(self) -> list[dict[str, Any]]:
        """Every change of the task, as an auditor is told of it, oldest first."""
        told: list[dict[str, Any]] = self._told("audit", "job", "--limit", "1000")["records"]
        return told

    def tasks(self) -> list[str]:
        """The ids of all tasks in the store."""
        return [task["task_id"] for task in self._told("list")["tasks"]]

    def _told(self, *asked: str) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-m", "mendloop", *asked, "-o", "json", "--store", self.store],
            env=self.environment(),
            capture_output=True,
            check=True,
            timeout=60,
        )
        return dict(json.loads(done.stdout))

    def steps(self) -> list[str]:
        """What the reviewer and the fixer were run for, in order."""
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def make_project(tmp_path: Path) -> Callable[..., Project]:
    """Make projects; by default seven faults, of which each fix repairs three."""
    made: list[Project] = []

    def make(*, faults: int = 7, fixes: int = 3) -> Project:
        made.append(Project(tmp_path / str(len(made)), faults=faults, fixes=fixes))
        return made[-1]

    return make


@pytest.fixture(params=["sqlite", pytest.param("configmap", marks=pytest.mark.kubernetes)])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[str, ...]]:
    """The options that name the test's store, of each kind; the last one is the path of a file."""
    if request.param == "sqlite":
        spec = f"sqlite:{tmp_path / 'state.db'}"
        yield "--store", spec
    else:
        cluster: Cluster = request.getfixturevalue("control_plane")
        namespace = request.getfixturevalue("namespace")
        config = cluster.kubeconfig(tmp_path / "kubeconfig", namespace=namespace)
        spec = f"configmap:{config}"
        yield "--store", "kubernetes", "--kubeconfig", str(config)
    await check_namespace(request, spec)
