from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from prometheus import Prometheus, read_rules
from prometheus.dashboard import metrics_in, queries, read_dashboard
from served import Served

_DOCS = Path(__file__).parents[2] / "docs"
_ROWS = ["Loop", "Storage", "Service", "Cleanup"]
_OF_PLUGINS = frozenset({"definition", "titleFormat"})
"""What the model leaves to the plugin of a data source."""

_CONFIG = '[store]\nweigh_interval = "1s"\n[cleanup]\ninterval = "2s"\n'
_FINDING = {"severity": "High", "issue_type": "Bug", "description": "it breaks"}
_PAUSE_SECONDS = 0.1


def _unread(given: Any, read: Any, place: str = "") -> Iterator[str]:
    """Places of what a model does not give back as it was given."""
    if isinstance(given, dict) and isinstance(read, dict):
        for key, value in given.items():
            if key not in _OF_PLUGINS:
                yield from _unread(value, read.get(key), f"{place}.{key}")
    elif isinstance(given, list) and isinstance(read, list):
        for index, (one, other) in enumerate(itertools.zip_longest(given, read)):
            yield from _unread(one, other, f"{place}[{index}]")
    elif given != read:
        yield place


def _names_exported(exposition: str) -> set[str]:
    return {re.split(r"[{ ]", line)[0] for line in exposition.splitlines() if line[:1] != "#"}


def test_the_dashboard_is_one_of_grafana() -> None:
    """Grafana's own model of a dashboard knows all that is in it, and ids and places are no one else's."""
    given = read_dashboard()
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(given)))

    assert [] == list(_unread(given, read))
    panels = given["panels"]
    assert len(panels) == len({panel["id"] for panel in panels})
    assert _ROWS == [panel["title"] for panel in panels if panel["type"] == "row"]
    cells = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in panels
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))


def test_every_source_of_the_dashboard_is_chosen_by_its_variable() -> None:
    """No panel, variable or annotation names a data source of somebody's Grafana."""
    text = json.dumps(read_dashboard())

    assert {"${datasource}"} == set(re.findall(r'"uid": "([^"]*)"', text)) - {"mendloop"}


def test_every_metric_is_shown() -> None:
    """The dashboard shows each metric that is documented."""
    documented = set(re.findall(r"\| `(mendloop_\w+)`", (_DOCS / "metrics.md").read_text()))
    shown = set().union(*map(metrics_in, queries()))

    assert set() == {
        name for name in documented if not any(other.startswith(name) for other in shown)
    }


async def _send(served: Served, seconds: float) -> None:
    """Send findings of some tasks for a while, to each replica in turn."""
    numbers = itertools.count()
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        number = next(numbers)
        finding = _FINDING | {"comment_id": f"c-{number}"}
        body = {"task_id": f"t-{number % 20}", "findings": [finding]}
        replica = served.replicas[number % len(served.replicas)]
        status, told = await asyncio.to_thread(served.post, replica, body)
        assert 202 == status, told
        await asyncio.sleep(_PAUSE_SECONDS)


async def test_all_is_shown_and_nothing_said_while_all_is_well(
    prometheus_folder: Path, tmp_path: Path, scaled: Callable[[int, int], int]
) -> None:
    """Under load every query of the dashboard and the rules finds its metrics, and no alert fires."""
    served = Served(f"sqlite:{tmp_path / 'state.db'}", tmp_path / "service", {})
    file = served.folder / "serve.toml"
    file.write_text(_CONFIG)
    try:
        for _ in range(2):
            served.start("--config", str(file)).wait_until_ready()
        targets = {"shop": [replica.admin.removeprefix("http://") for replica in served.replicas]}
        with Prometheus(prometheus_folder, tmp_path / "prometheus", targets) as prometheus:
            await _send(served, scaled(300, 5))
            told = await asyncio.to_thread(_expositions, served)
            assert [] == [query for query in queries() if not prometheus.query(query)]
            assert [] == prometheus.query('count_over_time(ALERTS{alertstate="firing"}[600s])')
    finally:
        served.end()
    assert [] == served.leaks()
    asked = [*queries(), *(rule["expr"] for rule in read_rules().values())]
    assert set() == set().union(*map(metrics_in, asked)) - _names_exported(told)
    ids = re.findall(r'"(t-\d+|c-\d+)"', told)
    assert [] == ids


def _expositions(served: Served) -> str:
    texts = []
    for replica in served.replicas:
        with urlopen(f"{replica.admin}/metrics", timeout=10) as answer:  # noqa: S310 - loopback
            texts.append(answer.read().decode())
    return "".join(texts)
