"""The dashboard that we ship, and what it asks a Prometheus."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

__all__ = ["DASHBOARD", "metrics_in", "queries", "read_dashboard"]

DASHBOARD = Path(__file__).parents[3] / "deploy" / "chart" / "mendloop" / "files" / "dashboard.json"

_VARIABLES = {"$__rate_interval": "10s", "$namespace": ".*", "$job": ".*"}
_METRIC = re.compile(r"\bmendloop_\w+")


def read_dashboard() -> dict[str, Any]:
    """Read it."""
    content: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return content


def queries() -> list[str]:
    """All that its panels ask, as Grafana sends it where nothing is selected."""
    found = []
    for panel in read_dashboard()["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"]
            for name, value in _VARIABLES.items():
                expression = expression.replace(name, value)
            found.append(expression)
    return found


def metrics_in(expression: str) -> set[str]:
    """The names of our metrics in an expression."""
    return set(_METRIC.findall(expression))
