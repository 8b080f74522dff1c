"""
Draw docs/demo.svg: what `mendloop run` of the demo prints on a terminal, as it prints it.

Run `make demo` first: it unpacks what this loops on.
"""

from __future__ import annotations

import os
import pty
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

from run import REVIEW, WORK, download

COLUMNS, LINES = 96, 60
PICTURE = Path(__file__).resolve().parent.parent / "docs" / "demo.svg"


def main() -> None:
    """Run the loop under a pseudo-terminal, and draw what it left on the screen."""
    os.environ |= {
        "COLUMNS": str(COLUMNS),
        "LINES": str(LINES),
        "TERM": "xterm-256color",
    }
    os.environ["PATH"] = os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ["PATH"]]
    )
    shutil.rmtree(WORK, ignore_errors=True)
    tree = WORK / "demo-lint"
    with zipfile.ZipFile(download()) as packed:
        packed.extractall(tree)
    os.chdir(tree)
    with tempfile.TemporaryDirectory() as store:
        command = ["mendloop", "run", "demo-lint", "--review", REVIEW]
        command += [
            "--fix",
            f"{sys.executable} ../../demo/fixer.py",
            "--store",
            f"sqlite:{store}/s.db",
        ]
        output = bytearray()

        def read(handle: int) -> bytes:
            chunk = os.read(handle, 65536)
            output.extend(chunk)
            return chunk

        pty.spawn(command, read)
    draw(output.decode())


def draw(printed: str) -> None:
    """Keep what a person sees at the end: the transient status line is gone by then."""
    lines = [
        line
        for line in printed.replace("\r\n", "\n").split("\n")
        if "\x1b[1A" not in line
    ]
    console = Console(record=True, width=COLUMNS, file=Path(os.devnull).open("w"))
    console.print(
        Text(
            "$ mendloop run demo-lint --review 'ruff check …' --fix 'python fixer.py'",
            "bold",
        )
    )
    for line in lines:
        console.print(Text.from_ansi(line.rsplit("\r", 1)[-1]))
    PICTURE.write_text(console.export_svg(title="mendloop"))


if __name__ == "__main__":
    main()
