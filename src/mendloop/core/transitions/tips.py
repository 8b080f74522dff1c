"""Which commit the change of a task is at, as a controller or the forge says."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from mendloop.core.commands import Context, RecordTip
from mendloop.core.errors import ValidationError
from mendloop.core.model import RemediationState
from mendloop.core.tips import Tip, commit_name, with_tip
from mendloop.core.transitions.outcome import Transition, ledger_of, require, revise

__all__ = ["commit_given", "record_tip"]


def record_tip(state: RemediationState | None, command: RecordTip, context: Context) -> Transition:
    """
    Remember which commit the change is at; what comes late brings no older one back.

    Findings that are open stay so: only what is reported from now on about an older commit is not
    acted on.

    Raises:
        StateNotFound: There is no such task.
        ValidationError: The commit is none, or its time has no time zone.
    """
    state = require(state, context)
    ledger = ledger_of(state, context)
    commit = commit_given(command.commit, context)
    if not commit:
        raise ValidationError("the tip of a change is a commit", task_id=context.task_id)
    tips = with_tip(ledger.tips, Tip(commit=commit, at=_in_utc(command.at or context.now)))
    before, tip = ledger.tips[-1:], tips[-1]
    result = {"tip": tip.commit, "is_moved": not before or before[0].commit != tip.commit}
    if tips == ledger.tips:
        return Transition(state=state, result=result, is_changed=False)
    # That a known tip is one still is told with every event of a forge: no news for the history.
    is_news = _names(tips) != _names(ledger.tips)
    told = {"last_update": context.now} if is_news else {}
    return Transition(
        state=revise(state, msgspec.structs.replace(ledger, tips=tips), **told),
        result=result,
        facts={"tip": tip.commit, "told": commit},
        leaves_record=is_news,
    )


def _names(tips: tuple[Tip, ...]) -> list[str]:
    return [tip.commit for tip in tips]


def _in_utc(at: datetime) -> datetime:
    try:
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except OverflowError:
        pass
    raise ValidationError("the time of a tip needs a time zone, and to be in range in UTC")


def commit_given(given: str, context: Context) -> str:
    """
    The name that a caller's commit is kept under; "" for none.

    Raises:
        ValidationError: It is none.
    """
    commit = commit_name(given)
    if given and not commit:
        raise ValidationError(
            f"{given[:80]!a} names no commit: up to 64 hexadecimal digits do",
            task_id=context.task_id,
        )
    return commit
