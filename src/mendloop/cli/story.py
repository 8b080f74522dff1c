"""A task's history told: each change as a sentence, each iteration with what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

import msgspec

from mendloop.cli.words import counted
from mendloop.core.model import Change, Commit
from mendloop.core.records import Record
from mendloop.core.timing import Stopwatch, begins_iteration

__all__ = ["IterationStory", "Moment", "Story", "sentence", "tell"]

_UNTOLD = frozenset({"begin_step"})
_IDS_SHOWN = 3
_COUNTED = frozenset({"record_review", "record_fix"})
_RUN_DOORS = frozenset({"run"})


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened: when, what, by whom and by which door."""

    at: datetime
    what: str
    by: str
    door: str

    @property
    def is_from_outside(self) -> bool:
        """Whether somebody else than the run did it."""
        return self.door not in _RUN_DOORS


class IterationStory(msgspec.Struct, kw_only=True):
    """
    One iteration.

    Attributes:
        iteration: Its number.
        started_at: When it began.
        seconds: Until its last step was recorded, or the stop that cut it off.
        open: Findings open after its last review; None where none was accepted.
        new: Findings never seen before.
        resolved: Findings that were no longer reported.
        reopened: Findings that came back.
        is_tree_changed: Whether its fix changed the work tree; None where none was accepted.
        problems: What failed.
        moments: All that happened, in order.
    """

    iteration: int
    started_at: datetime
    seconds: float = 0.0
    open: int | None = None
    new: int = 0
    resolved: int = 0
    reopened: int = 0
    is_tree_changed: bool | None = None
    problems: list[str] = msgspec.field(default_factory=list)
    moments: list[Moment] = msgspec.field(default_factory=list)


class Story(msgspec.Struct, kw_only=True):
    """
    What happened in a task.

    Attributes:
        before: Before the first iteration.
        unplaced: In iterations whose beginning is missing, after commits that cannot be read.
        iterations: Each that is known to have begun.
    """

    before: list[Moment] = msgspec.field(default_factory=list)
    unplaced: list[Moment] = msgspec.field(default_factory=list)
    iterations: list[IterationStory] = msgspec.field(default_factory=list)


def tell(commits: Iterable[Commit]) -> Story:
    """Tell the story of *commits*, which are a task's, oldest first; some may be missing."""
    teller = _Teller()
    for commit in commits:
        teller.add(commit)
    return teller.story


def sentence(change: Change | Record) -> str:
    """Say in words what *change* did."""
    told = _SENTENCES.get(change.do)
    return told(change.facts) if told else change.do.replace("_", " ")


class _Teller:
    """Knows where what is told next belongs."""

    def __init__(self) -> None:
        self.story = Story()
        self._watch = Stopwatch()
        self._current: IterationStory | None = None
        self._moments = self.story.before

    def add(self, commit: Commit) -> None:
        if self._watch.take_up(commit):
            self._current, self._moments = None, self.story.unplaced
        for change in commit.changes:
            self._add(commit.at, change)

    def _add(self, at: datetime, change: Change) -> None:
        self._watch.see(at, change)
        if begins_iteration(change):
            self._current = IterationStory(iteration=change.facts["iteration"], started_at=at)
            self._moments = self._current.moments
            self.story.iterations.append(self._current)
        if change.do in _UNTOLD:
            return
        moment = Moment(at=at, what=sentence(change), by=change.by, door=change.door)
        self._moments.append(moment)
        if self._current is not None:
            self._current.seconds = self._watch.seconds
            if change.do in _COUNTED:
                _count(self._current, change)


def _count(current: IterationStory, change: Change) -> None:
    facts = change.facts
    if change.do == "record_review":
        current.new += facts.get("new", 0)
        current.resolved += facts.get("resolved", 0)
        current.reopened += facts.get("reopened", 0)
        if "problem" not in facts:
            current.open = facts.get("open", current.open)
    elif "problem" not in facts:
        current.is_tree_changed = bool(facts.get("is_tree_changed")) or bool(
            current.is_tree_changed
        )
    if facts.get("problem"):
        current.problems.append(str(facts["problem"]))


def _say_increment(facts: dict[str, Any]) -> str:
    if "limit" not in facts:
        return "a further iteration was refused: the limit is spent"
    return f"iteration {facts['iteration']} of at most {facts['limit']} began"


def _say_order(facts: dict[str, Any]) -> str:
    ordered = f"ordered from outside: {facts.get('order', '')}"
    if "refused" in facts:
        return f"{ordered}, which was refused: {facts['refused']}"
    return f"{ordered}: {facts['reason']}" if facts.get("reason") else ordered


def _say_review(facts: dict[str, Any]) -> str:
    counts = (
        f"{facts.get('open', 0)} open, {facts.get('new', 0)} new, "
        f"{facts.get('resolved', 0)} resolved, {facts.get('reopened', 0)} came back"
    )
    seldom = {
        "reworded": "in new words",
        "set_aside": "set aside and seen again",
        "outdated": "about an older commit",
    }
    counts += "".join(f", {facts[name]} {words}" for name, words in seldom.items() if name in facts)
    if facts.get("problem"):
        return f"review failed ({facts['problem']}): {counts}"
    return f"review: {counts}"


def _say_fix(facts: dict[str, Any]) -> str:
    if facts.get("problem"):
        return f"fix failed: {facts['problem'].removeprefix('fix: ')}"
    if not facts.get("is_tree_changed"):
        return "fix changed nothing"
    count = facts.get("addressed", 0)
    return (
        f"fix changed the work tree: {count} open counted as addressed"
        if count
        else "fix changed the work tree"
    )


def _say_judge(facts: dict[str, Any]) -> str:
    ids = facts.get("ids", [])
    more = f" and {len(ids) - _IDS_SHOWN} more" if len(ids) > _IDS_SHOWN else ""
    named = ", ".join(map(str, ids[:_IDS_SHOWN]))
    return f"{facts.get('life', 'judged')}: {named}{more}: {facts.get('reason', '')}"


def _say_resume(facts: dict[str, Any]) -> str:
    return f"resumed after {facts.get('from', '?')}{_raised(facts)}"


def _say_configure(facts: dict[str, Any]) -> str:
    return f"settings changed{_raised(facts)}"


def _raised(facts: dict[str, Any]) -> str:
    changes = [
        f"{name} {fact['from']} -> {fact['to']}"
        for name, fact in facts.items()
        if isinstance(fact, dict) and {"from", "to"} <= fact.keys()
    ]
    return f": {', '.join(changes)}" if changes else ""


def _say_feedback(facts: dict[str, Any]) -> str:
    counts = ", ".join(f"{count} {name}" for name, count in facts.items() if name != "known")
    return f"feedback: {counts or 'nothing new'}"


def _say_recover(facts: dict[str, Any]) -> str:
    lost = ", ".join(map(str, facts.get("lost", ())))
    source = facts.get("source")
    did = f"restored from {source}" if source else "repaired"
    return f"{did} at iteration {facts.get('iteration')}; lost: {lost or 'nothing'}"


def _say_acquire(facts: dict[str, Any]) -> str:
    holder, generation = facts.get("holder", "?"), facts.get("generation", "?")
    before = facts.get("taken_from")
    if before is None:
        return f"taken by {holder} (generation {generation})"
    by = f" by {holder}" if holder != before else ""
    return f"taken over from {before}{by} (generation {generation})"


def _say_release(facts: dict[str, Any]) -> str:
    return f"given back after {counted(facts.get('renewals', 0), 'heartbeat')}"


_SENTENCES: dict[str, Callable[[dict[str, Any]], str]] = {
    "create": lambda _: "created",
    "configure": _say_configure,
    "increment": _say_increment,
    "append_feedback": _say_feedback,
    "record_tip": lambda facts: f"the change is at commit {facts.get('tip', '?')}",
    "record_comment": lambda facts: (
        f"comment {facts.get('id', '?')} {facts.get('event', 'told')} by {facts.get('by', '?')}"
    ),
    "acquire_lease": _say_acquire,
    "release_lease": _say_release,
    "judge": _say_judge,
    "put_state": lambda facts: f"written whole by another program at {facts or 'its beginning'}",
    "change_outside": lambda facts: (
        f"changed by other hands: {facts.get('status')}, iteration {facts.get('iteration')}, "
        f"{facts.get('findings')} findings of which {facts.get('open')} are open"
    ),
    "order": _say_order,
    "pause": lambda facts: f"paused: {facts.get('reason', '')}",
    "resume": _say_resume,
    "stop": lambda facts: f"stopped: {facts.get('reason', '')}",
    "delete": lambda facts: f"deleted: {facts.get('reason', '')}",
    "restore": lambda _: "restored",
    "begin_removal": lambda _: "removal began",
    "bury": lambda facts: f"removal of what was left began: {facts.get('reason', '')}",
    "hold": lambda facts: f"held: {facts.get('reason', '')}",
    "end_hold": lambda _: "hold ended",
    "begin_step": lambda facts: f"{facts.get('step', 'step')} began",
    "record_review": _say_review,
    "record_fix": _say_fix,
    "recover": _say_recover,
    "finish": lambda facts: f"ended: {facts.get('stop_reason', '')}, {facts.get('detail', '')}",
}
