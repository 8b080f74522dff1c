"""
Spans of what becomes of a delivery, by the OpenTelemetry API: without an SDK they cost next to nothing.

A delivery is one trace: the request that brought it, the processing of it, which may be minutes
later in another replica, the operations on its task, and the store's requests for them. No span has
a text of a delivery or the id of a task in it.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from mendloop import __version__
from mendloop.telemetry import Telemetry

__all__ = [
    "SpanKind",
    "TracedTelemetry",
    "current_trace",
    "exporting",
    "is_traced",
    "span",
    "wants_traces",
]

SpanKind = trace.SpanKind

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_NANOSECONDS = 1_000_000_000
_FLUSH_SECONDS = 2

_tracer = trace.get_tracer("mendloop", __version__)
_propagator = TraceContextTextMapPropagator()


@contextlib.contextmanager
def span(name: str, *, kind: SpanKind, parent: str = "") -> Iterator[trace.Span]:
    """
    Make a span of what is done inside; an error that goes through it is told by its class alone.

    Args:
        name: One of few.
        kind: Its role.
        parent: What `current_trace` told elsewhere; else the span that is under way here.
    """
    context = _propagator.extract({"traceparent": parent}) if parent else None
    with _tracer.start_as_current_span(
        name, context=context, kind=kind, record_exception=False, set_status_on_exception=False
    ) as begun:
        try:
            yield begun
        except BaseException as error:
            begun.set_status(trace.StatusCode.ERROR, type(error).__name__)
            raise


def is_traced() -> bool:
    """Whether a span is under way here that somebody records."""
    return trace.get_current_span().is_recording()


def current_trace() -> str:
    """The span that is under way, as `traceparent` of https://www.w3.org/TR/trace-context/; or ""."""
    if not is_traced():
        return ""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier["traceparent"]


class TracedTelemetry:
    """A `mendloop.telemetry.Telemetry` that makes spans of operations, and tells another one."""

    def __init__(self, telemetry: Telemetry) -> None:
        """Tell *telemetry* too."""
        self._telemetry = telemetry

    def operation(self, name: str, error: BaseException | None, seconds: float) -> None:
        """See `mendloop.telemetry.Telemetry.operation`."""
        self._telemetry.operation(name, error, seconds)
        if is_traced():
            ended = time.time_ns()
            done = _tracer.start_span(name, start_time=ended - int(seconds * _NANOSECONDS))
            if error is not None:
                done.set_status(trace.StatusCode.ERROR, type(error).__name__)
            done.end(ended)

    def conflict(self) -> None:
        """See `mendloop.telemetry.Telemetry.conflict`."""
        self._telemetry.conflict()
        trace.get_current_span().add_event("conflict")

    def retry(self) -> None:
        """See `mendloop.telemetry.Telemetry.retry`."""
        self._telemetry.retry()
        trace.get_current_span().add_event("retry")

    def throttled(self) -> None:
        """See `mendloop.telemetry.Telemetry.throttled`."""
        self._telemetry.throttled()
        trace.get_current_span().add_event("throttled")


def wants_traces() -> bool:
    """Whether the environment names where traces go, by OpenTelemetry's own variables."""
    is_off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return not is_off and any(os.environ.get(name) for name in _ENDPOINTS)


@contextlib.contextmanager
def exporting(service_instance: str) -> Iterator[None]:
    """
    Send the spans of this process to where the environment says, by OTLP over HTTP.

    Args:
        service_instance: Names this replica.

    Raises:
        ModuleNotFoundError: The packages for it are not installed.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = {"service.name": "mendloop", "service.version": __version__}
    resource = Resource.create({**named, "service.instance.id": service_instance})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=_FLUSH_SECONDS)))
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        provider.shutdown()
