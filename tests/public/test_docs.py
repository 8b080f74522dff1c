"""What the documents show is what there is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mendloop.core.secrets import SECRET_KINDS

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


def test_the_security_page_names_every_kind_of_secret() -> None:
    """Each mark that there is stands in the list of them, and no other."""
    page = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    told = page.partition("By the names of their marks:\n")[2].partition(".\n\n")[0]

    assert sorted(SECRET_KINDS) == " ".join(told.split()).split(", ")
