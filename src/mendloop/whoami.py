"""Who is at work here, for the history."""

from __future__ import annotations

import getpass
import os

__all__ = ["user_name"]


def user_name() -> str:
    """Name this user; in a container there may be no name for the number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
