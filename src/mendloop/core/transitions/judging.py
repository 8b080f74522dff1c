"""What a person says became of findings."""

from __future__ import annotations

import msgspec

from mendloop.core.commands import Context, Judge
from mendloop.core.compaction import in_order
from mendloop.core.errors import ValidationError
from mendloop.core.model import RemediationState
from mendloop.core.text import REASON_LIMIT_BYTES, tidy
from mendloop.core.transitions.matching import History
from mendloop.core.transitions.naming import comment_id_of
from mendloop.core.transitions.outcome import Transition, ledger_of, require, revise
from mendloop.core.vocabulary import Life

__all__ = ["judge"]

_JUDGEMENTS = frozenset({Life.VERIFIED, Life.DISMISSED, Life.DEFERRED, Life.REOPENED})
_SHOWN = 3


def judge(state: RemediationState | None, command: Judge, context: Context) -> Transition:
    """
    Change the life of the named findings, all or none; what is so already stays as it is.

    Raises:
        StateNotFound: There is no such task.
        ValidationError: A name stands for no finding or for several, there is no reason, or only a
            review may say so.
    """
    state = require(state, context)
    ledger = ledger_of(state, context)
    why = tidy(command.reason, limit_bytes=REASON_LIMIT_BYTES, redact=context.redact)
    if command.life not in _JUDGEMENTS or not command.names or not why.strip():
        raise ValidationError(
            "a judgement needs a reason, the findings that it is about, and what became of them: "
            f"{', '.join(sorted(_JUDGEMENTS))}",
            task_id=context.task_id,
        )
    history = History(state, context)
    places = dict.fromkeys(_place(history, name, context) for name in command.names)
    changed = sum(history.judge(place, command.life, why) for place in places)
    ids = [history.entries[place].pr_comment_id for place in places]
    result = {"ids": ids, "life": command.life, "changed": changed}
    if not changed:
        return Transition(state=state, result=result, is_changed=False)
    return Transition(
        state=revise(
            state,
            msgspec.structs.replace(ledger, findings=history.sealed),
            feedback_history=in_order(history.entries),
            last_update=context.now,
        ),
        result=result,
        facts={"life": command.life, "ids": ids, "reason": why},
    )


def _place(history: History, name: str, context: Context) -> int:
    """
    Where the one finding is that *name* stands for.

    Raises:
        ValidationError: It stands for none or several.
    """
    places = history.named(name) or history.named(comment_id_of(name, context.redact))
    if len(places) == 1:
        return places[0]
    task_id = context.task_id
    if not places:
        raise ValidationError(
            f"task {task_id} has no finding {name!a}: `mendloop feedback list {task_id}` shows the "
            "ids; of one that is not open the whole id is needed",
            task_id=task_id,
        )
    ids = ", ".join(ascii(history.entries[place].pr_comment_id) for place in places[:_SHOWN])
    more = f" and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
    raise ValidationError(
        f"{name!a} may be any of {len(places)} findings of task {task_id}: {ids}{more}; give more of "
        "the id",
        task_id=task_id,
    )
