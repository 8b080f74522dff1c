import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

_HEAD = "🔴 Required Changes\nIssue Type: Bug\nSeverity: High\n\n"
_CRITERIA = f"{_HEAD}### Acceptance Criteria Not Met\n"

_TABLE = f"{_HEAD}### Expected vs Actual\n"


def _filled(unit: str, head: str = _HEAD) -> Callable[[int], str]:
    def fill(size_bytes: int) -> str:
        return head + unit * ((size_bytes - len(head.encode())) // len(unit.encode()))

    return fill


def _stairs(step: str, end: str, width: int) -> Callable[[int], str]:
    """Deeper line by line, up to *width* steps, again and again."""
    stair = "".join(step * depth + end for depth in range(width))
    return _filled(stair)


_TIMES_PLAIN = 30
_MOST_KIB = 320 * 1024

BOMBS: dict[str, Callable[[int], str]] = {
    "plain": _filled("a line of words, and more of them 🔴\n"),
    "nested quotes": _filled("> "),
    "nested lists": _filled("- "),
    "nested brackets": _filled("["),
    "nested emphasis": _filled("*a "),
    "quotes ever deeper": _stairs("> ", "a\n", 200),
    "lists ever deeper": _stairs("  ", "- a\n", 200),
    "lines of brackets": _filled("[" * 390 + "\n"),
    "lines of stars": _filled("*" * 390 + "\n"),
    "lines of backticks": _filled("`a`` ```\n"),
    "fences": _filled("```\na\n"),
    "items": _filled("- a\n"),
    "criteria": _filled("- [ ] a\n", _CRITERIA),
    "criteria ever deeper": _filled("- [ ] a\n  - b\n      c\n", _CRITERIA),
    "outcomes": _filled("- **Expected**: a\n", f"{_HEAD}### Expected vs Actual\n"),
    "rows of outcomes": _filled("| a | b | c |\n", f"{_TABLE}| | Expected | Actual |\n|-|-|-|\n"),
    "tables of outcomes": _filled("| a | b |\n|-|-|\n", _TABLE),
    "headings": _filled("# a\n"),
    "underlined headings": _filled("a\n===\n"),
    "titles in bold": _filled("**Severity**\n"),
    "labels": _filled("**Expected**: a\n"),
    "fields": _filled("Severity: x\n"),
    "fields in rows": _filled("| Severity | x |\n"),
    "boxes": _filled("### Severity\n- [x] High\n- [x] Low\n"),
    "markers that need a field": _filled("🔴 Required Changes x\n", ""),
    "nearly markers": _filled("required x changes\n", ""),
    "open tags": _filled("<a "),
    "preformatted": _filled("<pre>\n"),
    "HTML comments": _filled("<div><!-- -->\n"),
    "references": _filled("[a]: b\n"),
    "entities": _filled("&amp;"),
    "one line": _filled("a"),
    "empty lines": _filled("\n"),
    "carriage returns": _filled("\r"),
    "zeros": _filled("\0"),
}

_MEASURE = """
import json, os, sys, time
from pathlib import Path
from mendloop.intake.comments import read_comment
from mendloop.intake.github.commands import read_command

def peak_kib():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])

def seconds(text):
    begun = time.process_time()
    read_comment(text)
    read_command(text)
    return time.process_time() - begun

def measured(file):
    with file.open(newline="") as opened:
        text = opened.read()
    before = peak_kib()
    return {"seconds": seconds(text), "kib": peak_kib() - before}

# Each has a process of its own, so that its peak is its own.
for file in map(Path, sys.argv[1:]):
    receiving, sending = os.pipe()
    child = os.fork()
    if not child:
        os.write(sending, json.dumps(measured(file)).encode())
        os._exit(0)
    os.close(sending)
    with open(receiving) as told:
        print(json.dumps({"name": file.name, **json.load(told)}))
    os.waitpid(child, 0)
"""


def test_a_hostile_comment_costs_little_more_than_a_plain_one(
    tmp_path: Path, scaled: Callable[[int, int], int]
) -> None:
    """Up to 10 MB of any shape take a bounded multiple of a plain text's time, and bounded memory."""
    size_bytes = scaled(10_000_000, 500_000)
    for name, fill in BOMBS.items():
        (tmp_path / name).write_text(fill(size_bytes), newline="")
    files = [str(tmp_path / name) for name in BOMBS]
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, *files], capture_output=True, check=True, text=True
    )
    costs = {cost["name"]: cost for cost in map(json.loads, done.stdout.splitlines())}
    plain = costs["plain"]["seconds"]
    for name, cost in costs.items():
        print(f"{name:30}{cost['seconds'] / plain:7.2f}{cost['kib']:9} KiB")  # noqa: T201 - a figure

    assert BOMBS.keys() == costs.keys()
    assert {} == {
        name: cost
        for name, cost in costs.items()
        if cost["seconds"] > _TIMES_PLAIN * plain or cost["kib"] > _MOST_KIB
    }
