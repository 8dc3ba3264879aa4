"""Traces: what a request took, step by step, told to a receiver that speaks OTLP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

import tracing
from tests.conftest import smartfin
from tests.waiting import until

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
OTHER = f"00-{'a' * 32}-{PARENT}-01"


class Receiver:
    """Takes spans as they come."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.services: set[str] = set()
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        told = ExportTraceServiceRequest.FromString(await request.read())
        for resource in told.resource_spans:
            self.services |= {one.value.string_value for one in resource.resource.attributes if "name" in one.key}
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]
        return web.Response(content_type="application/x-protobuf")


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    application = web.Application()
    application.add_routes([web.post("/v1/traces", receiver.take)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield receiver
    finally:
        await runner.cleanup()


def attributes(span: Span) -> dict[str, str]:
    return {one.key: one.value.string_value for one in span.attributes}


async def test_a_request_is_traced_from_the_caller_to_the_store(stores: dict[str, str]) -> None:
    query = '{ history(symbol: "AAPL", last: 5) { bars { close } } }'
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
    async with receiving() as receiver:
        with smartfin(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url, OTEL_BSP_SCHEDULE_DELAY="100", **stores) as server:
            async with (
                aiohttp.ClientSession() as session,
                session.post(server.graphql, json={"query": query}, headers=headers) as response,
            ):
                assert "errors" not in await response.json()
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"{server.url}/api/market/realtime/AAPL", headers={"traceparent": OTHER}) as response,
            ):
                assert response.status == 200
            await until(lambda: sum(span.name == "request" for span in receiver.spans) == 2)
    traced = [span for span in receiver.spans if span.trace_id.hex() == TRACE]
    [request] = [span for span in traced if span.name == "request"]
    [operation] = [span for span in traced if span.name == "query"]
    assert request.parent_span_id.hex() == PARENT
    assert (operation.parent_span_id, attributes(operation)) == (request.span_id, {"operation": "other"})
    below = {span.name: attributes(span) for span in traced if span.parent_span_id == operation.span_id}
    assert below["postgresql"] == {}
    assert below["source"] == {"source": "sandbox", "capability": "HISTORY"}
    doors = [span for span in receiver.spans if span.trace_id.hex() == "a" * 32]
    assert {(span.name, attributes(span).get("operation")) for span in doors} >= {
        ("request", None),
        ("query", "Realtime"),
    }
    assert receiver.services == {"smartfin"}


async def test_of_an_error_only_the_class_is_told() -> None:
    async with receiving() as receiver:
        async with tracing.traced(receiver.url):
            try:
                with tracing.request(), tracing.span("step"):
                    raise ValueError("geheim")
            except ValueError:
                pass
        [step, request] = receiver.spans
    assert [span.name for span in (step, request)] == ["step", "request"]
    assert attributes(step) == {"error.type": "ValueError"}
    assert not any(b"geheim" in span.SerializeToString() for span in receiver.spans)


async def test_without_an_endpoint_nothing_is_recorded() -> None:
    async with tracing.traced(None):
        tracing.follow(b"00-nonsense")
        assert tracing.span("a") is tracing.span("b", source="x") is tracing.request()
