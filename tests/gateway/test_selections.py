"""What a selection makes of an event: the same in one go as field by field."""

import math
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import pytest
from msgspec import structs

from db.documents import DocumentStore
from gateway.documents import Documents
from gateway.executor import CompiledExecutor
from gateway.request import GraphQLRequest
from gateway.selections import Selections
from live.mailbox import Event
from market import Provenance, Quote, ServedFrom
from people import GUEST, Tier, Viewer
from resolvers.world import Context, World
from schema.build import build_schema
from settings import Settings
from tests.gateway.serving import NoStore, world

NOW = datetime(2026, 1, 2, 3, 4, 5, 678, UTC)
QUOTE = Quote(
    symbol="A",
    price=190.12,
    time=NOW,
    provenance=Provenance(source="test", served_from=ServedFrom.LIVE, received_at=NOW, flags=("DELAYED",)),
    previous_close=187.5,
    volume=1e6,
)
PAYLOADS = {
    "whole": QUOTE,
    "without a number": structs.replace(QUOTE, price=math.nan),
    "without its symbol": structs.replace(QUOTE, symbol=cast(str, None)),
    "nothing": None,
    "an error": ValueError("unforeseen"),
}
PLAIN = [
    "{ symbol }",
    "{ __typename a: price b: price }",
    "{ price @skip(if: true) time }",
    "{ symbol price change changePercent volume bid provenance { source servedFrom receivedAt flags synthetic } }",
]
NOT_PLAIN = ["{ asset { name } }"]


async def made_of(selection: str) -> CompiledExecutor:
    return await asked_by(GUEST, f'subscription {{ told: quotes(symbols: "A") {selection} }}')


async def asked_by(viewer: Viewer, query: str) -> CompiledExecutor:
    documents = Documents(build_schema(), Settings(), cast(DocumentStore, NoStore()))
    context = Context(world=cast(World, world()), request_id="1", viewer=viewer)
    executor = (await documents.prepare(context, GraphQLRequest.of({"query": query}))).compiled.executor({}, context)
    assert isinstance(executor, CompiledExecutor)
    return executor


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
@pytest.mark.parametrize("selection", PLAIN)
async def test_an_event_read_in_one_go_is_what_graphql_core_makes_of_it(
    selection: str, payload: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = await made_of(selection)
    assert executor.event_reader() is not None
    read = Selections().of(executor).answer(Event("", (0, 0), payload))
    monkeypatch.setattr(CompiledExecutor, "event_reader", lambda _: None)
    assert read == Selections().of(executor).answer(Event("", (0, 0), payload))


@pytest.mark.parametrize("selection", NOT_PLAIN)
async def test_what_has_to_be_resolved_is_left_to_graphql_core(selection: str) -> None:
    assert (await made_of(selection)).event_reader() is None


ANN, JOE = Viewer(UUID(int=1), Tier.VIP), Viewer(UUID(int=2), Tier.VIP)
ALERTS = "subscription { alerts { id } }"
QUOTES = 'subscription { quotes(symbols: "A") { price } }'


@pytest.mark.parametrize(
    ("query", "others", "is_shared"),
    [
        (QUOTES, JOE, True),
        (QUOTES, GUEST, False),
        (ALERTS, JOE, False),
        (ALERTS, ANN, True),
        ("subscription { ...own } fragment own on Subscription { mine: alerts { id } }", JOE, False),
    ],
)
async def test_work_is_shared_within_a_tier_but_for_what_is_ones_own(
    query: str, others: Viewer, is_shared: bool
) -> None:
    selections = Selections()
    first, second = [selections.of(await asked_by(viewer, query)) for viewer in (ANN, others)]
    assert (first is second) is is_shared
