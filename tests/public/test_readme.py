"""The README says what the product does."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

from mendloop.cli.exit_codes import MEANINGS
from mendloop.core.brief import make_brief
from mendloop.core.model import FeedbackEntry, RemediationState
from mendloop.core.vocabulary import IssueType, Severity, Status

ROOT = Path(__file__).parents[2]


def test_exit_codes_are_the_table() -> None:
    """Every exit code stands in the README with its meaning, and no other does."""
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)

    assert rows == [(str(int(code)), meaning) for code, meaning in MEANINGS.items()]


def headings(page: Path) -> set[str]:
    """What a link may name in a page: its headings, as forges make anchors of them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_links_lead_somewhere() -> None:
    """Every file and heading that the README and the documents point at is there."""
    for page in (ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md")):
        for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]+))?\)", page.read_text()):
            there = page.parent / target if target else page
            assert there.exists(), f"{page.name} points at {target}"
            assert not anchor or anchor in headings(there), f"{page.name}: {target}#{anchor}"


def test_the_brief_is_described() -> None:
    """Every member of the brief stands in the page about formats."""
    entry = FeedbackEntry(
        timestamp=datetime.now(UTC),
        author="a",
        severity=Severity.LOW,
        issue_type=IssueType.BUG,
        description="d",
        resolved=False,
        pr_comment_id="c",
    )
    state = RemediationState(
        task_id="t",
        iteration=1,
        status=Status.IN_PROGRESS,
        feedback_history=(entry,),
        last_update=datetime.now(UTC),
        error_messages=(),
        metadata={},
        version="v1",
    )
    brief = json.loads(make_brief(state, state.feedback_history).json)
    page = (ROOT / "docs" / "formats.md").read_text()

    for member in (*brief, *brief["findings"][0]):
        assert f"`{member}`" in page, member
