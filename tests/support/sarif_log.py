"""SARIF logs of one run, as short as a test can say them."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["MESSAGE", "result_at", "sarif"]

MESSAGE = {"text": "m"}


def sarif(*results: Any, driver: dict[str, Any] | None = None, **run: Any) -> str:
    """A log of one run with *results*; *driver* and *run* add to its members."""
    tool = {"driver": {"name": "t", **(driver or {})}, **run.pop("tool", {})}
    return json.dumps({"version": "2.1.0", "runs": [{"tool": tool, "results": results, **run}]})


def result_at(uri: str, *, line: int = 0, **location: Any) -> dict[str, Any]:
    """A result at a place."""
    region = {"region": {"startLine": line}} if line else {}
    artifact = {"artifactLocation": {"uri": uri, **location}}
    return {"message": MESSAGE, "locations": [{"physicalLocation": {**artifact, **region}}]}
