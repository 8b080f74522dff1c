from __future__ import annotations

import gzip
import http.server
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from served import Served, until_processed

from mendloop.stores.port import Store

DELIVERY = {
    "task_id": "secret-project",
    "findings": [{"severity": "High", "issue_type": "Bug", "description": "an empty name fails"}],
}

_WITHOUT = """
import sys
sys.modules["opentelemetry.sdk"] = None
from mendloop.cli.main import run
sys.exit(run(sys.argv[1:]))
"""


class Collector:
    """
    Takes OTLP in over HTTP, as a collector of OpenTelemetry does.

    Attributes:
        received: The bodies, unpacked.
    """

    def __init__(self) -> None:
        self.received: list[bytes] = []
        received = self.received

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                is_packed = self.headers["Content-Encoding"] == "gzip"
                received.append(gzip.decompress(body) if is_packed else body)
                self.send_response(200 if self.path == "/v1/traces" else 404)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    def spans(self) -> list[Span]:
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.received]
        return [
            span
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


async def test_a_delivery_is_one_trace(served: Served, store: Store) -> None:
    """From the request over the queue to the store's requests, with nothing of its content."""
    collector = Collector()
    with collector.running():
        served.environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.url
        replica = served.start()
        replica.wait_until_ready()
        assert 202 == served.post(replica, DELIVERY)[0]
        await until_processed(store)
        assert 0 == replica.end()
    spans = {span.span_id: span for span in collector.spans()}

    (root,) = (span for span in spans.values() if not span.parent_span_id)
    names = {span.name for span in spans.values()}
    assert "POST /v1/feedback" == root.name
    assert {"store create", "process feedback", "AppendFeedback", "store replace"} <= names
    assert {root.trace_id} == {span.trace_id for span in spans.values()}
    assert {span.parent_span_id for span in spans.values()} <= {b"", *spans}
    (processed,) = (span for span in spans.values() if span.name == "process feedback")
    assert root.span_id == processed.parent_span_id
    told = b"".join(collector.received)
    for private in (b"secret-project", b"an empty name"):
        assert private not in told


async def test_a_collector_that_is_away_holds_up_nothing(served: Served, store: Store) -> None:
    """Deliveries are taken in and processed, and the service ends in its time."""
    collector = Collector()
    collector._server.server_close()
    served.environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.url
    replica = served.start()
    replica.wait_until_ready()
    assert 202 == served.post(replica, DELIVERY)[0]
    await until_processed(store)
    began = time.monotonic()
    assert 0 == replica.end()
    assert time.monotonic() - began < 20


def test_what_is_not_installed_for_traces_is_named() -> None:
    """Who asks for traces without the packages for them is told how to get them."""
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT, "serve"],
        env={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 2 == done.returncode
    assert "pip install 'mendloop[traces]'" in done.stderr
