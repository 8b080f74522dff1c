"""
The findings of a task: what is new, what is gone, what came back.

No finding is ever removed. A complete review by the same source that no longer reports a finding
resolves it; a cut or failed review resolves nothing; a tool never resolves a person's finding.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec

from mendloop.core.codec import validated
from mendloop.core.commands import AppendFeedback, Compress, Context
from mendloop.core.compaction import in_order
from mendloop.core.errors import ValidationError
from mendloop.core.findings import RawFinding, Report
from mendloop.core.fingerprint import fingerprint, number_findings
from mendloop.core.lives import finding_of
from mendloop.core.model import FeedbackEntry, Finding, RemediationState
from mendloop.core.sealed import Sealed
from mendloop.core.sifting import sifted
from mendloop.core.text import (
    AUTHOR_LIMIT_BYTES,
    CONTEXT_LIMIT_BYTES,
    DESCRIPTION_LIMIT_BYTES,
    NOTE_LIMIT_BYTES,
    PATH_LIMIT_BYTES,
    RULE_LIMIT_BYTES,
    is_cut,
    tidy,
)
from mendloop.core.tips import commit_name
from mendloop.core.transitions.matching import History, Tally
from mendloop.core.transitions.naming import comment_id_of, distinct
from mendloop.core.transitions.outcome import Transition, ledger_of, require, revise
from mendloop.core.transitions.tips import commit_given
from mendloop.core.vocabulary import PERSON

__all__ = [
    "append_feedback",
    "compress",
    "in_utc",
    "merge_reports",
    "most_returned",
    "open_digest",
    "open_entries",
    "person_entry",
    "reviewer_name",
]

_SOURCE_PART_LIMIT_BYTES = RULE_LIMIT_BYTES // 2
_LINE_LIMIT = 2**31 - 1
_CUT_NOTE = f"the description was longer, and {DESCRIPTION_LIMIT_BYTES} bytes of it are kept"

_replace = msgspec.structs.replace


def append_feedback(
    state: RemediationState | None, command: AppendFeedback, context: Context
) -> Transition:
    """
    Add findings; one that is there already, by comment id and content, changes nothing.

    Raises:
        StateNotFound: There is no such task.
        ValidationError: A description or a comment id is blank, or a member is of a wrong type.
    """
    state = require(state, context)
    ledger = ledger_of(state, context)
    history = History(state, context)
    commit = commit_given(command.commit, context)
    ids = [history.deliver(person_entry(e, context, commit=commit)) for e in command.entries]
    tally = history.tally
    known = tally.known + tally.set_aside
    counts = {"new": tally.new, "known": known, "edited": tally.edited, "outdated": tally.outdated}
    result = {**counts, "ids": ids}
    if not (tally.new or tally.edited or tally.reopened or tally.set_aside or tally.outdated):
        return Transition(state=state, result=result, is_changed=False)
    return Transition(
        state=revise(
            state,
            _replace(ledger, findings=history.sealed),
            feedback_history=in_order(history.entries),
            last_update=context.now,
        ),
        result=result,
        facts=_facts(tally),
    )


def compress(state: RemediationState | None, command: Compress, context: Context) -> Transition:
    """Seal all findings but those that the head always keeps."""
    del command
    state = require(state, context)
    ledger = ledger_of(state, context)
    if not state.feedback_history:
        return Transition(state=state, is_changed=False)
    return Transition(
        state=revise(state, ledger, last_update=context.now),
        facts={"findings": state.findings_total},
        compacts=True,
    )


def merge_reports(
    state: RemediationState, reports: Sequence[Report], context: Context, *, tree: str
) -> tuple[tuple[FeedbackEntry, ...], Sealed, Tally]:
    """Take in one review: all that is open after it or that it touched, the rest, and a tally."""
    history = History(state, context, tree=tree)
    history.read_open()
    history.report(
        [entry for report in reports for entry in _report_entries(report, context, tree)],
        is_complete=all(report.is_complete for report in reports),
    )
    for report in reports:
        if report.is_complete:
            reviewer = _source(report.reviewer, "", context)
            tools = {_source(report.reviewer, tool, context) for tool in report.tools}
            history.resolve_absent(reviewer, tools)
    return in_order(history.entries), history.sealed, history.tally


def open_entries(entries: Iterable[FeedbackEntry]) -> list[FeedbackEntry]:
    """The findings that still count, worst first, and the oldest first among equals."""
    unresolved = [entry for entry in entries if not entry.resolved]
    return sorted(unresolved, key=lambda entry: -entry.severity.rank)


def open_digest(entries: Iterable[FeedbackEntry]) -> str:
    """Name the set of open findings: 16 hex digits, whatever their order."""
    names = sorted(entry.pr_comment_id for entry in entries if not entry.resolved)
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


def most_returned(entries: Iterable[FeedbackEntry], now: datetime) -> int:
    """How often that finding came back which did so most often, of those reopened *now*."""
    return max(
        (
            finding.times_returned
            for finding in (entry.mendloop for entry in entries if not entry.resolved)
            if isinstance(finding, Finding) and finding.lives and finding.lives[-1].at == now
        ),
        default=0,
    )


def _facts(tally: Tally) -> dict[str, int]:
    counted = msgspec.structs.asdict(tally)
    return {name: count for name, count in counted.items() if count}


def _report_entries(report: Report, context: Context, tree: str) -> Iterable[FeedbackEntry]:
    reviewed = commit_name(report.commit) or tree
    for finding, ordinal in zip(report.findings, number_findings(report.findings), strict=True):
        source = _source(report.reviewer, finding.tool, context)
        name = fingerprint(finding, source=source, ordinal=ordinal)
        yield _entry(
            finding,
            Finding(
                fingerprint=name,
                source=source,
                seen_on=commit_name(finding.commit) or reviewed,
            ),
            comment_id=(
                finding.comment_id if finding.comment_id.strip() else f"{report.format}:{name}"
            ),
            author=finding.author or finding.tool or report.reviewer,
            context=context,
        )


def person_entry(entry: FeedbackEntry, context: Context, *, commit: str) -> FeedbackEntry:
    """
    The finding that a person or another program brings, cleaned and named.

    Raises:
        ValidationError: Its description or its comment id is blank, or a member is of a wrong type.
    """
    if entry.pr_comment_id.isspace():
        raise ValidationError(
            "a comment id may not be blank: leave it empty where there is none",
            task_id=context.task_id,
        )
    given = finding_of(entry)
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
        Finding(
            fingerprint=name,
            source=tidy(given.source, limit_bytes=RULE_LIMIT_BYTES, redact=context.redact),
            seen_on=commit,
        ),
        comment_id=entry.pr_comment_id or f"{PERSON}:{name}",
        author=entry.author or context.by,
        context=context,
    )
    if not clean.description.strip():
        raise ValidationError("a finding needs a description", task_id=context.task_id)
    carried = sifted(entry.extra, context.redact)
    return validated(in_utc(_replace(clean, timestamp=entry.timestamp, extra=carried)))


def in_utc(entry: FeedbackEntry) -> FeedbackEntry:
    """
    Return *entry* with its time in UTC, as the specification's readers expect it.

    Raises:
        ValidationError: It has no time zone, or is out of range in UTC.
    """
    if entry.timestamp.tzinfo is None:
        raise ValidationError("a finding's timestamp needs a time zone")
    if not entry.timestamp.utcoffset():
        return entry
    try:
        timestamp = entry.timestamp.astimezone(UTC)
    except OverflowError as error:
        raise ValidationError(f"a finding's timestamp is out of range: {error}") from error
    extra = entry.extra
    if isinstance(extra, dict):
        # The exact spelling of the time, kept by the codec, is of the time before.
        extra = {key: raw for key, raw in extra.items() if key != "timestamp"} or msgspec.UNSET
    return _replace(entry, timestamp=timestamp, extra=extra)


def _entry(
    raw: RawFinding, finding: Finding, *, comment_id: str, author: str, context: Context
) -> FeedbackEntry:
    """Clean every text: nothing gets into a state but through here."""

    def clean(text: str, limit_bytes: int) -> str:
        return tidy(text, limit_bytes=limit_bytes, redact=context.redact)

    description = clean(raw.description, DESCRIPTION_LIMIT_BYTES)
    notes = (raw.note, _CUT_NOTE if is_cut(description) else "")
    return FeedbackEntry(
        timestamp=context.now,
        author=clean(author, AUTHOR_LIMIT_BYTES),
        severity=raw.severity,
        issue_type=raw.issue_type,
        description=description,
        resolved=False,
        pr_comment_id=comment_id_of(comment_id, context.redact),
        mendloop=_replace(
            finding,
            rule=clean(raw.rule, RULE_LIMIT_BYTES),
            path=clean(raw.path, PATH_LIMIT_BYTES),
            context=clean(raw.context, CONTEXT_LIMIT_BYTES).strip(),
            line=min(max(raw.line, 0), _LINE_LIMIT),
            note=clean("; ".join(filter(None, notes)), NOTE_LIMIT_BYTES),
            op_id=context.op_id,
        ),
    )


def reviewer_name(given: str, context: Context) -> str:
    """The name that a reviewer is kept under."""
    return distinct(given, limit_bytes=_SOURCE_PART_LIMIT_BYTES, redact=context.redact)


def _source(reviewer: str, tool: str, context: Context) -> str:
    """Name who reports: what is before the first colon names one reviewer, and never a person."""
    name = reviewer_name(reviewer, context).replace("%", "%25").replace(":", "%3A")
    if name == PERSON:
        name = f"%{ord(name[0]):X}{name[1:]}"
    return f"{name}:{reviewer_name(tool, context)}" if tool else name
