"""
The demo's fixer: an honest stand-in for an agent, and an example of one.

It reads the brief that mendloop wrote, takes up the first findings only, and repairs exactly
these in the files of the working folder. What it leaves open comes back in the next iteration.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, NamedTuple

FINDINGS_PER_ITERATION = 30
RULES = Path(__file__).with_name("ruff.toml")


class Edit(NamedTuple):
    """Replace text[start:end] by *text*."""

    start: int
    end: int
    text: str

    def touches(self, other: Edit) -> bool:
        """Whether the two cannot be made together."""
        return self.start <= other.end and other.start <= self.end


class Place(NamedTuple):
    """Where a rule is broken; the brief and the linter agree on it."""

    path: Path
    rule: str
    line: int


def main() -> None:
    """Take up the worst findings of the brief, repair them and say how many."""
    brief = json.loads(Path(os.environ["MENDLOOP_BRIEF_JSON"]).read_bytes())
    taken = brief["findings"][:FINDINGS_PER_ITERATION]
    wanted = Counter(
        Place(Path(f["path"]).resolve(), f["rule"], f["line"]) for f in taken
    )
    repairs: dict[Path, list[list[dict[str, Any]]]] = defaultdict(list)
    for diagnostic in diagnostics():
        place = place_of(diagnostic)
        if diagnostic["fix"] and wanted[place] > 0:
            wanted[place] -= 1
            repairs[place.path].append(diagnostic["fix"]["edits"])
    repaired = sum(repair(path, fixes) for path, fixes in repairs.items())
    print(
        f"took up {len(taken)} of {brief['open_total']} open findings, repaired {repaired}"
    )


def diagnostics() -> list[dict[str, Any]]:
    """What the linter says of the working folder now, with the edits that it proposes."""
    command = [
        "ruff",
        "check",
        "--no-cache",
        "--config",
        str(RULES),
        "--output-format",
        "json",
    ]
    found = subprocess.run(command, check=False, stdout=subprocess.PIPE)
    return list(json.loads(found.stdout))


def place_of(diagnostic: dict[str, Any]) -> Place:
    """Name a diagnostic the way that the brief does."""
    path = Path(diagnostic["filename"]).resolve()
    return Place(path, diagnostic["code"], diagnostic["location"]["row"])


def repair(path: Path, fixes: list[list[dict[str, Any]]]) -> int:
    """Make the fixes of one file that do not touch one another; return how many."""
    text = path.read_bytes().decode()
    line_starts = starts_of_lines(text)
    made: list[Edit] = []
    count = 0
    for fix in fixes:
        edits = [edit_of(proposed, line_starts) for proposed in fix]
        if not any(edit.touches(other) for edit in edits for other in made):
            made += edits
            count += 1
    for edit in sorted(made, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    path.write_bytes(text.encode())
    return count


def starts_of_lines(text: str) -> list[int]:
    """Offset of each line's first character."""
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    return starts


def edit_of(proposed: dict[str, Any], line_starts: list[int]) -> Edit:
    """Turn the linter's 1-based rows and columns into offsets."""
    start, end = (
        line_starts[at["row"] - 1] + at["column"] - 1
        for at in (proposed["location"], proposed["end_location"])
    )
    return Edit(start, end, proposed["content"] or "")


if __name__ == "__main__":
    main()
