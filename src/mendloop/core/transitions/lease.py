"""
Who may run a task.

Taking the lease, taking it over and giving it back leave a record each. Heartbeats, and which process
the holder has started, leave none: they say no more than how long the first of these holds. None of
it moves ``last_update``, since nothing happened in the task.

Whether a lease is abandoned is judged by the contender, on one machine's clock, and handed in; here
it only has to be still the one that was judged.
"""

from __future__ import annotations

from typing import Any

import msgspec

from mendloop.core.codec import validated
from mendloop.core.commands import (
    AcquireLease,
    Context,
    RecordChild,
    ReleaseLease,
    RenewLease,
)
from mendloop.core.model import Ledger, RemediationState
from mendloop.core.run import Lease
from mendloop.core.text import PATH_LIMIT_BYTES, tidy
from mendloop.core.transitions.outcome import (
    Transition,
    check_holder,
    holder_name,
    is_holder,
    lease_held,
    ledger_of,
    loss_facts,
    require,
    vacated,
)

__all__ = ["acquire", "record_child", "release", "renew"]

_replace = msgspec.structs.replace


def acquire(state: RemediationState | None, command: AcquireLease, context: Context) -> Transition:
    """
    Take the lease, if it is free, abandoned, or the caller's already.

    Raises:
        LeaseHeld: Somebody else has it, or it moved since it was judged to be abandoned.
        ValidationError: Its time is no number of seconds.
    """
    state = require(state, context)
    ledger = ledger_of(state, context)
    lease = ledger.lease
    if lease.holder is not None:
        if lease.holder.token == command.holder.token:
            return Transition(
                state=state, result={"generation": lease.generation}, is_changed=False
            )
        if (lease.generation, lease.renewals) != command.abandoned:
            raise lease_held(state, ledger)
    holder = _replace(command.holder, name=holder_name(command.holder, context))
    taken = _replace(
        lease,
        generation=lease.generation + 1,
        holder=holder,
        acquired_at=context.now,
        ttl_seconds=command.ttl_seconds,
        renewals=0,
        renewed_boottime_seconds=command.boottime_seconds,
        tree=tidy(command.tree, limit_bytes=PATH_LIMIT_BYTES, redact=context.redact),
    )
    taken = validated(taken)
    facts: dict[str, Any] = {"generation": taken.generation, "holder": holder.name}
    if taken.tree:
        facts["tree"] = taken.tree
    return Transition(
        state=_with(state, ledger, taken),
        result={"generation": taken.generation},
        facts=facts | loss_facts(lease, context),
    )


def renew(state: RemediationState | None, command: RenewLease, context: Context) -> Transition:
    """
    Count one heartbeat.

    Raises:
        LeaseLost: The lease is another's by now.
    """
    state = require(state, context)
    ledger = ledger_of(state, context)
    check_holder(state, ledger, command.generation, context)
    lease = _replace(
        ledger.lease,
        renewals=ledger.lease.renewals + 1,
        renewed_boottime_seconds=command.boottime_seconds,
    )
    return Transition(state=_with(state, ledger, lease), leaves_record=False)


def record_child(
    state: RemediationState | None, command: RecordChild, context: Context
) -> Transition:
    """
    Keep which process the holder has started.

    Raises:
        LeaseLost: The lease is another's by now: do not start it.
    """
    state = require(state, context)
    ledger = ledger_of(state, context)
    check_holder(state, ledger, command.generation, context)
    lease = _replace(ledger.lease, child=command.child)
    return Transition(state=_with(state, ledger, lease), leaves_record=False)


def release(state: RemediationState | None, command: ReleaseLease, context: Context) -> Transition:
    """Give the lease back; where it is another's by now, nothing changes."""
    state = require(state, context)
    ledger = ledger_of(state, context)
    lease = ledger.lease
    if not is_holder(ledger, command.generation, context):
        return Transition(state=state, is_changed=False)
    left = vacated(lease, generation=lease.generation, child=None)
    return Transition(
        state=_with(state, ledger, left),
        facts={"generation": lease.generation, "renewals": lease.renewals},
    )


def _with(state: RemediationState, ledger: Ledger, lease: Lease) -> RemediationState:
    return _replace(state, mendloop=_replace(ledger, lease=lease))
