"""What the reader of one format hands on: findings, and why they may not be all."""

from __future__ import annotations

import sys

import msgspec

from mendloop.core.findings import RawFinding
from mendloop.core.text import redact_secrets, tidy

__all__ = [
    "MAX_FINDINGS",
    "MAX_LINE",
    "MAX_PROBLEMS",
    "MAX_TOLD",
    "Reading",
    "is_line",
    "shortened",
]

MAX_FINDINGS = 100_000
"""A report with more is read up to here and counts as cut."""

MAX_PROBLEMS = 100_000
"""After more than these, nothing more is read: the report is not what it was taken for."""

MAX_TOLD = 3
"""This many problems are told; the rest are counted."""

MAX_LINE = 2**31 - 1


class Reading(msgspec.Struct, kw_only=True):
    """
    What was read of a report so far.

    Attributes:
        findings: In the order reported, at most `MAX_FINDINGS`.
        tools: The tools that the report speaks for; empty where it names none.
        problems: Why absence from it means nothing, in words; empty where it is whole.
        commits: The commits that it says were looked at.
        problem_count: How many there were, those not told too.
        is_over: Whether reading on can bring nothing more that is kept.
    """

    findings: list[RawFinding] = []
    tools: list[str] = []
    problems: list[str] = []
    commits: set[str] = set()
    problem_count: int = 0
    is_over: bool = False

    def add(self, finding: RawFinding) -> None:
        """Keep *finding*; one too many is a problem, is not kept, and ends the reading."""
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(finding)
            return
        self.fail(f"more than {MAX_FINDINGS} findings; only the first of them are kept")
        self.is_over = True

    def fail(self, problem: str) -> None:
        """Say why the report is not whole."""
        self.problem_count += 1
        if self.problem_count <= MAX_TOLD:
            self.problems.append(problem)
        elif self.problem_count > MAX_PROBLEMS:
            self.is_over = True

    def in_words(self) -> str:
        """All problems in one text, or ""."""
        more = self.problem_count - len(self.problems)
        told = [*self.problems, f"{more} more of the kind"] if more else self.problems
        return "; ".join(told)


def is_line(number: int) -> bool:
    """Whether *number* can be a 1-based line; a report may hold any figure."""
    return 1 <= number <= MAX_LINE


def shortened(text: str, limit: int = 120) -> str:
    """The first line of *text* that is not empty, without secrets, at most *limit* characters."""
    start = tidy(text.lstrip()[: limit * 8], limit_bytes=sys.maxsize, redact=redact_secrets)
    line = start.lstrip().partition("\n")[0].strip()
    return line if len(line) <= limit else line[: limit - 1] + "…"
