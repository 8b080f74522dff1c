from __future__ import annotations

import re
from pathlib import Path

from payload_rows import TABLE
from walkthrough import matches

_PAGE = Path(__file__).parents[2] / "docs" / "github.md"
_ROW = re.compile(r"^\| (`.*?`) \|", re.MULTILINE)


def test_each_reason_that_is_answered_is_on_the_page() -> None:
    """Whoever looks up why nothing happened finds the answer's own words."""
    told = [reason for row in _ROW.findall(_PAGE.read_text()) for reason in row[1:-1].split("`, `")]
    answered = {row.ignored for row in TABLE.values() if row.ignored}

    assert len(answered) > 30
    assert set() == {
        reason for reason in answered if not any(matches(text, reason) for text in told)
    }
