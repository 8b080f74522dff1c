"""The command `mendloop`, also as ``python -m mendloop``."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit with its code."""
    from mendloop.cli.main import run  # noqa: RUF100 - keeps this module importable at no cost

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
