"""
Named places where a crash would hurt most, so that tests can have one there.

In production a point costs one comparison. With ``MENDLOOP_CRASH_AT=NAME`` or ``NAME:N`` in the
environment, the process group is killed with SIGKILL when the point is reached for the first or
the N-th time.
"""

from __future__ import annotations

import os
import signal

__all__ = ["CLEANUP_CRASH_POINTS", "CRASH_POINTS", "reach"]

CRASH_POINTS = (
    "task-created",
    "lease-acquired",
    "iteration-started",
    "tree-read",
    "step-begun",
    "command-spawned",
    "command-recorded",
    "command-ended",
    "reports-read",
    "review-recorded",
    "fix-recorded",
    "head-decided",
    "head-written",
    "loop-finished",
    "lease-released",
    "chunk-written",
    "head-set-aside",
    "repair-decided",
    "repair-written",
    "chunk-removed",
)
"""In the order in which a run meets them first, then those of a long one and of a repair."""

CLEANUP_CRASH_POINTS = (
    "cleanup-buried",
    "cleanup-deleted",
    "removal-begun",
    "removal-told",
    "removal-chunk-gone",
    "removal-chunks-gone",
    "removal-head-gone",
    "sweep-head-written",
    "sweep-orphan-gone",
)
"""In the order in which a cleanup meets them."""

_name, _, _count = os.environ.get("MENDLOOP_CRASH_AT", "").partition(":")
_left = {_name: int(_count or 1)} if _name else {}


def reach(point: str) -> None:
    """Die here, if a test asked for it."""
    if not _left or point not in _left:
        return
    _left[point] -= 1
    if _left[point] == 0:
        os.killpg(os.getpgid(0), signal.SIGKILL)
