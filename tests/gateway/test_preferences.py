"""Preferences over GraphQL: kept field by field, refused, and gone by."""

from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import aiohttp
import pytest
from redis.asyncio import Redis

from db.database import Database
from db.redis import Keys
from db.users import Preferences, UserStore
from errors import StoreUnavailable, Unauthenticated
from people import NotificationMethod, Viewer
from resolvers.live import live_quotes
from resolvers.world import Context, World
from tests.conftest import Running
from tests.gateway.serving import serving, world
from tests.gateway.sockets import ticking
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


ALERT = "mutation ($of: AlertInput!) { createAlert(input: $of) { notificationMethods } }"
NEVER = {"symbol": "AAPL", "operator": "ABOVE", "threshold": 1e9}
HOOK = {"webhookUrl": "https://example.com/hook"}


@pytest.mark.parametrize(
    ("preferred", "asked", "expected"),
    [
        (None, {}, ["WEB"]),
        ([], {}, ["WEB"]),
        (["WEBHOOK", "WEB"], {}, ["WEB"]),
        (["WEBHOOK"], {}, ["WEB"]),
        (["WEBHOOK", "WEB"], HOOK, ["WEBHOOK", "WEB"]),
        (["WEBHOOK"], HOOK, ["WEBHOOK"]),
        (["WEBHOOK"], {"notificationMethods": ["WEB"]}, ["WEB"]),
        (["WEB"], {"notificationMethods": ["WEBHOOK"], **HOOK}, ["WEBHOOK"]),
    ],
)
async def test_an_alert_that_says_no_method_has_those_that_are_preferred(
    sandbox: Running, sandbox_database: Database, preferred: Any, asked: dict[str, Any], expected: list[str]
) -> None:
    shown = bearer(await person(sandbox_database))
    if preferred is not None:
        await sandbox.data(SAVE, authorization=shown, of={"notificationMethods": preferred})
    told = await sandbox.data(ALERT, authorization=shown, of={**NEVER, **asked})
    assert told == {"createAlert": {"notificationMethods": expected}}


async def test_assets_go_by_what_is_preferred_where_nothing_else_is_said(
    sandbox: Running, sandbox_database: Database
) -> None:
    shown = bearer(await person(sandbox_database))

    async def found(arguments: str, authorization: str | None = shown) -> list[str]:
        asked = f"{{ assets({arguments}, first: 100) {{ edges {{ node {{ type symbol }} }} }} }}"
        told = await sandbox.data(asked, authorization=authorization)
        return [edge["node"]["type"] for edge in told["assets"]["edges"]]

    before = await found('search: "b"')
    await sandbox.data(SAVE, authorization=shown, of={"assetTypes": ["CRYPTO"]})
    assert set(await found("after: null")) == {"CRYPTO"}
    assert set(await found("type: STOCK")) == {"STOCK"}
    assert len(set(await found("after: null", None))) > 1
    searched = await found('search: "b"')
    assert (sorted(searched), searched[0], before[0]) == (sorted(before), "CRYPTO", "STOCK")
    await sandbox.data(SAVE, authorization=shown, of={"assetTypes": [], "markets": ["FOREX"]})
    assert set(await found("after: null")) == {"FOREX"}


class Chosen:
    """A store of one user's preferences; None where it does not answer."""

    def __init__(self, preferences: Preferences | None) -> None:
        self._preferences = preferences

    async def preferences(self, _user_id: object) -> Preferences:
        if self._preferences is None:
            raise StoreUnavailable("away")
        return self._preferences


@pytest.mark.parametrize(
    ("preferences", "asked", "expected_s"),
    [
        (Preferences(), None, 0.0),
        (Preferences(), 4.0, 0.25),
        (Preferences(update_frequency_seconds=5, is_paced=True), None, 5.0),
        (Preferences(update_frequency_seconds=5, is_paced=True), 4.0, 5.0),
        (Preferences(update_frequency_seconds=5, is_paced=True), 0.1, 10.0),
        (None, 4.0, 0.25),
    ],
)
async def test_live_quotes_keep_to_the_frequency_that_was_chosen(
    redis: Redis, keys: Keys, preferences: Preferences | None, asked: float | None, expected_s: float
) -> None:
    async with ticking(redis, keys, "A") as ticker:
        ticker.world.users = Chosen(preferences)
        for viewer, spacing_s in ((Viewer(uuid4()), expected_s), (Viewer(), 1 / asked if asked else 0.0)):
            info: Any = SimpleNamespace(context=Context(cast(World, ticker.world), viewer=viewer))
            mailbox = await live_quotes(info, ["A"], asked)  # type: ignore[list-item]
            assert mailbox._spacing_s == spacing_s
            mailbox.close()


async def test_a_frequency_counts_once_it_is_chosen(database: Database) -> None:
    users, ann = UserStore(database), await person(database)
    assert not (await users.preferences(ann.id)).is_paced
    assert (await users.save_preferences(ann.id, {"update_frequency_seconds": 60})).is_paced
