"""
The findings of a task: what is new, what is gone, what came back.

No finding is ever removed. A complete review by the same source that no longer reports a finding
resolves it; a cut or failed review resolves nothing; a tool never resolves a person's finding.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import msgspec

from mendloop.core.commands import AppendFeedback, Context
from mendloop.core.errors import ValidationError
from mendloop.core.findings import RawFinding, Report
from mendloop.core.fingerprint import fingerprint, number_findings
from mendloop.core.model import FeedbackEntry, Finding, Life, RemediationState
from mendloop.core.text import (
    AUTHOR_LIMIT_BYTES,
    COMMENT_ID_LIMIT_BYTES,
    DESCRIPTION_LIMIT_BYTES,
    NOTE_LIMIT_BYTES,
    PATH_LIMIT_BYTES,
    RULE_LIMIT_BYTES,
    no_redaction,
    tidy,
)
from mendloop.core.transitions.outcome import Transition, ledger_of, require, revise

__all__ = ["PERSON", "Tally", "append_feedback", "merge_reports", "open_digest", "open_entries"]

PERSON = "person"
"""The source of findings that no reviewer command brought."""

_replace = msgspec.structs.replace


class Tally(msgspec.Struct):
    """How many findings were new, known already, edited, resolved and reopened."""

    new: int = 0
    known: int = 0
    edited: int = 0
    resolved: int = 0
    reopened: int = 0


def append_feedback(
    state: RemediationState | None, command: AppendFeedback, context: Context
) -> Transition:
    """
    Add findings; one that is there already, by comment id and content, changes nothing.

    Raises:
        StateNotFound: There is no such task.
        ValidationError: A description is empty.
    """
    state = require(state, context)
    ledger = ledger_of(state, context)
    history = _History(state.feedback_history, state.iteration, context)
    ids = [history.report(_person_entry(entry, context)) for entry in command.entries]
    tally = history.tally
    result = {"new": tally.new, "known": tally.known, "edited": tally.edited, "ids": ids}
    if not (tally.new or tally.edited or tally.reopened):
        return Transition(state=state, result=result, is_changed=False)
    return Transition(
        state=revise(
            state,
            ledger,
            feedback_history=tuple(history.entries),
            last_update=context.now,
        ),
        result=result,
        facts=_facts(tally),
    )


def merge_reports(
    state: RemediationState, reports: Sequence[Report], context: Context
) -> tuple[tuple[FeedbackEntry, ...], Tally]:
    """Take in one review: the history after it, and what changed."""
    history = _History(state.feedback_history, state.iteration, context)
    for report in reports:
        reported = {history.report(entry) for entry in _report_entries(report, context)}
        if report.is_complete:
            history.resolve_absent(report, reported)
    return tuple(history.entries), history.tally


def open_entries(state: RemediationState) -> list[FeedbackEntry]:
    """The findings that still count, worst first, and the oldest first among equals."""
    unresolved = [entry for entry in state.feedback_history if not entry.resolved]
    return sorted(unresolved, key=lambda entry: -entry.severity.rank)


def open_digest(entries: Iterable[FeedbackEntry]) -> str:
    """Name the set of open findings: 16 hex digits, whatever their order."""
    names = sorted(entry.pr_comment_id for entry in entries if not entry.resolved)
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


def _facts(tally: Tally) -> dict[str, int]:
    counted = msgspec.structs.asdict(tally)
    return {name: count for name, count in counted.items() if count}


def _report_entries(report: Report, context: Context) -> Iterable[FeedbackEntry]:
    for finding, ordinal in zip(report.findings, number_findings(report.findings), strict=True):
        source = f"{report.reviewer}:{finding.tool}" if finding.tool else report.reviewer
        name = fingerprint(finding, source=source, ordinal=ordinal)
        yield _entry(
            finding,
            Finding(fingerprint=name, source=source),
            comment_id=finding.comment_id or f"{report.format}:{name}",
            author=finding.author or finding.tool or report.reviewer,
            context=context,
        )


def _person_entry(entry: FeedbackEntry, context: Context) -> FeedbackEntry:
    if not entry.description.strip():
        raise ValidationError("a finding needs a description", task_id=context.task_id)
    given = (
        entry.mendloop
        if isinstance(entry.mendloop, Finding)
        else Finding(fingerprint="", source=PERSON)
    )
    finding = RawFinding(
        severity=entry.severity,
        issue_type=entry.issue_type,
        description=entry.description,
        rule=given.rule,
        path=given.path,
        line=given.line,
        identity=entry.pr_comment_id,
        note=given.note,
    )
    name = fingerprint(finding, source=f"{PERSON}:{entry.author}", ordinal=0)
    clean = _entry(
        finding,
        Finding(fingerprint=name, source=given.source),
        comment_id=entry.pr_comment_id or f"{PERSON}:{name}",
        author=entry.author or context.by,
        context=context,
    )
    return _replace(clean, timestamp=entry.timestamp, extra=entry.extra)


def _entry(
    raw: RawFinding, finding: Finding, *, comment_id: str, author: str, context: Context
) -> FeedbackEntry:
    """Clean every text: nothing gets into a state but through here."""

    def clean(text: str, limit_bytes: int) -> str:
        return tidy(text, limit_bytes=limit_bytes, redact=context.redact)

    return FeedbackEntry(
        timestamp=context.now,
        author=clean(author, AUTHOR_LIMIT_BYTES),
        severity=raw.severity,
        issue_type=raw.issue_type,
        description=clean(raw.description, DESCRIPTION_LIMIT_BYTES),
        resolved=False,
        pr_comment_id=_comment_id(comment_id),
        mendloop=_replace(
            finding,
            source=clean(finding.source, RULE_LIMIT_BYTES),
            rule=clean(raw.rule, RULE_LIMIT_BYTES),
            path=clean(raw.path, PATH_LIMIT_BYTES),
            line=max(raw.line, 0),
            note=clean(raw.note, NOTE_LIMIT_BYTES),
            op_id=context.op_id,
        ),
    )


def _comment_id(given: str) -> str:
    """Two ids that differ only in what is cut or cleaned away stay two."""
    kept = tidy(given, limit_bytes=COMMENT_ID_LIMIT_BYTES, redact=no_redaction)
    if kept == given:
        return kept
    name = hashlib.sha256(given.encode(errors="surrogatepass")).hexdigest()[:16]
    room = COMMENT_ID_LIMIT_BYTES - len(name) - 1
    return f"{tidy(given, limit_bytes=room, redact=no_redaction)}#{name}"


class _History:
    """The entries under change, found by fingerprint and by comment id."""

    def __init__(
        self, entries: tuple[FeedbackEntry, ...], iteration: int, context: Context
    ) -> None:
        self.entries = list(entries)
        self.tally = Tally()
        self._iteration = iteration
        self._context = context
        self._places: dict[str, int] = {}
        for place, entry in enumerate(entries):
            self._index(entry, place)

    def _index(self, entry: FeedbackEntry, place: int) -> None:
        self._places[f"id {entry.pr_comment_id}"] = place
        if isinstance(entry.mendloop, Finding):
            self._places[f"fingerprint {entry.mendloop.fingerprint}"] = place

    def report(self, entry: FeedbackEntry) -> str:
        """Take one reported finding in; returns the comment id that it is kept under."""
        place = self._places.get(f"id {entry.pr_comment_id}")
        if place is None and isinstance(entry.mendloop, Finding):
            place = self._places.get(f"fingerprint {entry.mendloop.fingerprint}")
        if place is None:
            self._add(entry)
            return entry.pr_comment_id
        self._seen_again(place, entry)
        return self.entries[place].pr_comment_id

    def _add(self, entry: FeedbackEntry) -> None:
        if isinstance(entry.mendloop, Finding):
            entry = _replace(
                entry,
                mendloop=_replace(
                    entry.mendloop,
                    first_iteration=self._iteration,
                    last_iteration=self._iteration,
                ),
            )
        self.entries.append(entry)
        self._index(entry, len(self.entries) - 1)
        self.tally.new += 1

    def _seen_again(self, place: int, entry: FeedbackEntry) -> None:
        kept = self.entries[place]
        is_edited = kept.description != entry.description or kept.severity != entry.severity
        if kept.resolved:
            self.tally.reopened += 1
        elif is_edited:
            self.tally.edited += 1
        else:
            self.tally.known += 1
        self.entries[place] = _replace(
            kept,
            description=entry.description,
            severity=entry.severity,
            resolved=False,
            mendloop=self._finding_seen_again(kept, entry),
        )

    def _finding_seen_again(
        self, kept: FeedbackEntry, entry: FeedbackEntry
    ) -> Finding | msgspec.UnsetType:
        known, seen = kept.mendloop, entry.mendloop
        if not isinstance(known, Finding) or not isinstance(seen, Finding):
            return seen
        known = _replace(
            known,
            path=seen.path or known.path,
            line=seen.line or known.line,
            last_iteration=self._iteration,
        )
        if not kept.resolved:
            return known
        times = known.times_returned + 1
        return _replace(known, life=Life.REOPENED, resolved_iteration=None, times_returned=times)

    def resolve_absent(self, report: Report, reported: set[str]) -> None:
        """Resolve what a complete *report* speaks for and no longer has."""
        for place, entry in enumerate(self.entries):
            finding = entry.mendloop
            if entry.resolved or entry.pr_comment_id in reported:
                continue
            if isinstance(finding, Finding) and _speaks_for(report, finding.source):
                self.tally.resolved += 1
                self.entries[place] = _replace(
                    entry,
                    resolved=True,
                    mendloop=_replace(
                        finding, life=Life.VERIFIED, resolved_iteration=self._iteration
                    ),
                )


def _speaks_for(report: Report, source: str) -> bool:
    if report.tools:
        return source in {f"{report.reviewer}:{tool}" for tool in report.tools}
    return source == report.reviewer or source.startswith(f"{report.reviewer}:")
