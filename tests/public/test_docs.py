"""What the documents show is what there is."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_controller_in_the_documents_is_the_example() -> None:
    """The page shows the whole file that the tests run, and it stays under a hundred lines."""
    example = (ROOT / "examples" / "reconcile.py").read_text(encoding="utf-8")

    assert f"```python\n{example}```" in (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    assert len(example.splitlines()) < 100
