"""What is saved of sources: keys that are known ever after and told to nobody, and what admins choose meanwhile."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from db.database import Database
from people import Tier
from settings import Mode
from tests.conftest import Running, smartfin
from tests.fakes.polygon import KEY, FakePolygon
from tests.people import person, tokens
from tests.waiting import until

SOURCES = "{ sources { name } }"
QUOTE = '{ quote(symbol: "BTC-USD") { price provenance { source } } }'


async def names(server: Running) -> list[str]:
    return [source["name"] for source in (await server.data(SOURCES))["sources"]]


async def test_a_key_outlives_the_environment_that_said_it(stores: dict[str, str], tmp_path: Path) -> None:
    async with FakePolygon() as fake:
        environment = {
            **stores,
            "SMARTFIN_MODE": "live",
            "SMARTFIN_SOURCES": "polygon",
            "SMARTFIN_DATA_DIR": str(tmp_path),
            "SMARTFIN_POLYGON_URL": fake.url,
            "SMARTFIN_POLYGON_WS_URL": fake.ws_url,
        }
        with smartfin(**environment) as server:
            assert await names(server) == []
        with smartfin(**environment, POLYGON_API_KEY=KEY) as server:
            assert await names(server) == ["polygon"]
        with smartfin(**environment) as server:
            assert await names(server) == ["polygon"]
            assert (await server.data(QUOTE))["quote"]["provenance"]["source"] == "polygon"
    assert fake.requests[-1].headers["Authorization"] == f"Bearer {KEY}"


SAVE = "mutation ($of: SourceInput!) { saveSource(input: $of) { name isActive priority breaker } }"
SEEN = "{ sources { name isActive priority } }"
ROUTE = '{ route(symbol: "BTC-USD", capability: QUOTES) { source wouldAsk reason } }'


@asynccontextmanager
async def admin(stores: dict[str, str]) -> AsyncIterator[str]:
    """What an admin of the live mode shows."""
    database = Database(stores["DATABASE_URL"], "live")
    account = await person(database, Tier.ADMIN)
    yield f"Bearer {tokens(Mode.LIVE).signed(account.id, timedelta(hours=1)).text}"
    await database.aclose()


async def test_what_an_admin_saves_counts_in_every_process_and_no_key_is_shown(
    stores: dict[str, str],
) -> None:
    async with FakePolygon() as fake:
        environment = {
            **stores,
            "SMARTFIN_MODE": "live",
            "SMARTFIN_SOURCES": "polygon",
            "SMARTFIN_POLYGON_URL": fake.url,
            "SMARTFIN_POLYGON_WS_URL": fake.ws_url,
        }
        with smartfin(**environment) as here, smartfin("--role", "api", **environment) as there:
            async with admin(stores) as shown:

                async def save(**changes: Any) -> Any:
                    told = await here.ask(SAVE, authorization=shown, of={"name": "polygon", **changes})
                    assert KEY not in str(told)
                    return told["data"]["saveSource"]

                async def sees(server: Running, expected: list[dict[str, Any]]) -> bool:
                    told = await server.data(SEEN)
                    assert KEY not in str(told)
                    return bool(told["sources"] == expected)

                assert await sees(there, [])
                own = await save(apiKey=KEY)
                assert own == {"name": "polygon", "isActive": True, "priority": 60, "breaker": "CLOSED"}
                for server in (here, there):
                    await until(partial(sees, server, [{"name": "polygon", "isActive": True, "priority": 60}]))
                    assert (await server.data(QUOTE))["quote"]["provenance"]["source"] == "polygon"
                assert await save(isActive=False, priority=7) == own | {"isActive": False, "priority": 7}
                for server in (here, there):
                    await until(partial(sees, server, [{"name": "polygon", "isActive": False, "priority": 7}]))
                    [step] = (await server.data(ROUTE))["route"]
                    assert step == {"source": "polygon", "wouldAsk": False, "reason": "an admin has switched it off"}
                assert await save(isActive=True) == own | {"priority": 7}
                assert await save(apiKey="") == own | {"isActive": False, "priority": 7}
                assert (await here.data(ROUTE))["route"][0]["reason"] == "it has no key"
    assert fake.requests[-1].headers["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": "nosuch"}, 'name: there is no source "nosuch" to be asked; name one of sandbox.'),
        ({"priority": -1}, "priority: -1 is outside 0 to 1000."),
        ({"priority": 1001}, "priority: 1001 is outside 0 to 1000."),
        ({"apiKey": "k"}, "apiKey: sandbox needs none."),
    ],
)
async def test_what_cannot_be_saved_is_refused(
    sandbox: Running, sandbox_database: Database, change: dict[str, Any], told: str
) -> None:
    shown = f"Bearer {tokens().signed((await person(sandbox_database, Tier.ADMIN)).id, timedelta(hours=1)).text}"
    answer = await sandbox.ask(SAVE, authorization=shown, of={"name": "sandbox", **change})
    [error] = answer["errors"]
    assert (error["extensions"]["code"], error["message"]) == ("INVALID_PARAMETER", told)
