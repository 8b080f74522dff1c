"""Every command, drawn by Hypothesis, with values that meet the states of `states`."""

from __future__ import annotations

from datetime import timedelta

from drive import report
from hypothesis import strategies as st
from states import NOW, entry, holder

from mendloop.core import commands
from mendloop.core.model import Settings
from mendloop.core.run import Child
from mendloop.core.vocabulary import CommentEvent, Life, StepKind, StopReason

__all__ = ["COMMANDS"]

_GENERATIONS = st.integers(0, 3)
_CHILD = Child(boot_id="b", pid_namespace="n", pid=1, start_ticks=2, token="t")  # noqa: S106
_LIMITS = st.none() | st.integers(-1, 30) | st.just(2**32)
_REPORTS = st.lists(
    st.builds(
        lambda names, reviewer, is_complete: report(
            *sorted(names), reviewer=reviewer, is_complete=is_complete
        ),
        st.frozensets(st.sampled_from("abc")),
        st.sampled_from(["lint", "tests", "person"]),
        st.booleans(),
    ),
    max_size=2,
).map(tuple)
COMMANDS: st.SearchStrategy[commands.Command] = st.one_of(
    st.builds(commands.Create),
    st.builds(
        commands.Configure,
        settings=st.builds(Settings, max_iterations=st.integers(0, 20)),
        generation=_GENERATIONS,
    ),
    st.builds(commands.Increment, generation=st.none() | _GENERATIONS, max_iterations=_LIMITS),
    st.builds(
        commands.AppendFeedback,
        entries=st.lists(
            st.builds(entry, st.sampled_from(["", "a", "b"]), description=st.text(max_size=5)),
            max_size=3,
        ).map(tuple),
        commit=st.sampled_from(["", "a1", "b2", "none"]),
    ),
    st.builds(
        commands.RecordComment,
        entry=st.builds(
            entry, st.sampled_from(["", " ", "a", "b"]), description=st.text(max_size=5)
        ),
        event=st.sampled_from(CommentEvent),
        at=st.sampled_from([NOW, NOW + timedelta(days=1)]),
        commit=st.sampled_from(["", "a1", "b2", "none"]),
    ),
    st.builds(
        commands.RecordTip,
        commit=st.sampled_from(["a1", "b2", "c3", "none"]),
        at=st.none() | st.sampled_from([NOW, NOW + timedelta(days=1)]),
    ),
    st.builds(
        commands.Judge,
        life=st.sampled_from(Life),
        names=st.lists(st.sampled_from(["a", "b", "person:", "sarif:"]), max_size=2).map(tuple),
        reason=st.text(max_size=5),
    ),
    st.builds(commands.Pause, reason=st.text(max_size=5)),
    st.builds(commands.Resume, max_iterations=_LIMITS),
    st.builds(commands.Stop, reason=st.text(max_size=5)),
    st.builds(
        commands.BeginStep,
        generation=_GENERATIONS,
        kind=st.sampled_from(StepKind),
        tree=st.just("x"),
    ),
    st.builds(commands.RecordReview, generation=_GENERATIONS, reports=_REPORTS),
    st.builds(
        commands.RecordFix,
        generation=_GENERATIONS,
        tree=st.just("y"),
        problem=st.sampled_from(["", "exit 1"]),
    ),
    st.builds(
        commands.Finish,
        generation=_GENERATIONS,
        reason=st.sampled_from(StopReason),
        detail=st.text(max_size=5),
    ),
    st.builds(
        commands.AcquireLease,
        holder=st.builds(holder, st.sampled_from(["t1", "t2"])),
        ttl_seconds=st.just(30.0),
        boottime_seconds=st.just(1.0),
        abandoned=st.none() | st.tuples(_GENERATIONS, st.integers(0, 2)),
    ),
    st.builds(commands.RenewLease, generation=_GENERATIONS, boottime_seconds=st.just(2.0)),
    st.builds(commands.RecordChild, generation=_GENERATIONS, child=st.none() | st.just(_CHILD)),
    st.builds(commands.ReleaseLease, generation=_GENERATIONS),
    st.builds(
        commands.Recover,
        repaired=st.tuples(st.text(max_size=5)),
        lost=st.lists(st.text(max_size=5), max_size=60).map(tuple),
        quarantined=st.just(()),
    ),
    st.builds(
        commands.Delete,
        reason=st.text(max_size=5),
        untouched_since=st.none() | st.just(NOW - timedelta(days=7)),
    ),
    st.builds(commands.Restore),
    st.builds(commands.BeginRemoval, deleted_until=st.just(NOW)),
    st.builds(commands.Bury, reason=st.text(max_size=5)),
    st.builds(commands.Hold, reason=st.text(max_size=5)),
    st.builds(commands.EndHold),
)
