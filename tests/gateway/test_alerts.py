"""Alerts as clients have them, from a real server; and that they survive its being killed."""

import asyncio
import random
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
from aiohttp import web

from db.alert_bus import AlertBus
from db.alerts import AlertStore, AlertTerms
from db.database import Database
from db.redis import Keys, connect, database_of
from db.users import Account
from errors import TooManyAlerts
from market import AlertMetric, AlertOperator
from people import NotificationMethod
from sources.listing import LISTINGS
from tests.alerting import new_user, terms
from tests.conftest import Running, smartfin
from tests.people import bearer, person
from tests.waiting import until

CREATE = "mutation ($input: AlertInput!) { createAlert(input: $input) { id isActive symbol period threshold } }"
UPDATE = "mutation ($id: ID!, $input: AlertInput!) { updateAlert(id: $id, input: $input) { id threshold isActive } }"
DELETE = "mutation ($id: ID!) { deleteAlert(id: $id) }"
EVENTS = """
query ($first: Int! = 20, $after: String) { alertEvents(first: $first, after: $after) {
  edges { cursor node { id message value quote { symbol price } alert { id } deliveries { method status attempts } } }
  pageInfo { hasNextPage endCursor }
} }
"""
WATCH = "subscription { alerts { id message value alert { id isActive } deliveries { method status } } }"
NEVER = {"symbol": "AAPL", "operator": "ABOVE", "threshold": 1e9}


async def create(server: Running, account: Account, **asked: Any) -> Any:
    told = await server.data(CREATE, authorization=bearer(account), input=asked)
    return told["createAlert"]


async def test_an_alert_fires_is_told_at_once_and_stays_among_the_events(
    sandbox: Running, sandbox_database: Database
) -> None:
    ann = await person(sandbox_database)
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(sandbox.graphql.replace("http", "ws"), protocols=["graphql-transport-ws"]) as socket,
    ):
        await socket.send_json({"type": "connection_init", "payload": {"authorization": bearer(ann)}})
        assert (await socket.receive_json())["type"] == "connection_ack"
        await socket.send_json({"id": "1", "type": "subscribe", "payload": {"query": WATCH}})
        # The subscription has no snapshot that would say that it is in force, so each try has an alert of its own.
        told = asyncio.create_task(socket.receive_json())
        made = []
        while not told.done():
            made.append((await create(sandbox, ann, symbol="aapl", operator="ABOVE", threshold=0.5))["id"])
            await asyncio.wait([told], timeout=5)
        event = told.result()["payload"]["data"]["alerts"]
    assert event["alert"]["id"] in made
    assert event["alert"]["isActive"] is False
    assert event["message"] == f"AAPL: price is above 0.5; it is {event['value']:.10g}"
    assert event["deliveries"] == [{"method": "WEB", "status": "DELIVERED"}]
    page = (await sandbox.data(EVENTS, authorization=bearer(ann)))["alertEvents"]
    [kept] = [edge["node"] for edge in page["edges"] if edge["node"]["id"] == event["id"]]
    assert kept["quote"] == {"symbol": "AAPL", "price": event["value"]}


@pytest.mark.long
async def test_bars_are_measured_as_a_query_measures_them(sandbox: Running, sandbox_database: Database) -> None:
    ann = await person(sandbox_database)
    alert = await create(
        sandbox, ann, symbol="BTC-USD", metric="RSI", interval="M1", operator="ABOVE", threshold=0.001, period=9
    )
    assert alert["period"] == 9

    async def fired() -> Any:
        return (await sandbox.data(EVENTS, authorization=bearer(ann)))["alertEvents"]["edges"]

    [edge] = await until(fired, 100)
    told = await sandbox.data(
        '{ history(symbol: "BTC-USD", interval: M1, last: 6) { bars { isFinal } indicators { rsi(period: 9) } } }'
    )
    assert edge["node"]["value"] in told["history"]["indicators"]["rsi"]
    assert edge["node"]["quote"] is None


async def test_nobody_reaches_the_alerts_of_another(sandbox: Running, sandbox_database: Database) -> None:
    ann, bob = await person(sandbox_database), await person(sandbox_database)
    alert = await create(sandbox, ann, **NEVER)
    for document, variables in [(UPDATE, {"input": {**NEVER, "threshold": 2e9}}), (DELETE, {})]:
        for asked in (alert["id"], str(uuid4()), "1; DROP TABLE users"):
            answer = await sandbox.ask(document, authorization=bearer(bob), id=asked, **variables)
            [error] = answer["errors"]
            assert error["extensions"]["code"] == "ALERT_NOT_FOUND"
    mine = "{ alerts { id threshold } webhookSecret }"
    told, others = [await sandbox.data(mine, authorization=bearer(who)) for who in (ann, bob)]
    assert told["alerts"] == [{"id": alert["id"], "threshold": 1e9}]
    assert others["alerts"] == []
    assert told["webhookSecret"] != others["webhookSecret"]
    changed = await sandbox.data(UPDATE, authorization=bearer(ann), id=alert["id"], input={**NEVER, "threshold": 2e9})
    assert changed["updateAlert"]["threshold"] == 2e9
    assert (await sandbox.data(DELETE, authorization=bearer(ann), id=alert["id"])) == {"deleteAlert": alert["id"]}
    assert (await sandbox.data(mine, authorization=bearer(ann)))["alerts"] == []


@pytest.mark.parametrize("document", ["{ alerts { id } }", "{ alertEvents { edges { cursor } } }", "{ webhookSecret }"])
async def test_a_guest_has_no_alerts(sandbox: Running, document: str) -> None:
    [error] = (await sandbox.ask(document))["errors"]
    assert error["extensions"]["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"symbol": "A B"}, "INVALID_SYMBOL"),
        ({"symbol": "NOSUCHTHING"}, "SYMBOL_NOT_FOUND"),
        ({"threshold": 0}, "INVALID_PARAMETER"),
        ({"metric": "RSI", "interval": "H1", "threshold": 100}, "INVALID_PARAMETER"),
        ({"metric": "CHANGE_PERCENT", "threshold": -100}, "INVALID_PARAMETER"),
        ({"metric": "RSI", "threshold": 50}, "INVALID_PARAMETER"),
        ({"metric": "SMA", "interval": "D1", "period": 0}, "INVALID_PERIOD"),
        ({"metric": "MACD_HISTOGRAM", "interval": "D1", "period": 5}, "INVALID_PERIOD"),
        ({"period": 5}, "INVALID_PERIOD"),
        ({"cooldownSeconds": 0}, "INVALID_PARAMETER"),
        ({"notificationMethods": ["EMAIL"]}, "NOTIFICATION_REFUSED"),
        ({"notificationMethods": ["WEBHOOK"]}, "INVALID_PARAMETER"),
        ({"webhookUrl": "https://example.com"}, "INVALID_PARAMETER"),
        *(
            ({"notificationMethods": ["WEBHOOK"], "webhookUrl": url}, "INVALID_PARAMETER")
            for url in ("ftp://a", "https://", "https://me:pw@a", "file:///etc/passwd", "http://a:99999", "http://a b")
        ),
    ],
)
async def test_what_makes_no_sense_is_refused(
    sandbox: Running, sandbox_database: Database, asked: dict[str, Any], code: str
) -> None:
    ann = await person(sandbox_database)
    answer = await sandbox.ask(CREATE, authorization=bearer(ann), input={**NEVER, **asked})
    assert [error["extensions"]["code"] for error in answer["errors"]] == [code]
    assert (await sandbox.data("{ alerts { id } }", authorization=bearer(ann))) == {"alerts": []}


async def test_events_come_in_pages(sandbox: Running, sandbox_database: Database) -> None:
    ann = await person(sandbox_database)
    for _ in range(5):
        await create(sandbox, ann, symbol="AAPL", operator="ABOVE", threshold=0.5)

    async def page(after: str | None = None) -> Any:
        return (await sandbox.data(EVENTS, authorization=bearer(ann), first=2, after=after))["alertEvents"]

    async def are_all() -> bool:
        told = await sandbox.data(EVENTS, authorization=bearer(ann))
        return len(told["alertEvents"]["edges"]) == 5

    await until(are_all)
    seen, after = [], None
    for has_next in (True, True, False):
        told = await page(after)
        seen += [edge["node"]["id"] for edge in told["edges"]]
        after = told["pageInfo"]["endCursor"]
        assert told["pageInfo"]["hasNextPage"] is has_next
    assert len(set(seen)) == len(seen) == 5
    answer = await sandbox.ask(EVENTS, authorization=bearer(ann), after="x")
    assert answer["errors"][0]["extensions"]["code"] == "INVALID_CURSOR"


async def test_no_more_alerts_are_made_than_a_user_may_have(database: Database) -> None:
    user_id, store = await new_user(database), AlertStore(database)
    made = await asyncio.gather(*(store.create(user_id, terms(), None, 3) for _ in range(8)), return_exceptions=True)
    assert sum(isinstance(alert, TooManyAlerts) for alert in made) == 5
    assert len(await store.alerts(user_id)) == 3


class Hooks:
    """Takes webhooks, and counts how often each message came."""

    def __init__(self) -> None:
        self.got: dict[str, int] = {}

    async def take(self, request: web.Request) -> web.Response:
        self.got[request.headers["webhook-id"]] = self.got.get(request.headers["webhook-id"], 0) + 1
        return web.Response()


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(2, marks=pytest.mark.timeout(300)),
        pytest.param(50, marks=[pytest.mark.long, pytest.mark.timeout(1800)]),
    ],
)
async def test_each_alert_fires_once_though_the_server_is_killed(stores: dict[str, str], kills: int) -> None:
    hooks = Hooks()
    app = web.Application()
    app.router.add_post("/", hooks.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    database = Database(stores["DATABASE_URL"], "sandbox", 2)
    store, redis = AlertStore(database), connect(stores["REDIS_URL"])
    bus = AlertBus(redis, Keys("sandbox", database_of(redis)))
    environment = {**stores, "SMARTFIN_WEBHOOK_HOSTS": "127.0.0.1", "SMARTFIN_SANDBOX_TICKS_PER_SECOND": "10"}
    chance = random.Random(7)
    made: list[UUID] = []

    async def count(state: str) -> int:
        async with database.connection() as connection:
            found: int = await connection.fetchval(f"SELECT count(*) FROM {state}")
        return found

    user_id = None
    for _ in range(kills):
        with smartfin(**environment) as running:
            user_id = user_id or await new_user(database)
            for symbol in list(LISTINGS)[:20]:
                alert = await store.create(
                    user_id,
                    AlertTerms(
                        symbol=symbol,
                        metric=AlertMetric.PRICE,
                        operator=AlertOperator.ABOVE,
                        threshold=1e-9,
                        notification_methods=[NotificationMethod.WEBHOOK],
                        webhook_url=url,
                    ),
                    None,
                    10_000,
                )
                made.append(alert.id)
            await bus.tell_change()
            before = await count("alert_events")
            await until(partial(_more, count, before), 60)
            await asyncio.sleep(chance.random() / 2)
            running.process.kill()
            running.process.wait()
    with smartfin(**environment):
        await until(lambda: _is(count, "alert_events", len(made)), 90)
        async with database.connection() as connection:  # as if a minute had passed: whose sender died is sent again
            await connection.execute("UPDATE deliveries SET due_at = now() WHERE status = 'pending'")
        await until(lambda: _is(count, "deliveries WHERE status = 'delivered'", len(made)), 60)
    async with database.connection() as connection:
        events = await connection.fetch("SELECT alert_id FROM alert_events")
        deliveries = await connection.fetch("SELECT id FROM deliveries")
        active = await connection.fetchval("SELECT count(*) FROM user_subscriptions WHERE is_active")
    await database.aclose()
    await redis.aclose()
    await runner.cleanup()
    assert sorted(str(row["alert_id"]) for row in events) == sorted(map(str, made))
    assert {str(row["id"]) for row in deliveries} == set(hooks.got)
    assert active == 0


async def _more(count: Any, before: int) -> bool:
    return bool(await count("alert_events") > before)


async def _is(count: Any, state: str, expected: int) -> bool:
    return bool(await count(state) >= expected)
