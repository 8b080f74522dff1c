"""
Record what real linters say of real edits: `python tests/likeness/record.py` writes data/cases.json.

Each sample is code whose faulty lines end in `#@name`. The marks are taken out before a linter sees
the code, and tell afterwards which fault a finding is of: the truth that recognition is held to.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mendloop.intake import read_report

_MARK = re.compile(r"\s*#@(\w+)$")

LINT = """\
import os  #@import_os
import json  #@import_json
from collections import OrderedDict, defaultdict  #@import_ordered


def collect(rows, seen=[]):  #@mutable
    leftover = sum_of_all(rows, seen)  #@leftover
    try:
        seen.extend(rows)
    except:  #@bare
        pass
    if rows == None:  #@none
        return defaultdict(list)
    return seen


def report(rows, title, footer, width, height, colour):  #@arguments
    text = "the quick brown fox jumps over the lazy dog, again and again and again and again"  #@long
    if title:
        return text
    else:  #@superfluous
        return footer


def classify(a, b, c):  #@complex
    if a:
        if b:
            if c:
                return 1
            return 2
        return 3
    if b and c:
        return 4
    if c or b:
        return 5
    return 6


def sum_of_all(rows, seen):
    l = len(rows)  #@ambiguous
    assert l > len(seen), "too few"  #@assert
    return l
"""

TYPES = """\
from typing import Optional


class Account:
    def __init__(self, owner: str, balance: int) -> None:
        self.owner = owner
        self.balance = balance

    def label(self) -> str:
        return self.balance  #@label


def find(accounts: list[Account], owner: str) -> Optional[Account]:
    for account in accounts:
        if account.owner == owner:
            return account
    return None


def total(accounts: list[Account]) -> int:
    amount: str = sum(account.balance for account in accounts)  #@amount
    return amount  #@returned


def describe(accounts: list[Account], owner: str) -> str:
    found = find(accounts, owner)
    return found.owner + found.label().upper()  #@optional


def untyped(rows):  #@untyped
    return rows


def main() -> None:
    accounts = [Account("ann", "12")]  #@argument
    print(total(accounts), describe(accounts, 3))  #@owner
    print(accounts[0].currency)  #@attribute
"""

Files = dict[str, str]
Edit = Callable[[Files], Files]


def swapped(*pairs: tuple[str, str]) -> Edit:
    """An edit that puts words in the place of others."""

    def edit(files: Files) -> Files:
        changed = dict(files)
        for old, new in pairs:
            assert any(old in text for text in changed.values()), old
            changed = {path: text.replace(old, new) for path, text in changed.items()}
        return changed

    return edit


def above(files: Files) -> Files:
    """Insert lines above everything."""
    return {path: f'"""A module.\n\nIt has faults.\n"""\n\n{text}' for path, text in files.items()}


def renamed(files: Files) -> Files:
    """Move each file to another name."""
    return {path.replace("app", "core_app"): text for path, text in files.items()}


def indented(files: Files) -> Files:
    """Put all code under a condition."""
    return {
        path: "if True:\n"
        + "".join(
            f"    {line}" if line.strip() else line for line in text.splitlines(keepends=True)
        )
        for path, text in files.items()
    }


def turned(files: Files) -> Files:
    """Put the functions in the opposite order."""
    changed = {}
    for path, text in files.items():
        head, *functions = text.split("\n\n\n")
        changed[path] = "\n\n\n".join([head, *(f.rstrip("\n") for f in reversed(functions))]) + "\n"
    return changed


def doubled(files: Files) -> Files:
    """Copy each file: every fault is there twice."""
    copies = {
        path.replace("app", "copy"): re.sub(r"#@(\w+)", r"#@copy_\1", text)
        for path, text in files.items()
    }
    return files | copies


def as_is(files: Files) -> Files:
    """Leave all as it is."""
    return files


LINT_EDITS: dict[str, Edit] = {
    "lines inserted above": above,
    "file renamed": renamed,
    "code indented": indented,
    "functions turned round": turned,
    "file copied": doubled,
    "variable renamed": swapped(("leftover =", "remaining =")),
    "function renamed": swapped(("classify", "grade"), ("sum_of_all", "sum_up")),
    "argument added": swapped(
        ("height, colour", "height, colour, depth"), ("(a, b, c)", "(a, b, c, d)")
    ),
    "branch added": swapped(
        ("    if c or b:", "    if c and not b:\n        return 7\n    if c or b:")
    ),
    "long line longer": swapped(
        ("and again and again and again", "and again, again, and again and again")
    ),
    "default changed": swapped(("seen=[]", "seen={}")),
    "import fixed and another put in": swapped(
        ("import os  #@import_os", "import re  #@import_re")
    ),
    "import line changed": swapped(("OrderedDict, defaultdict", "ChainMap, defaultdict")),
    "unused fixed and another put in": swapped(
        ("    leftover = sum_of_all(rows, seen)  #@leftover\n", ""),
        ("    if title:\n", "    heading = title.upper()  #@heading\n    if title:\n"),
    ),
    "comparison fixed and another put in": swapped(
        ("rows == None:  #@none", "rows is None:"),
        ("    if title:\n", "    if title == None:  #@title_none\n"),
    ),
    "all of it moved and renamed": lambda files: renamed(above(files)),
}

TYPE_EDITS: dict[str, Edit] = {
    "lines inserted above": above,
    "file renamed": renamed,
    "functions turned round": turned,
    "file copied": doubled,
    "variable renamed": swapped(
        ("amount: str =", "value: str ="), ("return amount", "return value")
    ),
    "class renamed": swapped(("Account", "Ledger")),
    "attribute renamed": swapped(("currency", "denomination")),
    "parameter added": swapped(
        ("owner: str, balance: int)", "owner: str, balance: int, limit: int = 0)")
    ),
    "type widened": swapped(
        ("-> str:\n        return self.balance", "-> bytes:\n        return self.balance")
    ),
    "argument fixed and another put in": swapped(
        ('Account("ann", "12")]  #@argument', 'Account("ann", 12)]'),
        (
            "    print(accounts[0].currency)",
            "    accounts.append(Account(3, 12))  #@other_argument\n    print(accounts[0].currency)",
        ),
    ),
    "comment added": swapped(("    return amount  ", "    # the sum of all\n    return amount  ")),
    "all of it moved and renamed": lambda files: renamed(above(files)),
}

RULE_SETS = ("F,E,B", "PL,C90,RET,SIM,S", "ALL")


def lint(files: Files, rules: str, line_length: int = 80) -> list[dict[str, Any]]:
    """What ruff says of *files*, read as a review is."""
    options = [f"--select={rules}", "--ignore=D,ANN,INP,COM,ERA,T20", "--isolated", "--no-cache"]
    options += [
        "--config",
        f"line-length={line_length}",
        "--config",
        "lint.mccabe.max-complexity=4",
    ]
    command = [sys.executable, "-m", "ruff", "check", *options, "--output-format", "sarif", "."]
    return _recorded(files, command, lambda out: out)


def check_types(files: Files, *options: str) -> list[dict[str, Any]]:
    """What mypy says of *files*, read as a review is."""
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--output",
        "json",
        "--cache-dir=/dev/null",
    ]
    return _recorded(files, [*command, *options, "."], _as_lines)


def _as_lines(out: bytes) -> bytes:
    lines = []
    for line in out.splitlines():
        told = json.loads(line)
        if told["severity"] == "error":
            found = {"severity": "High", "issue_type": "Bug", "tool": "mypy", "rule": told["code"]}
            found |= {"description": told["message"], "path": told["file"], "line": told["line"]}
            lines.append(json.dumps(found))
    return "\n".join(lines).encode()


def _recorded(
    files: Files, command: list[str], as_report: Callable[[bytes], bytes]
) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        marks: dict[tuple[str, int], str] = {}
        texts: dict[str, list[str]] = {}
        for path, text in files.items():
            texts[path] = [_MARK.sub("", line) for line in text.splitlines()]
            (Path(folder) / path).write_text("\n".join(texts[path]) + "\n")
            for number, line in enumerate(text.splitlines(), 1):
                found = _MARK.search(line)
                if found:
                    marks[path, number] = found[1]
        done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
        report = read_report(
            as_report(done.stdout),
            reviewer="lint",
            format=None,
            exit_code=done.returncode,
            is_cut=False,
            root=Path(folder),
            context=lambda path, line: texts[path][line - 1],
        )
    assert report.is_complete, (report.problem, done.stdout, done.stderr)
    count: Counter[str] = Counter()
    told = []
    for finding in report.findings:
        mark = marks.get((finding.path, finding.line), "")
        label = f"{mark}/{finding.rule}" if mark else ""
        count[label] += 1
        members = {
            name: getattr(finding, name)
            for name in ("tool", "rule", "path", "line", "description", "identity", "context")
        }
        told.append(members | {"label": f"{label}/{count[label]}" if label else ""})
    return told


def cases() -> list[dict[str, Any]]:
    """All cases: what was said before and after an edit, and after a fix in between."""
    told: list[dict[str, Any]] = []

    def add(name: str, *reviews: list[dict[str, Any]]) -> None:
        told.append({"name": name, "reviews": reviews})

    lint_files, type_files = {"app.py": LINT}, {"app.py": TYPES}
    for rules in RULE_SETS:
        for name, edit in LINT_EDITS.items():
            add(f"ruff {rules}: {name}", lint(lint_files, rules), lint(edit(lint_files), rules))
    add("ruff: line length changed", lint(lint_files, "E"), lint(lint_files, "E", 60))
    without = swapped(("import os  #@import_os\n", ""), ("rows == None", "rows is None"))
    again = [
        lint(lint_files, "ALL"),
        lint(without(lint_files), "ALL"),
        lint(above(lint_files), "ALL"),
    ]
    add("ruff: fixed and put back", *again)
    for name, edit in TYPE_EDITS.items():
        add(f"mypy: {name}", check_types(type_files), check_types(edit(type_files)))
    add(
        "mypy: options changed",
        check_types(type_files),
        check_types(type_files, "--no-strict-optional"),
    )
    add(
        "mypy: hints off",
        check_types(type_files),
        check_types(type_files, "--hide-error-context", "--allow-untyped-defs"),
    )
    return told


if __name__ == "__main__":
    path = Path(__file__).parent / "data" / "cases.jsonl"
    path.write_text("".join(json.dumps(case, ensure_ascii=False) + "\n" for case in cases()))
