"""Preferences over GraphQL: kept field by field, and refused."""

from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from db.database import Database
from db.users import UserStore
from errors import Unauthenticated
from people import NotificationMethod
from tests.gateway.serving import serving, world
from tests.people import authenticator, bearer, person

FIELDS = "notificationMethods updateFrequencySeconds markets assetTypes"
SAVE = f"mutation ($of: PreferencesInput!) {{ savePreferences(input: $of) {{ {FIELDS} }} }}"
KEPT = f"{{ me {{ preferences {{ {FIELDS} }} }} }}"
DEFAULTS = {"notificationMethods": ["WEB"], "updateFrequencySeconds": 60, "markets": [], "assetTypes": []}

Ask = Callable[..., Awaitable[Any]]


@pytest.fixture
async def ask(database: Database) -> AsyncIterator[Ask]:
    shown = {"Authorization": bearer(await person(database))}
    methods = frozenset({NotificationMethod.WEB, NotificationMethod.WEBHOOK})
    answering: SimpleNamespace = world(users=UserStore(database), notification_methods=methods)
    async with (
        serving(answering, authenticator=authenticator(database)) as url,
        aiohttp.ClientSession(headers=shown) as session,
    ):

        async def asked(query: str, **variables: Any) -> Any:
            async with session.post(url, json={"query": query, "variables": variables}) as response:
                return await response.json()

        yield asked


async def test_what_is_left_out_or_null_stays_as_it_is(ask: Ask) -> None:
    assert await ask(KEPT) == {"data": {"me": {"preferences": DEFAULTS}}}
    held = DEFAULTS
    for change, becomes in (
        ({"updateFrequencySeconds": 1}, {}),
        (
            {"markets": ["xnas", "CRYPTO", "XNAS"], "assetTypes": None},
            {"markets": ["XNAS", "CRYPTO"], "assetTypes": []},
        ),
        ({"assetTypes": ["CRYPTO", "ETF", "ETF"]}, {"assetTypes": ["CRYPTO", "ETF"]}),
        ({"notificationMethods": ["WEBHOOK", "WEB"], "updateFrequencySeconds": 86_400}, {}),
        ({"notificationMethods": [], "markets": []}, {}),
        ({}, {}),
    ):
        held = held | change | becomes
        assert await ask(SAVE, of=change) == {"data": {"savePreferences": held}}
        assert await ask(KEPT) == {"data": {"me": {"preferences": held}}}


@pytest.mark.parametrize(
    ("change", "extensions"),
    [
        ({"updateFrequencySeconds": 0}, {"code": "INVALID_PARAMETER", "minimum": 1, "maximum": 86_400}),
        ({"updateFrequencySeconds": 86_401}, {"code": "INVALID_PARAMETER", "minimum": 1, "maximum": 86_400}),
        ({"markets": ["XNAS", "NOSUCH"]}, {"code": "MARKET_NOT_FOUND", "market": "NOSUCH"}),
        ({"notificationMethods": ["WEB", "SMS"]}, {"code": "NOTIFICATION_REFUSED"}),
    ],
)
async def test_what_is_refused_changes_nothing(ask: Ask, change: dict[str, Any], extensions: dict[str, Any]) -> None:
    answer = await ask(SAVE, of={"assetTypes": ["ETF"], **change})
    assert (answer["data"], [error["extensions"] for error in answer["errors"]]) == (None, [extensions])
    assert await ask(KEPT) == {"data": {"me": {"preferences": DEFAULTS}}}


async def test_nothing_is_kept_for_who_is_gone(database: Database) -> None:
    users, gone = UserStore(database), await person(database)
    async with database.connection() as connection:
        await connection.execute("DELETE FROM users WHERE id = $1", gone.id)
    with pytest.raises(Unauthenticated):
        await users.preferences(gone.id)
    with pytest.raises(Unauthenticated):
        await users.save_preferences(gone.id, {"markets": []})
