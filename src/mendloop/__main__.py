"""The commands `mendloop`, also as ``python -m mendloop``, and `kubectl mendloop`."""

from __future__ import annotations

import os
import sys

__all__ = ["kubectl_main", "main"]

_ENDED = 143
"""By the shells' custom: 128 and the number of SIGTERM."""


def main() -> None:
    """Run the command line and exit with its code."""
    _end_when_told()
    from mendloop.cli.main import run  # noqa: RUF100 - keeps this module importable at no cost

    sys.exit(run(sys.argv[1:]))


def kubectl_main() -> None:
    """Run as a plugin of kubectl, on the store in its cluster, and exit with the code."""
    from mendloop.cli.main import run  # noqa: RUF100 - keeps this module importable at no cost

    sys.exit(run(sys.argv[1:], program="kubectl mendloop", store="kubernetes"))


def _end_when_told() -> None:
    """Have SIGTERM end the first process of a container while it starts: unasked, it ends only others."""
    if os.getpid() == 1:
        import signal

        signal.signal(signal.SIGTERM, lambda *_: os._exit(_ENDED))


if __name__ == "__main__":
    main()
