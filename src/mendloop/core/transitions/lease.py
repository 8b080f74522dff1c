"""
Who may run a task.

The lease is no part of the history: its changes leave no record and do not move ``last_update``.
Whether a lease is abandoned is judged by the contender, on one machine's clock, and handed in;
here it only has to be still the one that was judged.
"""

from __future__ import annotations

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
from mendloop.core.text import AUTHOR_LIMIT_BYTES, PATH_LIMIT_BYTES, tidy
from mendloop.core.transitions.outcome import (
    Transition,
    check_holder,
    lease_held,
    ledger_of,
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
                state=state,
                result={"generation": lease.generation},
                is_changed=False,
                leaves_record=False,
            )
        if (lease.generation, lease.renewals) != command.abandoned:
            raise lease_held(state, ledger)
    taken = _replace(
        lease,
        generation=lease.generation + 1,
        holder=_replace(
            command.holder,
            name=tidy(command.holder.name, limit_bytes=AUTHOR_LIMIT_BYTES, redact=context.redact),
        ),
        acquired_at=context.now,
        ttl_seconds=command.ttl_seconds,
        renewals=0,
        renewed_boottime_seconds=command.boottime_seconds,
        tree=tidy(command.tree, limit_bytes=PATH_LIMIT_BYTES, redact=context.redact),
    )
    return _kept(state, ledger, validated(taken), result={"generation": taken.generation})


def renew(state: RemediationState | None, command: RenewLease, context: Context) -> Transition:
    """
    Count one heartbeat.

    Raises:
        LeaseLost: The lease is another's by now.
    """
    state = require(state, context)
    ledger = ledger_of(state, context)
    check_holder(state, ledger, command.generation)
    lease = _replace(
        ledger.lease,
        renewals=ledger.lease.renewals + 1,
        renewed_boottime_seconds=command.boottime_seconds,
    )
    return _kept(state, ledger, lease)


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
    check_holder(state, ledger, command.generation)
    return _kept(state, ledger, _replace(ledger.lease, child=command.child))


def release(state: RemediationState | None, command: ReleaseLease, context: Context) -> Transition:
    """Give the lease back; where it is another's by now, nothing changes."""
    state = require(state, context)
    ledger = ledger_of(state, context)
    if ledger.lease.holder is None or ledger.lease.generation != command.generation:
        return Transition(state=state, is_changed=False, leaves_record=False)
    return _kept(state, ledger, vacated(ledger.lease, generation=command.generation, child=None))


def _kept(
    state: RemediationState,
    ledger: Ledger,
    lease: Lease,
    result: dict[str, int] | None = None,
) -> Transition:
    return Transition(
        state=_replace(state, mendloop=_replace(ledger, lease=lease)),
        result=dict(result or {}),
        leaves_record=False,
    )
