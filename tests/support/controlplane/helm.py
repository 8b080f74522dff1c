"""Helm as a user calls it, with files of its own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

__all__ = ["Helm"]

CHART = Path(__file__).parents[3] / "deploy" / "chart" / "mendloop"


class Helm:
    """
    Calls Helm on the chart that we ship.

    Args:
        program: Its program.
        folder: For what it writes; made when missing.
    """

    def __init__(self, program: Path, folder: Path) -> None:
        self._program = program
        self._folder = folder
        folder.mkdir(exist_ok=True)

    def __call__(self, *arguments: str, kubeconfig: Path | None = None) -> str:
        """
        Run it to its end and return what it printed.

        Args:
            kubeconfig: Of the cluster that it works on; none by default.

        Raises:
            CalledProcessError: It failed; what it said is in the notes.
        """
        own = {f"HELM_{name}_HOME": str(self._folder) for name in ("CACHE", "CONFIG", "DATA")}
        done = subprocess.run(
            [self._program, *arguments],
            env=os.environ | own | {"KUBECONFIG": str(kubeconfig or os.devnull)},
            capture_output=True,
            text=True,
            check=False,
        )
        try:
            done.check_returncode()
        except subprocess.CalledProcessError as error:
            error.add_note(done.stdout + done.stderr)
            raise
        return done.stdout

    def template(self, *arguments: str, namespace: str = "mendloop", values: Any = None) -> str:
        """
        Render the chart for the release `mendloop`.

        Args:
            arguments: Options of `helm template`.
            namespace: Of the release.
            values: That differ from the chart's own.

        Raises:
            CalledProcessError: The chart refuses; why is in the notes.
        """
        given = self.values(values or {})
        return self("template", "mendloop", str(CHART), "-n", namespace, *given, *arguments)

    def objects(self, *, namespace: str = "mendloop", values: Any = None) -> list[dict[str, Any]]:
        """Render the chart and return its objects, the Pod of `helm test` among them."""
        rendered = self.template(namespace=namespace, values=values)
        return [each for each in yaml.safe_load_all(rendered) if each]

    def values(self, values: Any) -> tuple[str, str]:
        """Write values into a file; returns the option that names it."""
        path = self._folder / "values.yaml"
        path.write_text(json.dumps(values))  # JSON is YAML
        return "--values", str(path)
