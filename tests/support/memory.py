"""How much memory a process took at most."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["peak_mebibytes"]


def peak_mebibytes() -> float:
    """
    The most that this process had resident since its program began.

    What getrusage calls so begins at the size of the process that started it.
    """
    told = re.search(r"VmHWM:\s*([0-9]+)", Path("/proc/self/status").read_text())
    assert told is not None
    return int(told[1]) / 1024
