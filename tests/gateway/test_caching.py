"""What others may keep: history that is over and whole, for a while; nothing else."""

from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from db.database import Database
from tests.conftest import Running
from tests.people import bearer, person

PAST = '{ history(symbol: "SIM050", from: "2020-01-01", to: "2020-02-01") { count bars { time close } } }'
PAST_LAST = '{ history(symbol: "SIM050", to: "2020-02-01", last: 5) { bars { close } } }'
KEPT = "max-age=300"


async def got(server: Running, query: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(server.graphql, params={"query": query}, headers=headers) as response,
    ):
        return response.status, {name.lower(): value for name, value in response.headers.items()}, await response.read()


@pytest.mark.parametrize("query", [PAST, PAST_LAST, f"{PAST[:-1]} b: {PAST_LAST[2:]}"])
async def test_history_that_is_over_may_be_kept_for_a_while(sandbox: Running, query: str) -> None:
    status, headers, body = await got(sandbox, query)
    assert status == 200
    assert headers["cache-control"] == f"public, {KEPT}"
    assert headers["vary"] == "accept, accept-encoding, authorization, origin"
    tag = headers["etag"]
    assert tag.startswith('W/"')
    again = await got(sandbox, query)
    assert (again[1]["etag"], again[2]) == (tag, body)


async def test_who_has_the_answer_is_not_sent_it_again(sandbox: Running) -> None:
    tag = (await got(sandbox, PAST))[1]["etag"]
    for known in (tag, f'"other", {tag}', tag.removeprefix("W/"), "*"):
        status, headers, body = await got(sandbox, PAST, **{"If-None-Match": known})
        assert (status, headers["etag"], body) == (304, tag, b"")
        assert headers["cache-control"] == f"public, {KEPT}"
    assert (await got(sandbox, PAST, **{"If-None-Match": '"other"'}))[0] == 200


async def test_what_a_caller_was_let_in_for_is_kept_by_nobody_else(
    sandbox: Running, sandbox_database: Database
) -> None:
    _, headers, _ = await got(sandbox, PAST, Authorization=bearer(await person(sandbox_database)))
    assert headers["cache-control"] == f"private, {KEPT}"


@pytest.mark.parametrize(
    "query",
    [
        "{ __typename }",
        '{ quote(symbol: "SIM050") { price } }',
        '{ history(symbol: "SIM050", last: 5) { bars { close } } }',
        '{ history(symbol: "SIM050", from: "2020-01-01") { count } }',
        '{ history(symbol: "SIM050", last: 5, to: "2999-01-01") { count } }',
        f'{PAST[:-1]} quote(symbol: "SIM050") {{ price }} }}',
        f'{PAST[:-1]} other: history(symbol: "NOSUCH", to: "2020-01-01") {{ count }} }}',
        '{ history(symbol: "SIM050", from: "1990-01-01", to: "1990-02-01") { count } }',
        '{ history(symbol: "SIM050", to: "2020-02-01", last: 5) { count indicators { sma(period: 0) } } }',
        "{ nothing }",
    ],
)
async def test_nothing_else_may_be_kept(sandbox: Running, query: str) -> None:
    _, headers, _ = await got(sandbox, query)
    assert headers["cache-control"] == "no-store"
    assert "etag" not in headers


async def test_what_ended_a_few_hours_ago_may_still_be_corrected(sandbox: Running) -> None:
    ended = (datetime.now(UTC) - timedelta(hours=3)).isoformat().replace("+00:00", "Z")
    query = f'{{ history(symbol: "SIM050", interval: M5, to: "{ended}", last: 5) {{ bars {{ isFinal }} }} }}'
    _, headers, body = await got(sandbox, query)
    assert b"false" not in body
    assert headers["cache-control"] == "no-store"


async def test_an_answer_by_post_is_not_kept(sandbox: Running) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(sandbox.graphql, json={"query": PAST}) as response,
    ):
        answer: Any = await response.json()
        assert answer["data"]["history"]["count"] == 31
        assert response.headers["Cache-Control"] == "no-store"
