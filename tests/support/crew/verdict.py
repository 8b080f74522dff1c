"""Whether tasks hold what their clients were told, each thing once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec
from controlplane.history import Judge, Operation
from linearizable import goes_back, why_not

from crew.records import Seen, digests_of
from mendloop.core.model import Change, RemediationState
from mendloop.manager import StateManager

__all__ = ["Verdict", "judge_tasks"]


class Verdict(msgspec.Struct):
    """
    What was found.

    Attributes:
        faults: In words; none where all is well.
        ours: What our checker says of the history of the clients.
        theirs: What porcupine says of the same history.
        acknowledged: How many writes were answered.
        settled: How many of them were asked more than once.
        denied: How many were told that nothing was written, and were asked again as new ones.
        in_doubt: How many writes were never answered.
        peeks: How many reads of a cache there were.
    """

    faults: list[str]
    ours: str
    theirs: str
    acknowledged: int
    settled: int
    denied: int
    in_doubt: int
    peeks: int

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.faults or self.ours or self.theirs)


async def judge_tasks(
    manager: StateManager, task_ids: list[str], records: dict[str, Seen], judge: Judge
) -> Verdict:
    """Compare what is stored of tasks with what their clients were told."""
    faults: list[str] = []
    history: list[Operation] = []
    for task_id in task_ids:
        state = await manager.get_state(task_id)
        assert state is not None
        findings = await manager.get_feedback_history(task_id)
        changes = [change async for commit in manager.commits(state) for change in commit.changes]
        told = {name: seen for name, seen in records.items() if seen.asked.task_id == task_id}
        # From here on the state has all findings, those that have left the head too.
        state = msgspec.structs.replace(state, feedback_history=findings)
        faults += _wrong_numbers(told)
        faults += _wrong_findings(told, state)
        faults += _wrong_changes(told, changes, state)
        faults += _torn_looks(told, state)
        faults += goes_back(_by_life(told, state))
        history += _as_history(told, state)
    writes = [seen for seen in records.values() if seen.asked.is_write]
    answers = [seen.answer for seen in writes if seen.answer]
    return Verdict(
        faults=faults,
        ours=why_not(history),
        theirs=judge(history),
        acknowledged=len(answers),
        settled=sum(answer.tries > 1 for answer in answers),
        denied=sum(seen.is_denied for seen in writes),
        in_doubt=sum(seen.answer is None and not seen.is_denied for seen in writes),
        peeks=sum(seen.asked.doing == "peek" for seen in records.values() if seen.answer),
    )


def _as_history(records: dict[str, Seen], state: RemediationState) -> list[Operation]:
    """What the checkers are asked about: numbers, the places of findings, and what looks told."""
    places = {entry.pr_comment_id: n for n, entry in enumerate(state.feedback_history, 1)}
    history = []
    for name, seen in records.items():
        asked, answer = seen.asked, seen.answer
        if asked.doing == "peek" or (asked.doing == "look" and answer is None):
            continue
        if seen.is_denied or (asked.doing == "append" and answer is None and name not in places):
            continue  # it did nothing: so we were told, or else it would be there
        result: int | tuple[int, int] | None = None
        if answer is not None:
            looked = (answer.number, answer.findings)
            told = {"increment": answer.number, "append": places.get(name), "look": looked}
            result = told[asked.doing]
        history.append(
            Operation(
                op=asked.doing,
                call=asked.at,
                returned=answer.at if answer else None,
                result=result,
                key=asked.task_id,
                process=asked.process,
            )
        )
    return history


def _wrong_numbers(records: dict[str, Seen]) -> list[str]:
    told = [s.answer for s in records.values() if s.answer and s.asked.doing == "increment"]
    numbers = Counter(answer.number for answer in told)
    return [f"{number} was given {times} times" for number, times in numbers.items() if times > 1]


def _wrong_findings(records: dict[str, Seen], state: RemediationState) -> list[str]:
    stored = Counter(entry.pr_comment_id for entry in state.feedback_history)
    asked = {
        name
        for name, seen in records.items()
        if seen.asked.doing == "append" and not seen.is_denied
    }
    acknowledged = {name for name in asked if records[name].answer}
    found = [f"{name} is there {times} times" for name, times in stored.items() if times > 1]
    found += [f"{name} was acknowledged and is lost" for name in acknowledged - stored.keys()]
    return found + [f"nobody has brought {name}" for name in stored.keys() - asked]


def _wrong_changes(
    records: dict[str, Seen], changes: Sequence[Change], state: RemediationState
) -> list[str]:
    """The audit log has each operation once, with the result that its client was told."""
    times = Counter(change.op_id for change in changes)
    found = [f"{op_id} is recorded {n} times" for op_id, n in times.items() if n > 1]
    results = {change.op_id: change.result for change in changes}
    for name, seen in records.items():
        answer = seen.answer
        if seen.is_denied and name in results:
            found.append(f"{name} was denied and is recorded")
        if answer is None or not seen.asked.is_write:
            continue
        if name not in results:
            found.append(f"{name} was acknowledged and is not recorded")
        elif seen.asked.doing == "increment" and results[name] != {"iteration": answer.number}:
            found.append(f"{name} was told {answer.number}, and {results[name]} is recorded")
    increments = sum(change.do == "increment" for change in changes)
    if increments != state.iteration:
        found.append(f"{increments} increments are recorded, and the number is {state.iteration}")
    return found


def _torn_looks(records: dict[str, Seen], state: RemediationState) -> list[str]:
    """Whatever was seen of the findings is a beginning of what they are now."""
    digests = digests_of(state.feedback_history)
    looks = [(n, s.answer) for n, s in records.items() if s.answer and s.answer.digest]
    return [
        f"{name} saw {answer.findings} findings in another order"
        for name, answer in looks
        if answer.digest not in digests[answer.findings : answer.findings + 1]
    ]


def _by_life(records: dict[str, Seen], state: RemediationState) -> list[Operation]:
    """What each life of a process saw and made, peeks into its cache among it."""
    places = {entry.pr_comment_id: n for n, entry in enumerate(state.feedback_history, 1)}
    history = []
    for name, seen in records.items():
        asked, answer = seen.asked, seen.answer
        if answer is not None:
            is_look = asked.doing in {"look", "peek"}
            looked = (answer.number, answer.findings)
            history.append(
                Operation(
                    op="look" if is_look else asked.doing,
                    call=asked.at,
                    returned=answer.at,
                    result=looked if is_look else answer.number or places.get(name),
                    process=answer.life,
                )
            )
    return history
