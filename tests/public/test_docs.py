"""What the documents show is what there is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_controller_in_the_documents_is_the_example() -> None:
    """The page shows the whole file that the tests run, and it stays under a hundred lines."""
    example = (ROOT / "examples" / "reconcile.py").read_text(encoding="utf-8")

    assert f"```python\n{example}```" in (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    assert len(example.splitlines()) < 100


@pytest.mark.parametrize("page", ["cli", "library"])
def test_a_page_that_is_made_from_the_code_is_up_to_date(page: str) -> None:
    """`make reference` would change nothing."""
    made = subprocess.run(
        [sys.executable, ROOT / "docs" / "reference.py", page],
        capture_output=True,
        text=True,
        check=True,
    )

    assert made.stdout == (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
