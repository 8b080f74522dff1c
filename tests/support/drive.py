"""Transitions applied one after another, without a store."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec
from states import NOW, entry, holder

from mendloop.core import commands
from mendloop.core.commands import Command, Context
from mendloop.core.decide import Finish, NextStep, StartIteration, Take, decide
from mendloop.core.findings import RawFinding, Report
from mendloop.core.model import Ledger, RemediationState, Settings
from mendloop.core.run import Lease
from mendloop.core.sealed import Sealed
from mendloop.core.shelf import Shelf
from mendloop.core.text import no_redaction
from mendloop.core.transitions.dispatch import transition
from mendloop.core.transitions.outcome import Transition
from mendloop.core.vocabulary import IssueType, Severity, StepKind

__all__ = ["Driver", "finding", "report"]


def finding(name: str, **changes: Any) -> RawFinding:
    """A finding of a tool, named by *name* alone."""
    members: dict[str, Any] = {
        "severity": Severity.MEDIUM,
        "issue_type": IssueType.BUG,
        "description": f"fault {name}",
        "tool": "ruff",
        "identity": name,
        "path": "a.py",
    }
    return RawFinding(**(members | changes))


def report(*names: str, reviewer: str = "lint", **changes: Any) -> Report:
    """A complete report of these findings."""
    found = tuple(finding(name) for name in names)
    return Report(**({"reviewer": reviewer, "format": "sarif", "findings": found} | changes))


class Driver:
    """One task's state, and the commands applied to it."""

    def __init__(self, state: RemediationState | None = None, *, task_id: str = "t") -> None:
        self.current = state
        self.now: datetime = NOW
        self.steps: list[str] = []
        self._task_id = task_id
        self._count = 0

    @property
    def state(self) -> RemediationState:
        assert self.current is not None
        return self.current

    @property
    def ledger(self) -> Ledger:
        assert isinstance(self.state.mendloop, Ledger)
        return self.state.mendloop

    @property
    def generation(self) -> int:
        return self.ledger.lease.generation

    def apply(self, command: Command, *, run: str = "") -> Transition:
        """Apply one command of *run*, a second after the one before."""
        self._count += 1
        self.now += timedelta(seconds=1)
        context = Context(
            task_id=self._task_id,
            now=self.now,
            op_id=f"op{self._count}",
            by="ann",
            door="test",
            token=f"token{self._count}",
            redact=no_redaction,
            sealed=Shelf(Sealed(), {}),
            run=run,
        )
        done = transition(self.current, command, context)
        if done.is_changed:
            self.current = done.state
        return done

    def start(self, **settings: Any) -> Driver:
        """Make the task and hold its lease."""
        self.apply(commands.Create(settings=Settings(**settings)))
        return self.hold()

    def hold(self, token: str = "t1") -> Driver:  # noqa: S107 - names a run
        """Take the lease, whoever has it."""
        lease = self.ledger.lease if isinstance(self.state.mendloop, Ledger) else Lease()
        self.apply(
            commands.AcquireLease(
                holder=holder(token),
                ttl_seconds=30.0,
                boottime_seconds=1.0,
                abandoned=(lease.generation, lease.renewals),
            )
        )
        return self

    def increment(self) -> int:
        """Start an iteration as the holder."""
        return int(self.apply(commands.Increment(generation=self.generation)).result["iteration"])

    def review(self, *reports: Report, tree: str = "") -> dict[str, Any]:
        """Take a review from begin to end; it leaves the work tree as *tree*."""
        self.apply(
            commands.BeginStep(generation=self.generation, kind=StepKind.REVIEW, tree="tree")
        )
        done = self.apply(
            commands.RecordReview(generation=self.generation, reports=reports, tree=tree)
        )
        return done.result

    def fix(self, problem: str = "", *, tree: str = "tree2") -> None:
        """Take a fix from begin to end; it leaves the work tree as *tree*."""
        self.apply(commands.BeginStep(generation=self.generation, kind=StepKind.FIX, tree="tree"))
        self.apply(commands.RecordFix(generation=self.generation, tree=tree, problem=problem))

    def append(self, *ids: str, **changes: Any) -> dict[str, Any]:
        """Add findings of a person."""
        entries = tuple(entry(comment_id, **changes) for comment_id in ids)
        return self.apply(commands.AppendFeedback(entries=entries)).result

    def open_ids(self) -> list[str]:
        """The descriptions of what is open, in the order that they came."""
        return [e.description for e in self.state.feedback_history if not e.resolved]

    def next(self) -> NextStep:
        """Decide."""
        return decide(self.state, now=self.now)

    def run(self, reviews: list[tuple[Report, ...]], *, most: int = 200) -> NextStep:
        """Do what is decided until the task ends or waits; the last review repeats for ever."""
        left = list(reviews)
        for _ in range(most):
            step = self.next()
            if isinstance(step, StartIteration):
                assert step.number == self.increment()
                self.steps.append(f"iteration {step.number}")
            elif isinstance(step, Take) and step.kind is StepKind.REVIEW:
                self.review(*(left.pop(0) if len(left) > 1 else left[0]))
                self.steps.append("review")
            elif isinstance(step, Take):
                self.fix()
                self.steps.append("fix")
            elif isinstance(step, Finish):
                self.apply(
                    commands.Finish(
                        generation=self.generation, reason=step.reason, detail=step.detail
                    )
                )
            else:
                return step
        raise AssertionError("the loop does not end")

    def set(self, **changes: Any) -> None:
        """Change the state behind the product's back."""
        self.current = msgspec.structs.replace(self.state, **changes)
