"""The demo's other fixer: it reads the brief and changes nothing, as an agent at its wits' end."""

from __future__ import annotations

import json
import os
from pathlib import Path


def main() -> None:
    """Say what is open, and leave it so."""
    brief = json.loads(Path(os.environ["MENDLOOP_BRIEF_JSON"]).read_bytes())
    print(f"read {brief['open_total']} open findings, changed nothing")


if __name__ == "__main__":
    main()
