"""Traces over OTLP, to where OTEL_EXPORTER_OTLP_ENDPOINT says; where it says nothing, nothing is recorded or loaded."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Final

from structlog.contextvars import bind_contextvars

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

EXPORT_S: Final = 2.0
"""How long the receiver may take for a batch: the end of a process waits for the last one."""

_NOTHING: Final = nullcontext()
_tracer: "Tracer | None" = None


@asynccontextmanager
async def traced(endpoint: str | None) -> AsyncIterator[None]:
    """What the spans record goes to the endpoint, in batches from a thread, until closed; None: nowhere.

    The SDK reads its other settings itself: OTEL_SERVICE_NAME, OTEL_EXPORTER_OTLP_HEADERS, OTEL_TRACES_SAMPLER, …
    """
    if endpoint is None:
        yield
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - see above
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    resource = Resource({"service.name": "smartfin"}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_S)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    global _tracer  # noqa: PLW0603 - as with logs, a process has one
    _tracer = provider.get_tracer("smartfin")
    try:
        yield
    finally:
        _tracer = None
        await asyncio.to_thread(provider.shutdown)


def follow(traceparent: bytes | None) -> None:
    """Have the spans of this task be part of the caller's trace (W3C Trace Context)."""
    if _tracer is None or traceparent is None:
        return
    from opentelemetry.context import attach  # noqa: PLC0415
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

    attach(TraceContextTextMapPropagator().extract({"traceparent": traceparent.decode("ascii", "replace")}))


def span(name: str, **attributes: str) -> AbstractContextManager[None]:
    """What runs within is one step of the trace; of an error only its class is recorded, for its text may tell much."""
    return _NOTHING if _tracer is None else _recorded(_tracer, name, attributes)


def request() -> AbstractContextManager[None]:
    """What runs within answers a request; its lines in the log have the id of the trace."""
    return _NOTHING if _tracer is None else _request(_tracer)


@contextmanager
def _request(tracer: "Tracer") -> Iterator[None]:
    from opentelemetry.trace import format_trace_id, get_current_span  # noqa: PLC0415

    with _recorded(tracer, "request", {}):
        bind_contextvars(trace_id=format_trace_id(get_current_span().get_span_context().trace_id))
        yield


@contextmanager
def _recorded(tracer: "Tracer", name: str, attributes: dict[str, str]) -> Iterator[None]:
    from opentelemetry.trace import StatusCode  # noqa: PLC0415

    with tracer.start_as_current_span(
        name, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as recorded:
        try:
            yield
        except BaseException as error:
            recorded.set_attribute("error.type", type(error).__name__)
            recorded.set_status(StatusCode.ERROR)
            raise
