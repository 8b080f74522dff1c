"""What stands in the store after our operations, as the specification's reader sees it."""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta, timezone
from typing import Any

import pytest
from drive import finding, report
from faulty_store import FaultyStore
from msgspec.structs import replace
from spec_reader import NotReadable, drop_neighbour_duplicates, read_state
from states import NOW, entry, holder, rich_state, state, with_unknown_members

from mendloop.core import commands
from mendloop.core.codec import encode_state, rfc3339
from mendloop.core.errors import StateError
from mendloop.core.model import Ledger, RemediationState, Settings
from mendloop.core.run import Child
from mendloop.core.vocabulary import IssueType, Severity, StepKind, StopReason
from mendloop.manager import StateManager

Operation = Callable[[StateManager], Awaitable[Any]]
_HEAD = ("head", "task-t-state")


async def stored(store: FaultyStore) -> bytes:
    """The bytes of the task."""
    document = await store.get(*_HEAD)
    assert document is not None
    read = read_state(document.body)
    assert str(read["iteration"]) == document.fields["iteration"]
    assert (read["task_id"], read["last_update"]) == (
        document.fields["task_id"],
        document.fields["last_update"],
    )
    return document.body


def submit(command: commands.Command) -> Operation:
    """Ask for one command."""
    return lambda manager: manager.submit("t", command)


async def put_back(manager: StateManager) -> None:
    """Read the whole state and write it again."""
    read = await manager.get_state("t")
    assert read is not None
    await manager.create_or_update_state(read)


GENERATION = 4
CHILD = Child(boot_id="b", pid_namespace="n", pid=1, start_ticks=2, token="t")  # noqa: S106
TAKE = submit(commands.AcquireLease(holder=holder("mine"), ttl_seconds=30.0, boottime_seconds=1.0))
OPERATIONS: dict[str, Operation] = {
    "append": lambda manager: manager.append_feedback("t", entry("c9"), entry("c2")),
    "edit": lambda manager: manager.append_feedback("t", entry("c2", description="other")),
    "pause": lambda manager: manager.pause("t", reason="r"),
    "resume": lambda manager: manager.resume("t", max_iterations=50),
    "stop": lambda manager: manager.stop("t", reason="r"),
    "put": put_back,
    "take": TAKE,
    "renew": submit(commands.RenewLease(generation=GENERATION, boottime_seconds=1.0)),
    "child": submit(commands.RecordChild(generation=GENERATION, child=CHILD)),
    "no child": submit(commands.RecordChild(generation=GENERATION, child=None)),
    "configure": submit(
        commands.Configure(settings=Settings(max_iterations=30), generation=GENERATION)
    ),
    "increment": submit(commands.Increment(generation=GENERATION)),
    "begin": submit(commands.BeginStep(generation=GENERATION, kind=StepKind.REVIEW, tree="x")),
    "review": submit(
        commands.RecordReview(generation=GENERATION, reports=(report("a", reviewer="ruff"),))
    ),
    "begin fix": submit(commands.BeginStep(generation=GENERATION, kind=StepKind.FIX, tree="x")),
    "fix": submit(commands.RecordFix(generation=GENERATION, tree="y")),
    "finish": submit(
        commands.Finish(generation=GENERATION, reason=StopReason.NO_PROGRESS, detail="d")
    ),
    "release": submit(commands.ReleaseLease(generation=GENERATION)),
}

_RUNNING = ("take", "resume")
_NEEDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("renew", "child", "no child", "configure", "release"), ("take",)),
    **dict.fromkeys(("increment", "begin", "finish"), _RUNNING),
    "review": (*_RUNNING, "begin"),
    "begin fix": (*_RUNNING, "begin", "review"),
    "fix": (*_RUNNING, "begin", "review", "begin fix"),
}
# What a member stands in may end with an operation, and what others put there ends with it.
_ENDS = {
    "pause": {"resume", "stop"},
    "step": {"increment", "stop", "finish", "review"},
}


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.damages
async def test_what_others_wrote_survives_each_operation(
    store: FaultyStore, manager: StateManager, name: str
) -> None:
    """Unknown members at every level are there, byte for byte, after each of our operations."""
    raw, added = with_unknown_members(encode_state(rich_state()))
    fields = {"task_id": "t", "iteration": "1", "last_update": rfc3339(NOW)}
    await store.create(*_HEAD, raw, fields=fields, labels={"task-id": "t"})
    done = (*_NEEDS.get(name, ()), name)
    for each in done:
        await OPERATIONS[each](manager)
    ledger = json.loads(raw)["mendloop"]
    gone = {
        f'"{key}"'.encode()
        for place, ending in _ENDS.items()
        for key in ledger[place]
        if key.startswith("other_") and ending & set(done)
    }
    written = await stored(store)
    lost = {member.partition(b":")[0] for member in added if member not in written}
    assert gone == lost
    assert len(added) >= 14


async def test_every_kind_of_operation_leaves_what_the_specification_reads(
    store: FaultyStore, manager: StateManager
) -> None:
    """Eight fields and seven, none null, of their types; and nothing that looks like a duplicate."""
    await manager.create_task("t")
    zone = timezone(timedelta(hours=3))
    texts = ["плохо", "a\x00\x1b[31m\u202e", "b\ud800", "a" * 10_000, '"\\\n', "c\u2028"]
    steps: list[Operation] = [
        lambda m: m.increment_iteration("t"),
        lambda m: m.append_feedback(
            "t",
            *(
                entry(text, description=text, author=text, timestamp=NOW.astimezone(zone))
                for text in texts
            ),
        ),
        lambda m: m.append_feedback("t", *(entry("", description=f"d{n}") for n in range(3))),
        lambda m: m.append_feedback(
            "t", *(entry(f"s{s}{i}", severity=s, issue_type=i) for s in Severity for i in IssueType)
        ),
        put_back,
        TAKE,
        submit(commands.BeginStep(generation=1, kind=StepKind.REVIEW, tree="x")),
        submit(
            commands.RecordReview(
                generation=1,
                reports=tuple(
                    report(
                        findings=(finding(text, description=text, rule=text, path=text),),
                        reviewer=text,
                    )
                    for text in texts
                ),
            )
        ),
        submit(commands.BeginStep(generation=1, kind=StepKind.FIX, tree="x")),
        *(
            step
            for text in texts
            for step in (
                submit(commands.RecordFix(generation=1, tree="x", problem=f"p {text}")),
                submit(commands.BeginStep(generation=1, kind=StepKind.FIX, tree="x")),
            )
        ),
        lambda m: m.pause("t", reason=texts[1]),
        lambda m: m.resume("t"),
        lambda m: m.stop("t", reason=texts[2]),
        lambda m: m.resume("t", max_iterations=11),
    ]
    for step in steps:
        await step(manager)
        read = read_state(await stored(store))
        history = read["feedback_history"]
        assert history == drop_neighbour_duplicates(history)
        ids = [e["pr_comment_id"] for e in history]
        assert len(set(ids)) == len(ids)
        assert "" not in ids
    assert 6 + 3 + 20 + 6 == len(await manager.get_feedback_history("t")) > len(history)


@pytest.mark.other_hands
async def test_a_state_of_the_specifications_writer_is_taken_over(
    store: FaultyStore, manager: StateManager
) -> None:
    """Pretty-printed, with nanoseconds and an offset spelled out, and without a member of ours."""
    document = json.loads(encode_state(state(iteration=2, status="InProgress")))
    document["last_update"] = "2025-01-01T00:00:00.123456789+00:00"
    document["feedback_history"] = [
        json.loads(json.dumps(vars_of)) | {"timestamp": "2025-01-01T00:00:00.123456789+00:00"}
        for vars_of in json.loads(encode_state(state(feedback_history=(entry("c1"),))))[
            "feedback_history"
        ]
    ]
    await store.create(*_HEAD, json.dumps(document, indent=2).encode(), labels={"task-id": "t"})
    assert 3 == await manager.increment_iteration("t")
    read = read_state(await stored(store))
    assert document["feedback_history"] == read["feedback_history"]


async def test_random_operations_leave_a_readable_state(
    store: FaultyStore, manager: StateManager, scaled: Callable[[int, int], int]
) -> None:
    """In whatever order they come, refused or not, what is stored is always readable."""
    dice = random.Random(11)
    await manager.create_task("t", settings=Settings(max_iterations=40))
    refused = 0
    for _ in range(scaled(3000, 300)):
        name = dice.choice(list(OPERATIONS))
        state_now = await manager.get_state("t")
        assert state_now is not None
        assert isinstance(state_now.mendloop, Ledger)
        try:
            await _for_generation(OPERATIONS[name], name, state_now, manager)
        except StateError:
            refused += 1
        read = read_state(await stored(store))
        assert read["iteration"] >= state_now.iteration
    assert 0 < refused < scaled(3000, 300)


async def _for_generation(
    operation: Operation, name: str, now: RemediationState, manager: StateManager
) -> None:
    """Do *operation* as the present holder, where it is one for a holder."""
    assert isinstance(now.mendloop, Ledger)

    generation = now.mendloop.lease.generation

    class AsHolder:
        async def submit(self, task_id: str, command: Any) -> Any:
            if hasattr(command, "generation"):
                command = replace(command, generation=generation)
            return await manager.submit(task_id, command)

    is_free = name in {"append", "edit", "pause", "resume", "stop", "put"}
    asked: Any = manager if is_free else AsHolder()
    await operation(asked)


@pytest.mark.parametrize(
    "raw",
    [
        encode_state(state()).replace(b'"iteration":0', b'"iteration":null'),
        encode_state(state()).replace(b'"iteration":0,', b""),
        encode_state(state()).replace(b'"iteration":0', b'"iteration":4294967296'),
        encode_state(state(metadata={"a": "b"})).replace(b'"b"', b"1"),
        encode_state(state()).replace(b"Initialized", b"initialized"),
        encode_state(state()).replace(rfc3339(NOW).encode(), b"2026-03-04T05:06:07+01:00"),
        encode_state(state()).replace(b'"version":"v1"', b'"version":"v1","version":"v1"'),
    ],
)
def test_the_specifications_reader_is_strict(raw: bytes) -> None:
    """The reader that these tests rely on does refuse what a serde reader refuses."""
    with pytest.raises(NotReadable):
        read_state(raw)
