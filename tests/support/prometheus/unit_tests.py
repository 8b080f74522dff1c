"""Series in which one thing goes wrong for a while, as promtool's unit tests of rules want them."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = [
    "BEGIN_MINUTE",
    "END_MINUTE",
    "FAULTS",
    "HEALTHY",
    "LAST_MINUTE",
    "UNKNOWN",
    "Series",
    "unit_test",
]

BEGIN_MINUTE = 20
"""When something goes wrong."""

END_MINUTE = 60
"""When it is right again."""

LAST_MINUTE = 100

_TARGET = 'job="mendloop",namespace="shop",instance="a:9090"'


class Series(NamedTuple):
    """
    One series, with a sample a minute.

    Attributes:
        labels: Beside those of the target.
        usual: The value in health; that by which it rises in a minute, of a counter.
        wrong: The same while something is wrong; None where it is not there.
        is_counter: Whether it rises.
    """

    labels: str
    usual: float
    wrong: float | None
    is_counter: bool = False


class Fault(NamedTuple):
    """What goes wrong, and after how many minutes the condition of the alert holds."""

    series: dict[str, Series]
    lag_minutes: int = 0


HEALTHY = {
    "up": Series("", 1, 1),
    "mendloop_ready": Series("", 1, 1),
    "mendloop_has_leader": Series("", 1, 1),
    "mendloop_operations_total": Series('operation="Pause",outcome="ok"', 60, 60, is_counter=True),
    "mendloop_deliveries_total": Series('door="github",outcome="queued"', 5, 5, is_counter=True),
    "mendloop_queue_oldest_age_seconds": Series("", 30, 30),
    "mendloop_store_throttled_total": Series("", 0, 0, is_counter=True),
    "mendloop_stuck_tasks": Series("", 0, 0),
    "mendloop_unreadable_tasks": Series("", 0, 0),
    "mendloop_recoveries_total": Series('kind="lease"', 0.02, 0.02, is_counter=True),
    "mendloop_largest_document_bytes": Series('kind="head"', 20_000, 20_000),
    "mendloop_document_limit_bytes": Series("", 1_048_576, 1_048_576),
    "mendloop_store_used_bytes": Series("", 5e7, 5e7),
    "mendloop_store_limit_bytes": Series("", 1e8, 1e8),
    "mendloop_cleanup_consecutive_failures": Series("", 1, 1),
    "mendloop_cleanup_due_timestamp_seconds": Series("", 1e6, 1e6),
}
"""A service to which no alert has anything to say, though now and then something goes wrong."""

UNKNOWN = (
    "mendloop_cleanup_due_timestamp_seconds",
    "mendloop_document_limit_bytes",
    "mendloop_store_limit_bytes",
)
"""What is 0 where it is not known."""

_FAILED = Series('operation="Pause",outcome="failed"', 0.1, 20, is_counter=True)
_UNSTORED = Series('door="github",outcome="unstored"', 0, 1, is_counter=True)

FAULTS: dict[str, list[Fault]] = {
    "MendloopDown": [
        Fault({"mendloop_ready": Series("", 1, 0)}),
        Fault({"mendloop_ready": Series("", 1, None), "up": Series("", 1, 0)}),
        Fault({"mendloop_ready": Series("", 1, None), "up": Series("", 1, None)}),
    ],
    "MendloopReplicaUnready": [
        Fault({"mendloop_ready": Series("", 1, 0)}),
        Fault({"mendloop_ready": Series("", 1, None), "up": Series("", 1, 0)}),
    ],
    "MendloopDeliveriesUnstored": [Fault({"mendloop_deliveries_total{unstored}": _UNSTORED})],
    "MendloopOperationsFailing": [Fault({"mendloop_operations_total{failed}": _FAILED})],
    "MendloopQueueStuck": [Fault({"mendloop_queue_oldest_age_seconds": Series("", 30, 601)})],
    "MendloopThrottled": [
        Fault({"mendloop_store_throttled_total": Series("", 0, 30, is_counter=True)}, 1)
    ],
    "MendloopNoLeader": [
        Fault({"mendloop_has_leader": Series("", 1, 0)}),
        Fault({"mendloop_has_leader{b}": Series('pod="b"', 1, 0)}),
    ],
    "MendloopTaskStuck": [Fault({"mendloop_stuck_tasks": Series("", 0, 1)})],
    "MendloopTaskUnreadable": [Fault({"mendloop_unreadable_tasks": Series("", 0, 1)})],
    "MendloopRecoveriesFrequent": [
        Fault({"mendloop_recoveries_total": Series('kind="lease"', 0.02, 1, is_counter=True)}, 2),
        Fault(
            {
                f"mendloop_recoveries_total{{{kind}}}": Series(
                    f'kind="{kind}"', 0, 0.15, is_counter=True
                )
                for kind in ("lease", "repair")
            },
            10,
        ),
    ],
    "MendloopStateNearLimit": [
        Fault({"mendloop_largest_document_bytes": Series(f'kind="{kind}"', 20_000, 850_000)})
        for kind in ("head", "chunk")
    ],
    "MendloopStoreNearLimit": [Fault({"mendloop_store_used_bytes": Series("", 5e7, 8.1e7)})],
    "MendloopCleanupFailing": [Fault({"mendloop_cleanup_consecutive_failures": Series("", 1, 2)})],
    "MendloopCleanupLate": [
        Fault({"mendloop_cleanup_due_timestamp_seconds": Series("", 1e6, 60 * BEGIN_MINUTE - 1)})
    ],
}
"""For each alert all that it is there for."""


def unit_test(changed: dict[str, Series], expected: dict[str, dict[int, int]]) -> dict[str, Any]:
    """
    Make one test.

    Args:
        changed: Series that are other than `HEALTHY`, or beside them: then the name ends in braces.
        expected: For each expression its value at some minutes.
    """
    return {
        "interval": "1m",
        "input_series": [
            {
                "series": f"{name.partition('{')[0]}{{{_TARGET},{series.labels}}}",
                "values": " ".join(_values(series)),
            }
            for name, series in (HEALTHY | changed).items()
        ],
        "promql_expr_test": [
            {
                "expr": expression,
                "eval_time": f"{minute}m",
                "exp_samples": [{"labels": "{}", "value": value}],
            }
            for expression, minutes in expected.items()
            for minute, value in minutes.items()
        ],
    }


def _values(series: Series) -> list[str]:
    """Write the samples out, one a minute."""
    written: list[str] = []
    count = 0.0
    for minute in range(LAST_MINUTE + 1):
        is_wrong = BEGIN_MINUTE <= minute < END_MINUTE
        value = series.wrong if is_wrong else series.usual
        count += value or 0
        if value is None:
            written.append("stale" if minute == BEGIN_MINUTE else "_")
        else:
            written.append(f"{count if series.is_counter else value:.2f}")
    return written
