"""Licences: what a source says is kept from a tier, or told late, through every door."""

import math
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from redis.asyncio import Redis

from db.database import Database
from db.live_bars import BarEvent, LiveBars
from db.quotes import QuoteEvent
from db.redis import Keys
from live.tending import tended
from market import Interval, Provenance, Quote, ServedFrom, Window
from people import Tier
from resolvers.alerts import may_be_told
from resolvers.licensed import licensed
from resolvers.world import World
from sources.licences import Terms
from tests.alerting import Desk, terms
from tests.bars import bar, bars
from tests.gateway.serving import serving
from tests.gateway.sockets import greeted, opened
from tests.people import authenticator, bearer, person
from tests.sources.scripted import Scripted
from tests.world import made_of

BARRED = Terms({"kept": math.inf, "ticks": math.inf})
LATE = Terms({"kept": 900.0, "ticks": 900.0})
SECRET, OPEN = 777.0, 111.0
"""The prices of the source that is kept from guests, and of the other one."""

QUOTE = '{ quote(symbol: "A") { price bid provenance { source servedFrom delaySeconds skipped { source code } } } }'
HISTORY = """{ history(symbol: "A", interval: M1, last: 3) {
  count bars { time close } gaps { from } indicators { sma(period: 2) }
  provenance { source servedFrom delaySeconds skipped { source code } } } }"""
ROUTE = '{ route(symbol: "A", capability: QUOTES) { source wouldAsk reason } }'
ALERT = 'mutation { createAlert(input: {symbol: "A", operator: ABOVE, threshold: 1}) { id } }'
WATCH = 'subscription { quotes(symbols: ["A"]) { price bid provenance { source delaySeconds } } }'
CHART = 'subscription { history(symbol: "A", interval: M1, last: 2) { bars { close } provenance { source } } }'
MINUTE = timedelta(minutes=1)


def quoted(source: str, price: float, age_s: float = 0.0) -> Quote:
    at = datetime.now(UTC) - timedelta(seconds=age_s)
    told = Provenance(source=source, served_from=ServedFrom.LIVE, received_at=at)
    return Quote(symbol="A", price=price, time=at, provenance=told, bid=price, ask=price)


@dataclass
class Town:
    """A server with two sources, of which one is not for everybody."""

    world: World
    url: str
    kept: Scripted
    free: Scripted
    live: LiveBars
    first: datetime
    shown: str = ""
    seq: int = field(default=0)

    async def ask(self, query: str, *, as_admin: bool = False) -> Any:
        """The answer's data, or the extensions of its first error."""
        headers = {"Authorization": self.shown} if as_admin else {}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(self.url, json={"query": query}) as response,
        ):
            answer = await response.json()
        if "errors" in answer:
            return answer["errors"][0]["extensions"]
        [value] = answer["data"].values()
        return value

    async def tick(self, source: str, price: float, age_s: float = 0.0) -> None:
        self.seq += 1
        await self.world.quote_cache.write([QuoteEvent(1, self.seq, quoted(source, price, age_s))], publish=True)

    async def hold(self, source: Scripted, *, since: int = 0, until: int = 60) -> None:
        """Keep the bars of a source, of some minutes, as all that there are."""
        frame = source.bars["A", Interval.M1].slice(since, until - since)
        await self.world.bars.save(
            "A",
            Interval.M1,
            frame,
            source=source.name,
            received_at=datetime.now(UTC),
            covered=Window(self.first + since * MINUTE, self.first + until * MINUTE),
        )


Open = Any


@pytest.fixture
def town(database: Database, redis: Redis, keys: Keys) -> Open:
    """Opens a town in which guests have these terms; its bars are of the 60 minutes up to the present one."""

    @asynccontextmanager
    async def open_town(limits: Mapping[Tier, Terms]) -> AsyncIterator[Town]:
        kept, free = Scripted("kept", 9), Scripted("free", 1)
        kept.quoted["A"], free.quoted["A"] = quoted("kept", SECRET), quoted("free", OPEN)
        first = Interval.M1.floor(datetime.now(UTC)) - 60 * MINUTE
        for source, price in ((kept, SECRET), (free, OPEN)):
            source.bars["A", Interval.M1] = bars(bar(first + n * MINUTE, price) for n in range(60))
        whole = licensed(made_of(database, redis, keys, kept, free), limits)
        async with (
            tended(whole.hub.run),
            serving(whole, authenticator=authenticator(database)) as url,
        ):
            admin = bearer(await person(database, Tier.ADMIN))
            yield Town(whole, url, kept, free, LiveBars(redis, keys), first, admin)
        await whole.aclose()

    return open_town


async def test_a_barred_source_is_passed_over_and_its_cached_quote_is_not_given(town: Open) -> None:
    async with town({Tier.GUEST: BARRED}) as there:
        passed = [{"source": "kept", "code": "SOURCE_BARRED"}]
        for _ in range(2):
            whole = await there.ask(QUOTE, as_admin=True)
            assert (whole["price"], whole["provenance"]["source"], whole["provenance"]["skipped"]) == (
                SECRET,
                "kept",
                [],
            )
        guest = await there.ask(QUOTE)
        assert (guest["price"], guest["provenance"]["source"], guest["provenance"]["skipped"]) == (OPEN, "free", passed)
        again = await there.ask(QUOTE)
        assert (again["price"], again["provenance"]["servedFrom"]) == (OPEN, "CACHE")
        assert (await there.ask(QUOTE, as_admin=True))["price"] == SECRET
        assert (len(there.kept.asked), len(there.free.asked)) == (1, 1)


async def test_where_all_are_barred_the_error_says_so_and_nothing_stale_is_given(town: Open) -> None:
    async with town({Tier.GUEST: Terms({"kept": math.inf, "free": math.inf})}) as there:
        await there.ask(QUOTE, as_admin=True)
        await there.world.recorder.flush()
        refused = await there.ask(QUOTE)
        assert refused["code"] == "SOURCE_UNAVAILABLE"
        assert [(one["source"], one["code"]) for one in refused["sources"]] == [
            ("kept", "SOURCE_BARRED"),
            ("free", "SOURCE_BARRED"),
        ]
        await there.hold(there.kept)
        refused = await there.ask(HISTORY)
        assert (refused["code"], {one["code"] for one in refused["sources"]}) == (
            "SOURCE_UNAVAILABLE",
            {"SOURCE_BARRED"},
        )


async def test_the_route_is_that_of_the_viewer(town: Open) -> None:
    async with town({Tier.GUEST: BARRED}) as there:
        assert [(step["source"], step["wouldAsk"]) for step in await there.ask(ROUTE, as_admin=True)] == [
            ("kept", True),
            ("free", True),
        ]
        assert await there.ask(ROUTE) == [
            {"source": "free", "wouldAsk": True, "reason": "priority 1"},
            {"source": "kept", "wouldAsk": False, "reason": "its licence bars this tier"},
        ]
    async with town({Tier.GUEST: LATE}) as there:
        assert (await there.ask(ROUTE))[0]["reason"] == "priority 9, given 900 s late"


async def test_a_delayed_quote_is_the_newest_that_is_old_enough(town: Open) -> None:
    async with town({Tier.GUEST: LATE}) as there:
        refused = await there.ask(QUOTE)
        assert (refused["code"], refused["source"]) == ("LICENCE_FORBIDS", "kept")
        assert 880 < refused["retryAfter"] <= 900
        for price, age_s in ((1.0, 2000.0), (2.0, 901.0), (3.0, 800.0)):
            await there.world.quote_store.save([quoted("kept", price, age_s)])
        found = await there.ask(QUOTE)
        assert (found["price"], found["bid"], found["provenance"]["delaySeconds"]) == (2.0, 2.0, 900)
        assert found["provenance"]["servedFrom"] == "STORE"
        assert (await there.ask(QUOTE, as_admin=True))["price"] == SECRET
        assert len(there.kept.asked) == 1
        # A price that nobody has paid for long is not young; what is bid for it now is.
        old = quoted("kept", 4.0, 5000.0)
        there.kept.quoted["B"] = Quote(
            symbol="B", price=4.0, time=old.time, provenance=quoted("kept", 4.0).provenance, bid=3.0
        )
        found = await there.ask(QUOTE.replace('"A"', '"B"'))
        assert (found["price"], found["bid"]) == (4.0, None)


async def test_bars_that_are_held_of_a_barred_source_are_fetched_of_another_and_not_kept(town: Open) -> None:
    async with town({Tier.GUEST: BARRED}) as there:
        await there.hold(there.kept)
        for _ in range(2):
            guest = await there.ask(HISTORY)
            assert [one["close"] for one in guest["bars"]] == [OPEN] * 3
            assert guest["indicators"]["sma"] == [OPEN] * 3
            assert guest["provenance"]["source"] == "free"
            assert guest["provenance"]["skipped"] == [{"source": "kept", "code": "SOURCE_BARRED"}]
            whole = await there.ask(HISTORY, as_admin=True)
            assert ([one["close"] for one in whole["bars"]], whole["indicators"]["sma"]) == ([SECRET] * 3, [SECRET] * 3)


async def test_a_window_that_is_held_of_both_is_given_whole_of_the_other(town: Open) -> None:
    async with town({Tier.GUEST: BARRED}) as there:
        await there.hold(there.free, since=40)
        await there.hold(there.kept, until=40)
        asked = HISTORY.replace("last: 3", "last: 30")
        assert [one["close"] for one in (await there.ask(asked))["bars"]] == [OPEN] * 30
        assert (
            len(await there.world.bars.sources("A", Interval.M1, Window(there.first, there.first + 60 * MINUTE))) == 2
        )
        held = await there.ask(asked, as_admin=True)
        assert [one["close"] for one in held["bars"]] == [SECRET] * 10 + [OPEN] * 20


async def test_what_nobody_holds_is_fetched_of_the_other_source_and_kept(town: Open) -> None:
    async with town({Tier.GUEST: BARRED}) as there:
        await there.ask(HISTORY)
        assert (await there.world.bars.sources("A", Interval.M1, Window(there.first, datetime.now(UTC)))) == {"free"}


async def test_delayed_bars_are_those_that_were_over_by_then(town: Open) -> None:
    async with town({Tier.GUEST: LATE}) as there:
        late = await there.ask(HISTORY)
        newest = datetime.fromisoformat(late["bars"][-1]["time"])
        now = datetime.now(UTC)
        assert timedelta(0) <= now - (newest + MINUTE) - timedelta(seconds=900) < 2 * MINUTE
        assert (late["count"], late["gaps"], late["provenance"]["delaySeconds"]) == (3, [], 900)
        assert late["indicators"]["sma"] == [SECRET] * 3
        whole = await there.ask(HISTORY, as_admin=True)
        assert datetime.fromisoformat(whole["bars"][-1]["time"]) - newest >= timedelta(minutes=14)
        young = HISTORY.replace("last: 3", f'from: "{(now - 5 * MINUTE).isoformat()}"')
        assert (await there.ask(young))["code"] == "LICENCE_FORBIDS"


async def test_bars_of_a_source_that_is_free_are_not_late(town: Open) -> None:
    async with town({Tier.GUEST: Terms({"kept": 900.0, "other": 60.0})}) as there:
        await there.hold(there.free)
        there.kept.error = ConnectionError("away")
        found = await there.ask(HISTORY)
        newest = datetime.fromisoformat(found["bars"][-1]["time"])
        assert (newest, found["provenance"]["delaySeconds"]) == (there.first + 59 * MINUTE, None)


DOORS = [
    "/api/market/realtime/A",
    "/api/market/historical/A?interval=1m&limit=5",
    "/api/market/historical/A?interval=1m&limit=5&format=csv",
    "/api/market/indicators/A?indicators=sma:2&interval=1m",
    "/udf/quotes?symbols=A",
    "/udf/history?symbol=A&resolution=1&from=0&to=2000000000&countback=5",
]


def numbers(text: str) -> set[float]:
    """The numbers of a text, whole: an instant has the digits of many a price."""
    return {float(one) for one in re.findall(r"\d+(?:\.\d+)?", text)}


@pytest.mark.parametrize("path", DOORS)
async def test_every_other_door_obeys(town: Open, path: str) -> None:
    async with town({Tier.GUEST: BARRED}) as there, aiohttp.ClientSession() as session:
        await there.hold(there.kept)
        await there.tick("kept", SECRET)
        where = there.url.removesuffix("/graphql") + path
        async with session.get(where) as response:
            guest = await response.text()
        async with session.get(where, headers={"Authorization": there.shown}) as response:
            whole = await response.text()
        assert {SECRET, OPEN} & numbers(guest) == {OPEN}, guest
        assert {SECRET, OPEN} & numbers(whole) == {SECRET}, whole


async def test_live_ticks_of_a_barred_source_are_refused_once_until_another_streams(town: Open) -> None:
    async with town({Tier.GUEST: BARRED}) as there, greeted(there.url) as client:
        await client.subscribe(WATCH)
        [first] = await client.payloads(1)
        assert first["quotes"]["price"] == OPEN
        for price in (SECRET, SECRET + 1):
            await there.tick("kept", price)
        await there.tick("free", 112.0)
        told = [await client.next(), await client.next()]
        [error] = told[0]["payload"]["errors"]
        assert (error["extensions"]["code"], error["extensions"]["source"]) == ("LICENCE_FORBIDS", "kept")
        assert told[1]["payload"]["data"]["quotes"]["price"] == 112.0
        await there.tick("kept", SECRET)
        assert (await client.next())["payload"]["errors"][0]["extensions"]["code"] == "LICENCE_FORBIDS"


async def test_who_comes_while_a_barred_source_streams_is_told_so(town: Open) -> None:
    async with town({Tier.GUEST: BARRED}) as there, greeted(there.url) as client:
        await client.subscribe(WATCH)
        assert (await client.next())["payload"]["data"]["quotes"]["price"] == OPEN
        await there.tick("kept", SECRET)
        assert (await client.next())["payload"]["errors"][0]["extensions"]["code"] == "LICENCE_FORBIDS"
        await client.subscribe(WATCH, "2")
        refused, given = await client.next(), await client.next()
        assert refused["payload"]["errors"][0]["extensions"]["code"] == "LICENCE_FORBIDS"
        assert given["payload"]["data"]["quotes"]["price"] == OPEN


async def test_the_plain_socket_refuses_the_ticks_of_a_barred_source(town: Open) -> None:
    async with town({Tier.GUEST: BARRED}) as there:
        url = there.url.removesuffix("/graphql") + "/ws/market-data"
        async with opened(url, protocols=()) as client:
            await client.ws.send_json({"type": "subscribe", "symbols": ["A"]})
            said = [await client.next() for _ in range(3)]
            assert [message["type"] for message in said] == ["connection", "subscribed", "market_data"]
            assert said[2]["data"][0]["price"] == OPEN
            await there.tick("kept", SECRET)
            refused = await client.next()
            assert (refused["type"], refused["code"], refused["symbol"]) == ("error", "LICENCE_FORBIDS", "A")


async def test_live_ticks_are_held_back_for_as_long_as_the_licence_says(town: Open) -> None:
    async with town({Tier.GUEST: Terms({"kept": 900.0})}) as there, greeted(there.url) as client:
        await there.world.quote_store.save([quoted("kept", 1.0, 1000.0)])
        await client.subscribe(WATCH)
        [first] = await client.payloads(1)
        assert first["quotes"]["price"] == 1.0
        await there.tick("kept", 5.0, 898.0)
        await there.tick("kept", SECRET)  # not before a quarter of an hour is over
        [given] = await client.payloads(1)
        assert given["quotes"] == {"price": 5.0, "bid": 5.0, "provenance": {"source": "kept", "delaySeconds": 900}}


async def test_a_live_chart_of_a_barred_source_moves_as_queries_do(town: Open) -> None:
    async with town({Tier.GUEST: BARRED}) as there, greeted(there.url) as client:
        await there.hold(there.kept)
        await client.subscribe(CHART)
        [first] = await client.payloads(1)
        assert first["history"] == {"bars": [{"close": OPEN}] * 2, "provenance": {"source": "free"}}
        time = there.first + 59 * MINUTE
        there.free.bars["A", Interval.M1] = bars(bar(there.first + n * MINUTE, 112.0) for n in range(60))
        for number, (source, is_final) in enumerate([("kept", False), ("kept", True)]):
            event = BarEvent(1, number + 1, "A", Interval.M1, time, *(SECRET,) * 4, 1.0, is_final, (source,))
            await there.live.publish([event])
        [moved] = await client.payloads(1)
        assert moved["history"] == {"bars": [{"close": 112.0}] * 2, "provenance": {"source": "free"}}


async def test_nobody_has_alerts_on_what_a_licence_keeps_from_him(
    town: Open, database: Database, redis: Redis, keys: Keys
) -> None:
    async with town({Tier.GUEST: LATE, Tier.REGISTERED: LATE}) as there:
        user = await person(database)
        admin, there.shown = there.shown, bearer(user)
        assert await there.ask(ALERT, as_admin=True) == {"code": "LICENCE_FORBIDS", "symbol": "A", "source": "kept"}
        there.shown = admin
        assert "id" in await there.ask(ALERT, as_admin=True)
        # One that he had before is not watched.
        desk = Desk(database, redis, keys, user.id)
        await desk.alert(terms(1.0))
        async with desk.watch(may_see=lambda alert: may_be_told(there.world, alert)) as watch:
            assert len(watch) == 1
            desk.tick(watch, SECRET)
            desk.tick(watch, 0.5)
            desk.tick(watch, SECRET)
            await desk.written(watch)
        assert await desk.events() == []
        async with database.connection() as connection:
            assert await connection.fetchval("SELECT count(*) FROM alert_events") == 1


async def test_nobody_has_a_world_of_his_own_without_licences(town: Open) -> None:
    async with town({}) as there:
        assert (there.world.limited, there.world.licensed_ticks, bool(there.world.terms)) == ({}, None, False)
        assert (await there.ask(QUOTE))["price"] == SECRET
