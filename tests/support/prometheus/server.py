"""A Prometheus that scrapes services once a second, and alerts by the rules that we ship."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml
from controlplane.server import Server, free_port

from prometheus.rules import quickened

__all__ = ["INTERVAL_SECONDS", "Prometheus"]

_PATIENCE_SECONDS = 60.0

INTERVAL_SECONDS = 1
"""From one scrape to the next, and from one evaluation to the next."""


class Prometheus:
    """
    One server, with the alerts of which all times are divided by 60.

    Args:
        programs: The folder of its program.
        folder: For its data; made when missing.
        targets: The addresses of services, host and port, by the namespace that they are in.
    """

    def __init__(self, programs: Path, folder: Path, targets: Mapping[str, Sequence[str]]) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._count = sum(map(len, targets.values()))
        (folder / "prometheus.yaml").write_text(_config(targets))
        self._url = f"http://127.0.0.1:{free_port()}"
        self._server = Server(
            [
                str(programs / "prometheus"),
                f"--config.file={folder / 'prometheus.yaml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={self._url.removeprefix('http://')}",
                "--web.console.libraries=/nowhere",
                "--web.console.templates=/nowhere",
            ],
            folder / "prometheus.log",
            self._is_ready,
        )

    def __enter__(self) -> Self:
        """
        Scrape and alert from now on.

        It finds its targets some seconds after its start (discovery.NewManager, updatert), and none
        of them is absent for that: the rules come when all are scraped.
        """
        self._server.start()
        self._wait(lambda: len(self.query("up == 1")) == self._count, "scrapes the targets")
        (self._folder / "rules.yaml").write_text(quickened())
        os.kill(self._server.pid, signal.SIGHUP)
        self._wait(lambda: bool(self._get("rules")["groups"]), "has read the rules")
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._server.stop()

    def alerts(self) -> list[dict[str, Any]]:
        """All alerts that are pending or firing."""
        found: list[dict[str, Any]] = self._get("alerts")["alerts"]
        return found

    def query(self, expression: str) -> list[dict[str, Any]]:
        """
        Evaluate an expression now; returns its series.

        Raises:
            AssertionError: It is no expression; the message says why.
        """
        found: list[dict[str, Any]] = self._get("query", query=expression)["result"]
        return found

    def instants(self, ranged: str, *, namespace: str) -> dict[str, list[float]]:
        """The times of all samples of a range vector, of the series of a namespace, by instance."""
        return {
            one["metric"].get("instance", ""): [float(time) for time, _ in one["values"]]
            for one in self.query(ranged)
            if one["metric"].get("namespace") == namespace
        }

    def _get(self, what: str, **query: str) -> dict[str, Any]:
        url = f"{self._url}/api/v1/{what}?{urlencode(query)}"
        try:
            with urlopen(url, timeout=10) as answer:  # noqa: S310 - loopback
                data: dict[str, Any] = json.load(answer)["data"]
                return data
        except HTTPError as error:
            with error:
                raise AssertionError(f"{query}: {error.read().decode()}") from error

    def _wait(self, is_so: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not is_so():
            assert time.monotonic() < deadline, f"Prometheus has not said that it {what}"
            time.sleep(0.1)

    def _is_ready(self) -> bool:
        try:
            with urlopen(f"{self._url}/-/ready", timeout=1) as answer:  # noqa: S310 - loopback
                return bool(answer.status == HTTPStatus.OK)
        except (URLError, OSError):
            return False


def _config(targets: Mapping[str, Sequence[str]]) -> str:
    every = f"{INTERVAL_SECONDS}s"
    static = [
        {"targets": list(addresses), "labels": {"namespace": namespace}}
        for namespace, addresses in targets.items()
    ]
    return yaml.safe_dump(
        {
            "global": {
                "scrape_interval": every,
                "scrape_timeout": every,
                "evaluation_interval": every,
            },
            "rule_files": ["rules*.yaml"],
            "scrape_configs": [{"job_name": "mendloop", "static_configs": static}],
        }
    )
