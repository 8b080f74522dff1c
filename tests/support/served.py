"""Replicas of the service, as processes, and a sender that talks to them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import yaml
from leaks import leaks_in

from mendloop.core.names import QUEUE
from mendloop.stores.port import Store

__all__ = ["Replica", "Served", "get_json", "is_processed", "until_processed"]

_PATIENCE_SECONDS = 60.0


class Replica:
    """
    One process of `mendloop serve`.

    Attributes:
        name: Of the replica.
        log_path: What it logs.
        intake: URL where senders come.
        admin: URL where probes come.
        exposition: What it told of its metrics when it was last asked.
    """

    def __init__(
        self,
        name: str,
        arguments: list[str],
        folder: Path,
        env: Mapping[str, str],
        program: Sequence[str] = (sys.executable, "-m", "mendloop"),
    ) -> None:
        self.name = name
        self.log_path = folder / f"{name}.log"
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*program, "serve", "--name", name, *arguments],
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=dict(env),
            )
        self.intake = self.admin = ""
        self.exposition = b""

    def log(self) -> list[dict[str, Any]]:
        """Every event that was logged, whole lines only."""
        text = self.log_path.read_bytes().rpartition(b"\n")[0]
        return [json.loads(line) for line in text.splitlines() if line.startswith(b"{")]

    def wait_until_listening(self) -> None:
        """Wait until both addresses are open."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not (self.intake and self.admin):
            assert self.process.poll() is None, self.log_path.read_text()
            assert time.monotonic() < deadline, self.log_path.read_text()
            for event in self.log():
                if event["event"] == "listening":
                    url = f"http://{event['host']}:{event['port']}"
                    setattr(self, event["listener"], url)
            time.sleep(0.02)

    def wait_until_ready(self) -> None:
        """Wait until it says that it can take something in."""
        self.wait_until_listening()
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while get_json(f"{self.admin}/readyz")[0] != 200:
            assert time.monotonic() < deadline, self.log_path.read_text()
            time.sleep(0.05)

    def metric(self, name: str, **labels: str) -> float:
        """The value of one sample; 0 where there is none yet."""
        with urlopen(f"{self.admin}/metrics", timeout=10) as answer:  # noqa: S310 - loopback  # noqa: S310 - loopback
            self.exposition = answer.read()
        total = 0.0
        for line in self.exposition.decode().splitlines():
            sample, _, value = line.rpartition(" ")
            is_it = sample == name or sample.startswith(f"{name}{{")
            if is_it and all(f'{label}="{wanted}"' in sample for label, wanted in labels.items()):
                total += float(value)
        return total

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """Ask it to end, and wait; returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
        return self.process.wait(_PATIENCE_SECONDS)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(_PATIENCE_SECONDS)


class Served:
    """
    A store, and replicas of the service on it.

    Attributes:
        spec: The store's, for the command line.
        folder: For logs and secrets.
        environment: Of the replicas.
        token: That the door for JSON opens to.
        secret: Of the GitHub webhook.
    """

    def __init__(self, spec: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.spec = spec
        self.folder = folder
        folder.mkdir(exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if name[:9] != "MENDLOOP_"}
        self.environment = kept | {"XDG_STATE_HOME": str(folder)} | environment
        self.token = "t" * 32
        self.secret = b"s" * 32
        (folder / "token").write_text(self.token)
        (folder / "secret").write_bytes(self.secret)
        self.replicas: list[Replica] = []

    def start(self, *arguments: str, name: str = "") -> Replica:
        """Start another replica; it is not waited for."""
        usual = ["--store", self.spec, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]
        usual += ["--feedback-token-file", str(self.folder / "token")]
        usual += ["--webhook-secret-file", str(self.folder / "secret")]
        name = name or f"replica-{len(self.replicas)}"
        replica = Replica(name, [*usual, *arguments], self.folder, self.environment)
        self.replicas.append(replica)
        return replica

    def post(self, replica: Replica, body: object, **headers: str) -> tuple[int, dict[str, Any]]:
        """Send findings; returns the status and the answer."""
        sent = {"Authorization": f"Bearer {self.token}"} | headers
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return get_json(f"{replica.intake}/v1/feedback", raw, sent)

    def end(self) -> None:
        """End all of them, by force if need be."""
        for replica in self.replicas:
            if replica.process.poll() is None:
                replica.process.send_signal(signal.SIGCONT)
                replica.kill()

    def leaks(self) -> list[str]:
        """Secrets in what the replicas logged and told, and what they were started with in either."""
        own = (self.token.encode(), self.secret, *self._tokens())
        return [
            leak
            for replica in self.replicas
            for told in (replica.log_path.read_bytes(), replica.exposition)
            for leak in (*leaks_in(told), *(one.decode() for one in own if one in told))
        ]

    def _tokens(self) -> list[bytes]:
        """By which the API server knows the replicas."""
        if self.spec != "kubernetes":
            return []
        users = yaml.safe_load(Path(self.environment["KUBECONFIG"]).read_text())["users"]
        return [one["user"]["token"].encode() for one in users]


def get_json(
    url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, dict[str, Any]]:
    """Ask once; returns the status and the answer, whatever the status."""
    from urllib.error import HTTPError

    request = Request(url, data=body, headers=dict(headers or {}))  # noqa: S310 - loopback
    try:
        with urlopen(request, timeout=30) as answer:  # noqa: S310 - loopback
            return answer.status, json.load(answer)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)


async def is_processed(store: Store) -> bool:
    """Whether nothing is queued."""
    return not (await store.list(QUEUE, limit=1)).documents


async def until_processed(store: Store, *, seconds: float = 60) -> None:
    """Wait until nothing is queued."""
    async with asyncio.timeout(seconds):
        while not await is_processed(store):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)
