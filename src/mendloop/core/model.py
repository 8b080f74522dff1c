"""
The state of a task, as it is stored.

The eight fields of `RemediationState` and the seven of `FeedbackEntry` are the specification's and
are read by other programs: their names, spellings and types never change. All that mendloop keeps
beyond them sits in one optional member named "mendloop", at the top level (`Ledger`) and in each
entry (`Finding`), with a schema number of its own. Who runs the task is in `mendloop.core.run`, how
far it is in `mendloop.core.progress`.

Texts are already sanitised and capped when they are here.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from mendloop.core.carrying import Carrying, Digest, Incarnation, Instant
from mendloop.core.comments import Comment, Turn
from mendloop.core.deletion import Deletion, Hold
from mendloop.core.progress import Pause, Round, Source, Step
from mendloop.core.run import Lease
from mendloop.core.sealed import OpenCounts, Sealed
from mendloop.core.tips import Tip
from mendloop.core.vocabulary import (
    IssueType,
    Life,
    Phase,
    Severity,
    Status,
    StopReason,
)

__all__ = [
    "COUNT_MOST",
    "LEDGER_SCHEMA",
    "LIVES_KEPT",
    "STATE_VERSION",
    "Chain",
    "Change",
    "ChunkRef",
    "Commit",
    "Count",
    "FeedbackEntry",
    "Finding",
    "Ledger",
    "LifeChange",
    "RemediationState",
    "Settings",
]

COUNT_MOST = 2**32 - 1
Count = Annotated[int, msgspec.Meta(ge=0, le=COUNT_MOST)]

STATE_VERSION = "v1"
LEDGER_SCHEMA = 3

LIVES_KEPT = 4
"""A finding keeps its last changes of life; the task's history has them all."""


class LifeChange(Carrying, frozen=True, kw_only=True):
    """
    One change of a finding's life.

    Attributes:
        life: What became of it.
        at: When.
        iteration: The task's iteration then.
        by: The reviewer or the person who said so.
        why: The reason that was given, or what is known of it.
        tree: Commit, or revision of the work tree, that it was seen on, or "".
    """

    life: Life
    at: Instant
    iteration: int
    by: str
    why: str = ""
    tree: str = ""


class Finding(Carrying, frozen=True, kw_only=True):
    """
    What mendloop keeps of a finding beyond the specification's seven fields.

    Attributes:
        fingerprint: Names the finding across reviews; survives moved lines.
        source: The reviewer and tool that report it, or "person".
        life: What became of it.
        rule: The tool's rule id, or "".
        path: File, relative to the work tree, or "".
        line: 1-based line when last seen, or 0.
        context: The text of that line, or "".
        first_iteration: Where it was first seen.
        last_iteration: Where it was last seen.
        seen_on: Commit, or revision of the work tree, that it was last seen on, or "".
        resolved_iteration: Where it was last found gone, or None.
        times_returned: How often it came back after it was gone.
        op_id: The operation that brought it.
        note: What could not be read, or was assumed, when it came in.
        place: Its number among the task's findings; None while none has left the head.
        lives: Its last changes of life, oldest first.
        comment: The version of its comment, where its source tells of edits; else None.
    """

    fingerprint: str
    source: str
    life: Life = Life.OPEN
    rule: str = ""
    path: str = ""
    line: int = 0
    context: str = ""
    first_iteration: int = 0
    last_iteration: int = 0
    seen_on: str = ""
    resolved_iteration: int | None = None
    times_returned: int = 0
    op_id: str = ""
    note: str = ""
    place: int | None = None
    lives: tuple[LifeChange, ...] = ()
    comment: Comment | None = None


class FeedbackEntry(Carrying, frozen=True, kw_only=True, omit_defaults=False):
    """
    One finding; the specification's seven fields, and ours in one member.

    Attributes:
        timestamp: When it was first reported, RFC 3339 UTC.
        author: Who reported it.
        severity: How bad it is.
        issue_type: What kind of fault it is.
        description: What is wrong.
        resolved: True where it no longer counts as open.
        pr_comment_id: Unique per finding and never empty.
        mendloop: Our part; absent in an entry that another program wrote.
    """

    timestamp: Instant
    author: str
    severity: Severity
    issue_type: IssueType
    description: str
    resolved: bool
    pr_comment_id: str
    mendloop: Finding | msgspec.UnsetType = msgspec.UNSET


class Settings(Carrying, frozen=True, kw_only=True, omit_defaults=False):
    """
    What decides when a loop stops.

    Attributes:
        max_iterations: Fixes that may be tried, at least 1.
        no_progress_rounds: Stop when this many reviews in a row leave the same findings open.
        budget_seconds: Stop this long after the start or the last resume; None for no limit.
        step_attempts: How often a failing step is tried before the loop stops.
    """

    max_iterations: Annotated[int, msgspec.Meta(ge=1, le=2**32 - 1)] = 10
    no_progress_rounds: Annotated[int, msgspec.Meta(ge=2)] = 3
    budget_seconds: Annotated[float, msgspec.Meta(gt=0)] | None = None
    step_attempts: Annotated[int, msgspec.Meta(ge=1)] = 3


class Change(Carrying, frozen=True, kw_only=True):
    """
    One transition, as the history tells it.

    Attributes:
        do: Which command.
        op_id: The caller's operation id; the same id again gets the same result.
        by: Who.
        door: How it came in: "cli", "run", "library", ...
        result: What the caller was told.
        facts: What changed, for `explain`.
    """

    do: str
    op_id: str
    by: str
    door: str
    result: dict[str, Any] = msgspec.field(default_factory=dict)
    facts: dict[str, Any] = msgspec.field(default_factory=dict)


class Commit(Carrying, frozen=True, kw_only=True):
    """
    One versioned write of the head: its transitions, and the revision that it made.

    Attributes:
        number: Rises by one with each; from revision number - 1 to revision number.
        id: Random; tells after a lost answer whether this very write landed.
        at: When it was decided.
        digest: Of the state after it, see `mendloop.core.codec.digest`.
        changes: What it did, in order.
        link: Of the commit before and of this one, see `mendloop.core.chain`; "" in one that an
            older mendloop wrote.
    """

    number: int
    id: str
    at: Instant
    digest: str
    changes: tuple[Change, ...]
    link: str = ""


class Chain(Carrying, frozen=True, kw_only=True):
    """
    Where the chain of commits ends: what is cut off of it shows.

    Attributes:
        count: How many commits hang on it; the last is the latest of all.
        head: The link of the last.
    """

    count: int
    head: str


class ChunkRef(Carrying, frozen=True, kw_only=True):
    """
    Points at a sealed chunk of older commits, or of pointers to such chunks.

    Attributes:
        first: Number of its first commit.
        last: Number of its last commit.
        digest: SHA-256 of its body, hex.
        depth: 0 where it holds commits; else it holds pointers of one depth less.
    """

    first: int
    last: int
    digest: Digest
    depth: int = 0


class Ledger(Carrying, frozen=True, kw_only=True):
    """
    All that mendloop keeps of a task beyond the specification.

    Attributes:
        schema: Layout of this member.
        min_writer: The oldest schema that may write it.
        incarnation: Random; tells two tasks of the same id, one after another, apart.
        commit: Number of the last commit.
        settings: What decides when the loop stops.
        phase: What goes on inside the status.
        step: The step the task is in, or None before the first iteration and after the end.
        is_fix_done: Whether this iteration's fix was accepted.
        started_at: When the first iteration began.
        budget_from: Where the time budget counts from.
        pause: Set while the task is paused.
        stop_reason: Why it ended, or None.
        stop_detail: The same in words.
        stop_tree: Revision of the work tree that it ended on, or "".
        rounds: The last accepted reviews, oldest first.
        sources: Reviewers that have reported, by name.
        tips: The last commits that the change was at, oldest first.
        turns: How bots have been answering each other, oldest first.
        lease: The right to write a run's results.
        hold: Set while no cleanup may take the task.
        deleted: Set while the task is deleted and can be restored, or is being removed.
        restored_at: When it was last restored.
        commits: The last commits, oldest first.
        chain: Where the chain of all commits ends; None before the first that has a link.
        findings: Where the findings are that have left the head.
        log: Where the commits are that have left the head.
        sealed: Where still older commits are, oldest first, as schema 1 sealed them.
    """

    schema: Annotated[int, msgspec.Meta(ge=1)]
    min_writer: int
    incarnation: Incarnation
    commit: int = 0
    settings: Settings = Settings()
    phase: Phase | None = None
    step: Step | None = None
    is_fix_done: bool = False
    started_at: Instant | None = None
    budget_from: Instant | None = None
    pause: Pause | None = None
    stop_reason: StopReason | None = None
    stop_detail: str = ""
    stop_tree: str = ""
    rounds: tuple[Round, ...] = ()
    sources: dict[str, Source] = msgspec.field(default_factory=dict)
    tips: tuple[Tip, ...] = ()
    turns: tuple[Turn, ...] = ()
    lease: Lease = Lease()
    hold: Hold | None = None
    deleted: Deletion | None = None
    restored_at: Instant | None = None
    commits: tuple[Commit, ...] = ()
    chain: Chain | None = None
    findings: Sealed = Sealed()
    log: Sealed = Sealed()
    sealed: tuple[ChunkRef, ...] = ()


class RemediationState(Carrying, frozen=True, kw_only=True, omit_defaults=False):
    """
    The specification's state of one task.

    Attributes:
        task_id: Names the task.
        iteration: How many iterations were started; never falls.
        status: One of the five.
        feedback_history: The worst open findings and the latest, in the order they came; the others
            are sealed.
        last_update: When a transition last changed the task, UTC.
        error_messages: The last 20.
        metadata: Text to text; other programs' keys are kept.
        version: Of the wire format.
        mendloop: Our part, to be written; to read it, take `ledger`.
    """

    task_id: str
    iteration: Count
    status: Status
    feedback_history: tuple[FeedbackEntry, ...]
    last_update: Instant
    error_messages: tuple[str, ...]
    metadata: dict[str, str]
    version: str
    mendloop: Ledger | msgspec.UnsetType = msgspec.UNSET

    @property
    def ledger(self) -> Ledger:
        """Our part; where another program wrote the state, one that keeps nothing yet."""
        if isinstance(self.mendloop, Ledger):
            return self.mendloop
        return Ledger(schema=LEDGER_SCHEMA, min_writer=LEDGER_SCHEMA, incarnation="")

    @property
    def open_counts(self) -> OpenCounts:
        """All open findings by severity, Low first, the sealed ones among them."""
        counts = list(self.ledger.findings.open)
        for entry in self.feedback_history:
            counts[entry.severity.rank] += not entry.resolved
        return counts[0], counts[1], counts[2], counts[3]

    @property
    def open_total(self) -> int:
        """How many findings are open."""
        return sum(self.open_counts)

    @property
    def findings_total(self) -> int:
        """How many findings there are, the sealed ones among them."""
        unnumbered = sum(
            not isinstance(entry.mendloop, Finding) or entry.mendloop.place is None
            for entry in self.feedback_history
        )
        return self.ledger.findings.count + unnumbered
