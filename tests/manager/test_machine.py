"""The manager on each store and a model in plain dicts, driven side by side: no difference."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from controlplane.cluster import Cluster
from drive import report
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from msgspec.structs import replace
from plain_model import Answer, PlainModel
from spec_reader import read_state
from states import NOW, entry, holder

from mendloop.core import commands
from mendloop.core.commands import Command
from mendloop.core.errors import StateError
from mendloop.core.model import Finding, Ledger, RemediationState, Settings
from mendloop.core.vocabulary import CommentEvent, StepKind, StopReason
from mendloop.kube.access import load_access
from mendloop.manager import StateManager
from mendloop.stores.configmap import open_configmaps
from mendloop.stores.port import Store
from mendloop.stores.sqlite import open_sqlite

OpenTwo = Callable[[], Coroutine[Any, Any, list[Store]]]
_T = TypeVar("_T")
_TASKS = st.sampled_from(["a", "a", "a", "b"])
_NAMES = st.lists(st.sampled_from("xyz"), max_size=3, unique=True)
_LIMITS = st.none() | st.integers(0, 12)
_MANAGERS = st.integers(0, 1)
_MISSES = st.sampled_from([0, 0, 0, 0, 1, -1])
"""Mostly the generation that holds; now and then another."""
_Told = tuple[str, str, CommentEvent]
_HEARD: st.SearchStrategy[tuple[str, int, _Told | None]] = st.tuples(
    st.sampled_from(["", "a1", "b2"]),
    st.integers(0, 1),
    st.none()
    | st.tuples(
        st.sampled_from(["d1", "d1", "d2"]),
        st.sampled_from(["one", "two"]),
        st.sampled_from(["created", "edited", "edited", "deleted"]).map(CommentEvent),
    ),
)
"""A commit, a minute, and a comment: or None where the commit is the tip."""
_ABANDONED = st.none() | st.integers(0, 1)


class _Asked(NamedTuple):
    """One operation, as both were asked for it."""

    task_id: str
    name: str
    command: Command
    asked: dict[str, Any]
    op_id: str


class SideBySide(RuleBasedStateMachine):
    """Every operation is asked of both, by one of two managers on one storage."""

    def __init__(self, open_two: OpenTwo) -> None:
        super().__init__()
        self._open_two = open_two
        self._runner = asyncio.Runner()
        self._model = PlainModel()
        self._read: dict[str, RemediationState] = {}
        self._last: _Asked | None = None
        self._count = 0

    @initialize()
    def open(self) -> None:
        """Open an empty storage twice."""
        self._stores = self._do(self._open_two())
        self._managers = [StateManager(store, by="ann") for store in self._stores]

    def teardown(self) -> None:
        """Have the records verified, and close what was opened."""
        for task_id in self._model.tasks:
            assert () == self._do(self._managers[0].verify_records(task_id)).flaws
        for manager, store in zip(self._managers, self._stores, strict=True):
            self._do(manager.close())
            self._do(store.close())
        self._runner.close()

    def _do(self, asked: Coroutine[Any, Any, _T]) -> _T:
        return self._runner.run(asked)

    def _ask(self, which: int, task_id: str, name: str, command: Command, **asked: Any) -> None:
        self._count += 1
        self._last = _Asked(task_id, name, command, asked, f"op{self._count}")
        self._compare(which, self._last)

    def _compare(self, which: int, last: _Asked) -> None:
        expected = self._model.ask(last.task_id, last.name, last.op_id, **last.asked)
        assert expected == self._do(self._submit(which, last))

    async def _submit(self, which: int, last: _Asked) -> Answer:
        manager = self._managers[which]
        try:
            return "ok", await manager.submit(last.task_id, last.command, op_id=last.op_id)
        except StateError as error:
            return type(error).__name__, None

    def _generation(self, task_id: str, miss: int) -> int:
        task = self._model.tasks.get(task_id)
        return max((task["generation"] if task else 1) + miss, 0)

    @rule(which=_MANAGERS, task_id=_TASKS, limit=st.integers(1, 12))
    def create(self, which: int, task_id: str, limit: int) -> None:
        """Make a task."""
        command = commands.Create(settings=Settings(max_iterations=limit))
        self._ask(which, task_id, "create", command, limit=limit)

    @rule(which=_MANAGERS, task_id=_TASKS, miss=st.none() | _MISSES, limit=_LIMITS)
    def increment(self, which: int, task_id: str, miss: int | None, limit: int | None) -> None:
        """Start an iteration, as a person or as the holder."""
        generation = None if miss is None else self._generation(task_id, miss)
        command = commands.Increment(generation=generation, max_iterations=limit)
        self._ask(which, task_id, "increment", command, generation=generation, limit=limit)

    @rule(
        which=_MANAGERS,
        task_id=_TASKS,
        entries=st.lists(
            st.tuples(st.sampled_from(["c1", "c2", "c3"]), st.sampled_from(["one", "two"])),
            min_size=1,
            max_size=3,
        ),
    )
    def append(self, which: int, task_id: str, entries: list[tuple[str, str]]) -> None:
        """Add findings of a person."""
        made = tuple(entry(name, description=text) for name, text in entries)
        command = commands.AppendFeedback(entries=made)
        self._ask(which, task_id, "append", command, entries=entries)

    @rule(which=_MANAGERS, task_id=_TASKS, heard=st.lists(_HEARD, min_size=1, max_size=6))
    def hear(self, which: int, task_id: str, heard: list[tuple[str, int, _Told | None]]) -> None:
        """What a forge says, late and in any order: which commit is the tip, what became of a comment."""
        for commit, minute, told in heard:
            at = NOW + timedelta(minutes=minute)
            if told is None:
                tip = commands.RecordTip(commit=commit or "a1", at=at)
                self._ask(which, task_id, "tip", tip, commit=tip.commit, minute=minute)
                continue
            name, text, event = told
            comment = commands.RecordComment(
                entry=entry(name, description=text), event=event, at=at, commit=commit
            )
            self._ask(which, task_id, "comment", comment, told=told, minute=minute, commit=commit)
            self.compare()

    @rule(which=_MANAGERS, task_id=_TASKS)
    def pause(self, which: int, task_id: str) -> None:
        """Pause."""
        self._ask(which, task_id, "pause", commands.Pause(reason="r"))

    @rule(which=_MANAGERS, task_id=_TASKS, limit=_LIMITS)
    def resume(self, which: int, task_id: str, limit: int | None) -> None:
        """Resume."""
        self._ask(which, task_id, "resume", commands.Resume(max_iterations=limit), limit=limit)

    @rule(which=_MANAGERS, task_id=_TASKS)
    def stop(self, which: int, task_id: str) -> None:
        """Stop."""
        self._ask(which, task_id, "stop", commands.Stop(reason="r"))

    @rule(which=_MANAGERS, task_id=_TASKS, token=st.sampled_from(["t1", "t2"]), judged=_ABANDONED)
    def acquire(self, which: int, task_id: str, token: str, judged: int | None) -> None:
        """Take the lease, or take it over."""
        task = self._model.tasks.get(task_id, {"generation": 1, "renewals": 0})
        mark = None if judged is None else (task["generation"], task["renewals"] - judged)
        command = commands.AcquireLease(
            holder=holder(token), ttl_seconds=30.0, boottime_seconds=1.0, abandoned=mark
        )
        self._ask(which, task_id, "acquire", command, token=token, abandoned=mark)

    @rule(which=_MANAGERS, task_id=_TASKS, miss=_MISSES)
    def renew(self, which: int, task_id: str, miss: int) -> None:
        """Send a heartbeat."""
        generation = self._generation(task_id, miss)
        command = commands.RenewLease(generation=generation, boottime_seconds=1.0)
        self._ask(which, task_id, "renew", command, generation=generation)

    @rule(which=_MANAGERS, task_id=_TASKS, miss=_MISSES)
    def release(self, which: int, task_id: str, miss: int) -> None:
        """Give the lease back."""
        generation = self._generation(task_id, miss)
        command = commands.ReleaseLease(generation=generation)
        self._ask(which, task_id, "release", command, generation=generation)

    @rule(which=_MANAGERS, task_id=_TASKS, miss=_MISSES, is_wanted=st.booleans())
    def begin(self, which: int, task_id: str, miss: int, *, is_wanted: bool) -> None:
        """Begin a step, mostly the one that is due."""
        due = self._model.tasks.get(task_id, {}).get("step") or "review"
        kind = due if is_wanted else {"review": "fix", "fix": "review"}[due]
        generation = self._generation(task_id, miss)
        command = commands.BeginStep(generation=generation, kind=StepKind(kind), tree="x")
        self._ask(which, task_id, "begin", command, generation=generation, kind=kind)

    @rule(which=_MANAGERS, task_id=_TASKS, miss=_MISSES, names=_NAMES, is_complete=st.booleans())
    def review(
        self, which: int, task_id: str, miss: int, names: list[str], *, is_complete: bool
    ) -> None:
        """Hand in a review."""
        generation = self._generation(task_id, miss)
        command = commands.RecordReview(
            generation=generation,
            reports=(report(*names, is_complete=is_complete, problem="" if is_complete else "p"),),
        )
        asked = {"generation": generation, "names": names, "is_complete": is_complete}
        self._ask(which, task_id, "review", command, **asked)

    @rule(which=_MANAGERS, task_id=_TASKS, miss=_MISSES, problem=st.sampled_from(["", "exit 1"]))
    def fix(self, which: int, task_id: str, miss: int, problem: str) -> None:
        """Hand in a fix."""
        generation = self._generation(task_id, miss)
        command = commands.RecordFix(generation=generation, tree="y", problem=problem)
        self._ask(which, task_id, "fix", command, generation=generation, problem=problem)

    @rule(which=_MANAGERS, task_id=_TASKS, miss=_MISSES, reason=st.sampled_from(StopReason))
    def finish(self, which: int, task_id: str, miss: int, reason: StopReason) -> None:
        """End the task as the holder."""
        if reason is StopReason.TERMINATED:
            return
        generation = self._generation(task_id, miss)
        command = commands.Finish(generation=generation, reason=reason, detail="d")
        self._ask(which, task_id, "finish", command, generation=generation, reason=reason)

    @rule(which=_MANAGERS, task_id=_TASKS)
    def read(self, which: int, task_id: str) -> None:
        """Read a state, to be put back later, fresh or stale."""
        state = self._do(self._managers[which].get_state(task_id))
        if state is not None:
            self._read[task_id] = state

    @rule(which=_MANAGERS, task_id=_TASKS, name=st.sampled_from("kl"), step=st.integers(-1, 1))
    def put(self, which: int, task_id: str, name: str, step: int) -> None:
        """Put back what was read, changed."""
        state = self._read.get(task_id)
        if state is None:
            return
        assert isinstance(state.mendloop, Ledger)
        changed = replace(
            state,
            metadata=state.metadata | {name: "v"},
            iteration=max(state.iteration + step, 0),
        )
        self._ask(
            which,
            task_id,
            "put",
            commands.PutState(state=changed),
            seen=state.mendloop.commit,
            metadata={name: "v"},
            iteration=changed.iteration,
        )

    @rule(
        which=_MANAGERS,
        turns=st.lists(st.tuples(_NAMES, st.booleans(), st.booleans()), min_size=1, max_size=6),
    )
    def work(self, which: int, turns: list[tuple[list[str], bool, bool]]) -> None:
        """What a run does: take what is due, a few times in a row."""
        for names, is_complete, is_good in turns:
            task = self._model.tasks.get("a")
            if task is None:
                self.create(which, "a", 10)
            elif task["status"] in {"Completed", "Failed", "MaxIterationsReached"}:
                self.resume(which, "a", task["iteration"] + 3)
            elif task["paused"]:
                self.resume(which, "a", None)
            elif task["holder"] is None:
                self.acquire(which, "a", "t1", None)
            elif task["step"] is None:
                self.increment(which, "a", 0, None)
            elif not task["begun"]:
                self.begin(which, "a", 0, is_wanted=True)
            elif task["step"] == "review":
                self.review(which, "a", 0, names, is_complete=is_complete)
            else:
                self.fix(which, "a", 0, "" if is_good else "exit 1")
            if not is_good:
                self.send_again(1 - which)
            self.compare()

    @rule(which=_MANAGERS)
    def send_again(self, which: int) -> None:
        """The last operation once more, with its operation id, to either manager."""
        if self._last is not None:
            self._compare(which, self._last)

    @rule()
    def restart(self) -> None:
        """A new process: nothing remembered but the storage."""
        self._do(self._managers[0].close())
        self._managers[0] = StateManager(self._stores[0], by="bea")

    @invariant()
    def compare(self) -> None:
        """What is stored is what the model says, and the specification reads it."""
        for task_id, task in self._model.tasks.items():
            document = self._do(self._stores[1].get("head", f"task-{task_id}-state"))
            assert document is not None
            read_state(document.body)
            state = self._do(self._managers[1].get_state(task_id))
            assert state is not None
            assert task == _plain(state)


def _plain(state: RemediationState) -> dict[str, Any]:
    ledger = state.mendloop
    assert isinstance(ledger, Ledger)
    last = ledger.rounds[-1] if ledger.rounds else None
    findings = {}
    for found in state.feedback_history:
        assert isinstance(found.mendloop, Finding)
        is_tool = found.mendloop.source != "person"
        key = f"tool {found.description[-1]}" if is_tool else found.pr_comment_id
        findings[key] = [found.description, found.resolved]
    return {
        "iteration": state.iteration,
        "status": str(state.status),
        "limit": ledger.settings.max_iterations,
        "paused": ledger.pause is not None,
        "reason": None if ledger.stop_reason is None else str(ledger.stop_reason),
        "findings": findings,
        "tip": ledger.tips[-1].commit if ledger.tips else None,
        "metadata": {k: v for k, v in state.metadata.items() if len(k) == 1},
        "holder": ledger.lease.holder.token if ledger.lease.holder else None,
        "generation": ledger.lease.generation,
        "renewals": ledger.lease.renewals,
        "step": None if ledger.step is None else str(ledger.step.kind),
        "begun": ledger.step is not None and ledger.step.begun_at is not None,
        "rounds": len(ledger.rounds),
        "reviewed": last.iteration if last else None,
        "seen_whole": last.iteration if last and last.is_complete else None,
        "commit": ledger.commit,
    }


def drive(open_two: OpenTwo) -> None:
    """Run the machine: 500 times 50 steps in a soak, about a tenth otherwise."""
    is_soak = settings().max_examples > 100
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        lambda: SideBySide(open_two),
        settings=settings(
            max_examples=500 if is_soak else 50,
            stateful_step_count=50 if is_soak else 30,
        ),
    )


def test_sqlite_does_what_the_model_does(tmp_path: Path) -> None:
    """Two managers on one file, each with a handle of its own."""
    numbers = itertools.count()

    async def open_two() -> list[Store]:
        path = tmp_path / f"{next(numbers)}.db"
        return [await open_sqlite(path) for _ in range(2)]

    drive(open_two)


def test_configmaps_do_what_the_model_does(control_plane: Cluster, tmp_path: Path) -> None:
    """Two managers in one namespace, each with a session of its own, one of them watching."""

    async def open_two() -> list[Store]:
        config = control_plane.kubeconfig(tmp_path / "config", namespace=control_plane.namespace())
        ways = [await load_access(kubeconfig=str(config)) for _ in range(2)]
        return [open_configmaps(way, is_watching=n == 0) for n, way in enumerate(ways)]

    drive(open_two)
