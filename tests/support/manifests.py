"""
What of ``deploy`` is made from something else: `make manifests` writes it.

The schema of the chart's values takes that of the service's settings from the code; the plain
manifests are the chart, as Helm renders it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from controlplane.programs import helm_program

from controlplane.helm import CHART, Helm
from mendloop.service.settings import ServiceSettings

__all__ = ["INSTALL", "RIGHTS", "SCHEMA", "install", "rights", "schema"]

_DEPLOY = CHART.parents[1]
SCHEMA = CHART / "values.schema.json"
RIGHTS = _DEPLOY / "rights.yaml"
INSTALL = _DEPLOY / "service" / "install.yaml"

_HEADER = "# Made from chart/mendloop by `make manifests`: edit that.\n"
_RIGHTS = ("serviceaccount", "role", "rolebinding")
_DOORS = {
    "intake": {name: {"secret": "mendloop"} for name in ("github", "feedback")},
}


def schema() -> str:
    """Return the schema of the chart's values, with what the settings are today."""
    whole = json.loads(SCHEMA.read_text(encoding="utf-8"))
    whole["$defs"] |= _without_prose(msgspec.json.schema(ServiceSettings)["$defs"])
    whole["$defs"] = dict(sorted(whole["$defs"].items()))
    return json.dumps(whole, indent=2) + "\n"


def rights(helm: Helm) -> str:
    """Return the manifests of a namespace for tasks, and of the account that may work on them."""
    only = [word for name in _RIGHTS for word in ("--show-only", f"templates/{name}.yaml")]
    return _HEADER + _namespace() + helm.template(*only)


def install(helm: Helm) -> str:
    """Return the manifests of the whole service; it wants a Secret ``mendloop`` beside them."""
    namespace = _namespace("pod-security.kubernetes.io/enforce: restricted")
    return _HEADER + namespace + helm.template("--skip-tests", values=_DOORS)


def _namespace(label: str = "") -> str:
    lines = ["apiVersion: v1", "kind: Namespace", "metadata:", "  name: mendloop"]
    lines += ["  labels:", f"    {label}"] if label else []
    return "\n".join([*lines, ""])


def _without_prose(part: Any) -> Any:
    """Leave out what msgspec takes from docstrings: it is about Python."""
    if isinstance(part, list):
        return [_without_prose(each) for each in part]
    if not isinstance(part, dict):
        return part
    prose = {"title", "description"}
    return {
        key: _without_prose(value)
        for key, value in part.items()
        if key not in prose or not isinstance(value, str)
    }


def main() -> None:
    """Write all of it."""
    SCHEMA.write_text(schema(), encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        helm = Helm(helm_program(), Path(folder))
        for path, made in ((RIGHTS, rights(helm)), (INSTALL, install(helm))):
            path.write_text(made, encoding="utf-8")
            sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
