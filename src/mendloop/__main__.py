"""The commands `mendloop`, also as ``python -m mendloop``, and `kubectl mendloop`."""

from __future__ import annotations

import sys

__all__ = ["kubectl_main", "main"]


def main() -> None:
    """Run the command line and exit with its code."""
    from mendloop.cli.main import run  # noqa: RUF100 - keeps this module importable at no cost

    sys.exit(run(sys.argv[1:]))


def kubectl_main() -> None:
    """Run as a plugin of kubectl, on the store in its cluster, and exit with the code."""
    from mendloop.cli.main import run  # noqa: RUF100 - keeps this module importable at no cost

    sys.exit(run(sys.argv[1:], program="kubectl mendloop", store="kubernetes"))


if __name__ == "__main__":
    main()
