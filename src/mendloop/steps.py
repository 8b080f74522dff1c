"""Taking one step: run the reviewers and read them, or brief the fixer and run it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import msgspec

from mendloop.clock import Clock
from mendloop.core.brief import make_brief
from mendloop.core.decide import Take
from mendloop.core.errors import RunError
from mendloop.core.findings import Report
from mendloop.core.model import FeedbackEntry, RemediationState
from mendloop.core.run import Child
from mendloop.core.vocabulary import StepKind
from mendloop.crashpoints import reach
from mendloop.events import FixDone, Observer, Output, ReviewDone, StepStarted
from mendloop.lease import RunLease
from mendloop.reports import Reviewer, read_outcome, with_tail
from mendloop.runners.port import Runner, StepCommand, StepOutcome
from mendloop.runners.tree import tree_revision

__all__ = ["Fixer", "Steps"]

_NO_TIME = "not run: the time budget is spent"


class Fixer(msgspec.Struct, frozen=True, kw_only=True):
    """
    The command that repairs.

    Attributes:
        command: A shell line. $MENDLOOP_BRIEF and $MENDLOOP_BRIEF_JSON name its brief.
        timeout_seconds: It is ended after this long, and the step counts as failed.
    """

    command: str
    timeout_seconds: float = 3600.0


class Steps:
    """The steps of one run, each begun, run and recorded under its lease."""

    def __init__(
        self,
        lease: RunLease,
        runner: Runner,
        *,
        reviewers: tuple[Reviewer, ...],
        fixer: Fixer,
        tree: Path,
        brief_dir: Path,
        record_child: Callable[[Child | None], Awaitable[None]],
        clock: Clock,
        observer: Observer,
    ) -> None:
        """
        Work under *lease*.

        Args:
            record_child: Keeps who is about to run, durably, before it may begin.
            observer: Told what happens.
        """
        self._lease = lease
        self._runner = runner
        self._reviewers = reviewers
        self._fixer = fixer
        self._tree = tree
        self._brief_dir = brief_dir
        self._record_child = record_child
        self._clock = clock
        self._observe = observer

    async def take(
        self, state: RemediationState, step: Take, *, seconds_left: float | None
    ) -> None:
        """
        Take *step* of the task as it is in *state*, and record its result.

        Args:
            seconds_left: Of the task's time budget. No command runs on after them, nor begins.

        Raises:
            RunError: A command is not found or not executable, which no other attempt would change;
                or something of the runner's own failed.
        """
        deadline = None if seconds_left is None else self._clock.monotonic_seconds() + seconds_left
        tree = await tree_revision(self._tree)
        reach("tree-read")
        await self._lease.begin_step(step.kind, tree)
        reach("step-begun")
        if step.kind is StepKind.REVIEW:
            await self._review(state, step, deadline)
        else:
            await self._fix(state, step, deadline)

    async def _review(self, state: RemediationState, step: Take, deadline: float | None) -> None:
        started = self._clock.monotonic_seconds()
        reports: list[Report] = []
        unrunnable = ""
        for reviewer in self._reviewers:
            report, is_unrunnable = await self._review_once(state, step, reviewer, deadline)
            reports.append(report)
            if is_unrunnable:
                unrunnable = report.problem
                break
        reach("reports-read")
        tree = await tree_revision(self._tree)
        counts = await self._lease.record_review(tuple(reports), tree=tree)
        reach("review-recorded")
        problems = [f"{r.reviewer}: {r.problem}" for r in reports if not r.is_complete]
        self._observe(
            ReviewDone(
                task_id=state.task_id,
                iteration=state.iteration,
                open=counts["open"],
                new=counts["new"],
                resolved=counts["resolved"],
                reopened=counts["reopened"],
                seconds=self._clock.monotonic_seconds() - started,
                problem="; ".join(problems),
            )
        )
        _refuse_unrunnable(state, step, unrunnable)

    async def _review_once(
        self, state: RemediationState, step: Take, reviewer: Reviewer, deadline: float | None
    ) -> tuple[Report, bool]:
        """What *reviewer* reports, and whether its command cannot be run."""
        known_format = _known_format(state, reviewer.name)
        timeout_seconds = self._shorter(reviewer.timeout_seconds, deadline)
        if timeout_seconds <= 0:
            report = Report(
                reviewer=reviewer.name,
                format=reviewer.format or known_format or "text",
                findings=(),
                is_complete=False,
                problem=_NO_TIME,
            )
            return report, False
        outcome = await self._run(
            state,
            step,
            StepCommand(
                name=reviewer.name,
                command=reviewer.command,
                cwd=self._tree,
                environment=_environment(state),
                timeout_seconds=timeout_seconds,
                kind=StepKind.REVIEW,
            ),
        )
        report = await asyncio.to_thread(
            read_outcome, outcome, reviewer, tree=self._tree, known_format=known_format
        )
        return report, outcome.is_unrunnable

    async def _fix(self, state: RemediationState, step: Take, deadline: float | None) -> None:
        seconds, problem, is_unrunnable = 0.0, _NO_TIME, False
        findings = await self._lease.open_findings(state)
        timeout_seconds = self._shorter(self._fixer.timeout_seconds, deadline)
        if timeout_seconds > 0:
            outcome = await self._run(
                state,
                step,
                StepCommand(
                    name="fix",
                    command=self._fixer.command,
                    cwd=self._tree,
                    environment=_environment(state) | self._write_brief(state, findings),
                    timeout_seconds=timeout_seconds,
                    kind=StepKind.FIX,
                ),
            )
            seconds, is_unrunnable = outcome.duration_seconds, outcome.is_unrunnable
            problem = outcome.problem and with_tail(outcome.problem, outcome.stderr_tail)
        tree = await tree_revision(self._tree)
        is_changed = await self._lease.record_fix(tree=tree, problem=problem)
        reach("fix-recorded")
        self._observe(
            FixDone(
                task_id=state.task_id,
                iteration=state.iteration,
                is_tree_changed=is_changed,
                seconds=seconds,
                problem=problem,
            )
        )
        _refuse_unrunnable(state, step, problem if is_unrunnable else "")

    async def _run(self, state: RemediationState, step: Take, command: StepCommand) -> StepOutcome:
        self._observe(
            StepStarted(
                task_id=state.task_id,
                iteration=state.iteration,
                step=step.kind,
                name=command.name,
                attempt=step.attempt,
            )
        )

        async def on_start(child: Child) -> None:
            reach("command-spawned")
            await self._record_child(child)
            reach("command-recorded")

        def on_output(stream: str, line: str) -> None:
            self._observe(
                Output(task_id=state.task_id, name=command.name, stream=stream, line=line)
            )

        outcome = await self._runner.run(command, on_start=on_start, on_output=on_output)
        reach("command-ended")
        await self._record_child(None)
        return outcome

    def _shorter(self, timeout_seconds: float, deadline: float | None) -> float:
        """What a command may take that begins now."""
        if deadline is None:
            return timeout_seconds
        return min(timeout_seconds, deadline - self._clock.monotonic_seconds())

    def _write_brief(
        self, state: RemediationState, findings: Iterable[FeedbackEntry]
    ) -> dict[str, str]:
        """Put the brief into files: review text reaches the fixer in no other way."""
        brief = make_brief(state, findings)
        markdown, data = self._brief_dir / "brief.md", self._brief_dir / "brief.json"
        try:
            self._brief_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            markdown.write_bytes(brief.markdown)
            data.write_bytes(brief.json)
        except OSError as error:
            raise RunError(
                f"cannot write the brief into {self._brief_dir}: {error.strerror}",
                task_id=state.task_id,
            ) from error
        return {"MENDLOOP_BRIEF": str(markdown), "MENDLOOP_BRIEF_JSON": str(data)}


def _refuse_unrunnable(state: RemediationState, step: Take, problem: str) -> None:
    if problem:
        raise RunError(
            f"task {state.task_id}: the {step.kind} cannot be run: {problem}; put that right, then "
            "run the same again",
            task_id=state.task_id,
        )


def _environment(state: RemediationState) -> dict[str, str]:
    return {
        "MENDLOOP_TASK": state.task_id,
        "MENDLOOP_ITERATION": str(state.iteration),
        "MENDLOOP_MAX_ITERATIONS": str(state.ledger.settings.max_iterations),
    }


def _known_format(state: RemediationState, reviewer: str) -> str | None:
    source = state.ledger.sources.get(reviewer)
    return source.format if source else None
