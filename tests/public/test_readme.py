"""The README says what the product does."""

from __future__ import annotations

import re
from pathlib import Path

from mendloop.cli.exit_codes import MEANINGS

ROOT = Path(__file__).parents[2]


def test_exit_codes_are_the_table() -> None:
    """Every exit code stands in the README with its meaning, and no other does."""
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)

    assert rows == [(str(int(code)), meaning) for code, meaning in MEANINGS.items()]


def test_links_lead_somewhere() -> None:
    """Every file that the README and the documents point at is there."""
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} points at {target}"
