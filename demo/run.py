"""
The demo: mendloop's main job on the source of a released package, and a loop that gets nowhere.

Downloads a pinned package (its hash is checked; it is unpacked, never built or run) into .demo/,
loops the linter against `fixer.py` until nothing is open, then against `idle_fixer.py` until
mendloop sees that nothing moves. Fails where either loop ends differently.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

DEMO = Path(__file__).resolve().parent
WORK = DEMO.parent / ".demo"
STORE = "sqlite:../state.db"
REVIEW = "ruff check --no-cache --config ../../demo/ruff.toml --output-format sarif ."
EXIT_COMPLETED = 0
EXIT_NO_PROGRESS = 5


def main() -> None:
    """Run both loops and check how each ended."""
    began = time.monotonic()
    # The demo's tools are those of the environment that it runs in.
    os.environ["PATH"] = os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ["PATH"]]
    )
    shutil.rmtree(WORK, ignore_errors=True)
    archive = download()

    title("1. A loop that works until nothing is open")
    loop("demo-lint", "fixer.py", archive, ends_with=EXIT_COMPLETED)
    state = json.loads(
        mendloop("show", "demo-lint", "-o", "json", stdout=subprocess.PIPE).stdout
    )
    expect(
        state["status"] == "Completed", f"demo-lint is {state['status']}, not Completed"
    )
    expect(
        state["iteration"] > 1,
        f"demo-lint took {state['iteration']} iteration, not several",
    )

    title("2. A loop whose fixer changes nothing")
    loop("demo-stuck", "idle_fixer.py", archive, ends_with=EXIT_NO_PROGRESS)

    title(f"Both ended as they should, in {time.monotonic() - began:.0f} seconds")


def download() -> Path:
    """Fetch the pinned package, through the index and certificates that pip is set up for."""
    title("Fetching the source to lint")
    command = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "download",
        "--no-deps",
    ]
    command += ["--only-binary=:all:", "--require-hashes", "--dest", str(WORK)]
    subprocess.run([*command, "-r", str(DEMO / "requirements-demo.txt")], check=True)
    (archive,) = WORK.glob("*.whl")
    return archive


def loop(task_id: str, fixer: str, archive: Path, *, ends_with: int) -> None:
    """Run one loop in a fresh copy of the source, then explain it."""
    folder = WORK / task_id
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)
    fix = f"python ../../demo/{fixer}"
    ended = mendloop(
        "run",
        task_id,
        "--review",
        REVIEW,
        "--fix",
        fix,
        "--max-iterations",
        "10",
        cwd=folder,
    )
    expect(
        ended.returncode == ends_with,
        f"{task_id} exited {ended.returncode}, not {ends_with}",
    )
    explained = mendloop("explain", task_id, cwd=folder)
    expect(explained.returncode == 0, f"explain exited {explained.returncode}")


def mendloop(
    verb: str,
    *arguments: str,
    cwd: Path = WORK / "demo-lint",
    stdout: int | None = None,
) -> subprocess.CompletedProcess[Any]:
    """Show the command, and run it."""
    command = ["mendloop", verb, *arguments, "--store", STORE]
    print(f"$ {shlex.join(command)}", flush=True)
    return subprocess.run(command, cwd=cwd, stdout=stdout, check=False)


def title(text: str) -> None:
    """Set a step apart from what the tools print."""
    print(f"\n== {text}", flush=True)


def expect(holds: bool, otherwise: str) -> None:
    """End the demo loudly where something did not hold."""
    if not holds:
        sys.exit(f"demo failed: {otherwise}")


if __name__ == "__main__":
    main()
