"""From a reviewer that has ended to the report that is recorded."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import msgspec

from mendloop.core.errors import RunError
from mendloop.core.findings import Report
from mendloop.intake.recognise import OK_EXIT_CODES, read_report
from mendloop.runners.port import StepOutcome

__all__ = ["Reviewer", "read_outcome", "with_tail"]

_FILE_LIMIT_BYTES = 1024 * 1024
_CACHED_FILES = 16
_SHELL_FAILURES = 126


class Reviewer(msgspec.Struct, frozen=True, kw_only=True):
    """
    A command that looks for faults.

    Attributes:
        name: Names it in the history; findings belong to the reviewer of this name.
        command: A shell line. It reports on standard output, or in the file $MENDLOOP_REPORT.
        format: "sarif", "junit", "jsonl" or "text"; None recognises it.
        ok_exit_codes: With these a structured report is whole.
        timeout_seconds: It is ended after this long, and the review counts as failed.
    """

    name: str
    command: str
    format: str | None = None
    ok_exit_codes: frozenset[int] = OK_EXIT_CODES
    timeout_seconds: float = 900.0


def read_outcome(
    outcome: StepOutcome, reviewer: Reviewer, *, tree: Path, known_format: str | None
) -> Report:
    """
    Read what *reviewer* reported; one that was ended or not found has not reviewed.

    Args:
        tree: The work tree, for the text of the lines that findings are on.
        known_format: What this reviewer was last read in, or None.

    Raises:
        RunError: Somebody took its output away.
    """
    code = outcome.exit_code
    if code is None or code >= _SHELL_FAILURES or outcome.is_timeout or outcome.is_cancelled:
        return Report(
            reviewer=reviewer.name,
            format=reviewer.format or known_format or "text",
            findings=(),
            is_complete=False,
            problem=with_tail(outcome.problem, outcome.stderr_tail),
        )
    root = tree.resolve()
    data, is_cut = _read_back(outcome, reviewer)
    if not data.strip() and code != 0:
        data = outcome.stderr_tail
    report = read_report(
        data,
        reviewer=reviewer.name,
        format=reviewer.format,
        exit_code=code,
        is_cut=is_cut,
        ok_exit_codes=reviewer.ok_exit_codes,
        context=_Lines(root),
        root=root,
        known_format=known_format,
    )
    if report.is_complete:
        return report
    problem = with_tail(report.problem, outcome.stderr_tail)
    return msgspec.structs.replace(report, problem=problem)


def _read_back(outcome: StepOutcome, reviewer: Reviewer) -> tuple[bytes, bool]:
    """What was reported, and whether it is cut."""
    path = outcome.report or outcome.stdout
    try:
        with path.open("rb") as source:
            data = source.read(outcome.command.capture_limit_bytes)
            is_cut = bool(source.read(1)) or (outcome.report is None and outcome.is_stdout_cut)
    except OSError as error:
        raise RunError(
            f"what {reviewer.name} printed cannot be read back from {path}: {error.strerror}"
        ) from error
    return data, is_cut


def with_tail(problem: str, tail: bytes) -> str:
    """Add the end of what the command printed to standard error to *problem*."""
    said = tail.decode(errors="replace").strip()[-500:]
    return f"{problem}; it said: {said}" if said else problem


class _Lines:
    """The text of a line of a file in the work tree; "" where there is none."""

    def __init__(self, tree: Path) -> None:
        self._tree = tree
        self._files: OrderedDict[str, list[str]] = OrderedDict()

    def __call__(self, path: str, line: int) -> str:
        if path not in self._files:
            self._files[path] = self._read(path)
            if len(self._files) > _CACHED_FILES:
                self._files.popitem(last=False)
        lines = self._files[path]
        return lines[line - 1] if 0 < line <= len(lines) else ""

    def _read(self, path: str) -> list[str]:
        """A path comes from a report: it may not lead out of the tree."""
        try:
            file = (self._tree / path).resolve()
            if not file.is_relative_to(self._tree) or not file.is_file():
                return []
            if file.stat().st_size > _FILE_LIMIT_BYTES:
                return []
            return file.read_text(encoding="utf-8", errors="replace").splitlines()
        except (OSError, ValueError):
            return []
