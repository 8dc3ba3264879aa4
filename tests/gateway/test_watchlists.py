"""Watchlists over GraphQL: saved, shown with their quotes, and refused."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from redis.asyncio import Redis

from db.database import Database
from db.redis import Keys
from tests.gateway.serving import serving
from tests.people import authenticator, bearer, person
from tests.sources.scripted import Scripted
from tests.world import made_of

SAVE = "mutation ($name: String!, $symbols: [Symbol!]!) { saveWatchlist(name: $name, symbols: $symbols) { SHOWN } }"
SHOWN = "name symbols quotes { symbol price }"
LISTED = f"{{ watchlists {{ {SHOWN} }} }}"


@dataclass
class Door:
    """Where somebody is signed in."""

    url: str
    session: aiohttp.ClientSession
    source: Scripted

    async def ask(self, query: str, **variables: Any) -> Any:
        request = {"query": query.replace("SHOWN", SHOWN), "variables": variables}
        async with self.session.post(self.url, json=request) as response:
            return await response.json()


@pytest.fixture
async def door(database: Database, redis: Redis, keys: Keys) -> AsyncIterator[Door]:
    source = Scripted("first", 9, unknown=frozenset({"NOSUCH"}))
    shown = {"Authorization": bearer(await person(database))}
    async with (
        serving(made_of(database, redis, keys, source), authenticator=authenticator(database)) as url,
        aiohttp.ClientSession(headers=shown) as session,
    ):
        yield Door(url, session, source)


async def test_a_list_is_saved_trimmed_in_our_spelling_and_without_doubles(door: Door) -> None:
    answer = await door.ask(SAVE, name="  Tech ", symbols=["msft", "AAPL", "MSFT"])
    quotes = [{"symbol": "MSFT", "price": 1.0}, {"symbol": "AAPL", "price": 1.0}]
    saved = {"name": "Tech", "symbols": ["MSFT", "AAPL"], "quotes": quotes}
    assert answer == {"data": {"saveWatchlist": saved}}
    assert await door.ask(LISTED) == {"data": {"watchlists": [saved]}}


async def test_the_quotes_of_all_lists_are_one_question(door: Door) -> None:
    for name, symbols in (("a", ["A", "B"]), ("b", ["B", "C"]), ("c", [])):
        await door.ask(SAVE.replace("SHOWN", "id"), name=name, symbols=symbols)
    assert door.source.asked == []
    lists = (await door.ask(LISTED))["data"]["watchlists"]
    assert [[quote["symbol"] for quote in one["quotes"]] for one in lists] == [["A", "B"], ["B", "C"], []]
    assert door.source.asked == [("A", "B", "C")]


async def test_a_symbol_without_a_quote_blanks_no_other(door: Door) -> None:
    answer = await door.ask(SAVE, name="a", symbols=["A", "NOSUCH"])
    assert answer["data"]["saveWatchlist"]["quotes"] == [{"symbol": "A", "price": 1.0}, None]
    [error] = answer["errors"]
    assert (error["path"], error["extensions"]["code"]) == (["saveWatchlist", "quotes", 1], "SYMBOL_NOT_FOUND")


@pytest.mark.parametrize(
    ("name", "symbols", "extensions"),
    [
        ("", [], {"code": "INVALID_PARAMETER", "maximum": 60}),
        ("  ", [], {"code": "INVALID_PARAMETER", "maximum": 60}),
        ("x" * 61, [], {"code": "INVALID_PARAMETER", "maximum": 60}),
        ("a\x00b", [], {"code": "INVALID_PARAMETER", "maximum": 60}),
        ("a\nb", [], {"code": "INVALID_PARAMETER", "maximum": 60}),
        ("a", ["A", "B C"], {"code": "INVALID_SYMBOL", "symbol": "B C"}),
        ("a", [f"S{number}" for number in range(101)], {"code": "TOO_MANY_SYMBOLS", "limit": 100}),
        ("fourth", [], {"code": "TOO_MANY_WATCHLISTS", "limit": 3}),
    ],
)
async def test_what_is_refused_changes_nothing(
    door: Door, name: str, symbols: list[str], extensions: dict[str, Any]
) -> None:
    for held in ("a", "b", "x" * 60):
        await door.ask(SAVE, name=held, symbols=["A"])
    before = await door.ask(LISTED)
    answer = await door.ask(SAVE, name=name, symbols=symbols)
    assert (answer["data"], [error["extensions"] for error in answer["errors"]]) == (None, [extensions])
    assert await door.ask(LISTED) == before


@pytest.mark.parametrize("watchlist_id", ["1", "00000000-0000-4000-8000-000000000000"])
async def test_a_list_that_is_not_there_is_not_deleted(door: Door, watchlist_id: str) -> None:
    answer = await door.ask("mutation ($id: ID!) { deleteWatchlist(id: $id) }", id=watchlist_id)
    assert [error["extensions"] for error in answer["errors"]] == [{"code": "WATCHLIST_NOT_FOUND"}]
