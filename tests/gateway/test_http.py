"""GraphQL over HTTP, rule by rule; the audits of another implementation are in `test_audits.py`."""

import gzip
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import strawberry
from yarl import URL

from schema.build import Schema
from tests.gateway.serving import serving, world

JSON = "application/json"
RESPONSE_JSON = "application/graphql-response+json"
TYPENAME = {"query": "{ __typename }"}
MUTATION = {"query": "mutation { __typename }"}
SUBSCRIPTION = {"query": 'subscription { quotes(symbols: ["AAPL"]) { price } }'}


@pytest.fixture(scope="module")
async def url() -> AsyncIterator[str]:
    async with serving(world(), max_body_bytes=2000, compress_from_bytes=4000) as url:
        yield url


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield session


async def sent(
    session: aiohttp.ClientSession, method: str, url: str | URL, **how: Any
) -> tuple[int, str, dict[str, Any]]:
    """Status, media type and body of an answer."""
    async with session.request(method, url, **how) as response:
        return response.status, response.headers["Content-Type"], json.loads(await response.read())


def code(body: dict[str, Any]) -> str:
    [error] = body["errors"]
    found: str = error["extensions"]["code"]
    return found


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("media_type", [JSON, RESPONSE_JSON])
async def test_a_query_is_answered_in_the_type_asked_for(
    session: aiohttp.ClientSession, url: str, method: str, media_type: str
) -> None:
    how: dict[str, Any] = {"params": TYPENAME} if method == "GET" else {"json": TYPENAME}
    answer = await sent(session, method, url, headers={"Accept": media_type}, **how)
    assert answer == (200, f"{media_type}; charset=utf-8", {"data": {"__typename": "Query"}})


async def test_variables_and_a_name_choose_what_is_asked(session: aiohttp.ClientSession, url: str) -> None:
    query = "query A { __typename } query B($name: String!) { __type(name: $name) { name } }"
    asked = {"query": query, "operationName": "B", "variables": {"name": "Quote"}}
    expected = {"data": {"__type": {"name": "Quote"}}}
    assert (await sent(session, "POST", url, json=asked))[2] == expected
    by_get = {**asked, "variables": json.dumps(asked["variables"]), "extensions": "{}"}
    assert (await sent(session, "GET", url, params=by_get))[2] == expected


# What is well formed and not executed is 200 for clients of application/json, as they have always known it.
NOT_EXECUTED: list[tuple[dict[str, Any], str]] = [
    ({"query": "{"}, "GRAPHQL_PARSE_FAILED"),
    ({"query": "{ nothing }"}, "GRAPHQL_VALIDATION_FAILED"),
    ({"query": "query A { __typename } query B { __typename }"}, "OPERATION_NOT_FOUND"),
    ({"query": "{ __typename }", "operationName": "C"}, "OPERATION_NOT_FOUND"),
    ({"query": "query ($name: String!) { __type(name: $name) { name } }"}, "INVALID_VARIABLES"),
    (SUBSCRIPTION, "OPERATION_NOT_SERVED"),
    ({"query": "{ " + "a { " * 20 + "b" + " }" * 21}, "DOCUMENT_TOO_DEEP"),
]


@pytest.mark.parametrize(("asked", "expected"), NOT_EXECUTED)
async def test_what_is_not_executed_has_errors_and_no_data(
    session: aiohttp.ClientSession, url: str, asked: dict[str, Any], expected: str
) -> None:
    for media_type, status in ((JSON, 200), (RESPONSE_JSON, 400)):
        answer = await sent(session, "POST", url, json=asked, headers={"Accept": media_type})
        assert answer[:2] == (status, f"{media_type}; charset=utf-8")
        assert set(answer[2]) == {"errors"}
        assert code(answer[2]) == expected


async def test_an_error_of_the_document_says_where(session: aiohttp.ClientSession, url: str) -> None:
    _, _, answer = await sent(session, "POST", url, json={"query": "{\n  nothing\n}"})
    assert answer["errors"][0]["locations"] == [{"line": 2, "column": 3}]
    _, _, answer = await sent(session, "POST", url, json={"query": "{\n  ("})
    assert answer["errors"][0]["locations"] == [{"line": 2, "column": 3}]


async def test_a_null_that_errors_have_put_for_the_data_is_an_answer(session: aiohttp.ClientSession, url: str) -> None:
    query = "{ assets(first: 0) { totalCount } }"  # `assets` may not be null, so all of it is
    status, _, answer = await sent(session, "POST", url, json={"query": query}, headers={"Accept": RESPONSE_JSON})
    assert (status, answer["data"], code(answer)) == (200, None, "INVALID_LIMIT")


MALFORMED: list[tuple[dict[str, Any], int, str]] = [
    ({"data": b"{", "headers": {"Content-Type": JSON}}, 400, "MALFORMED_REQUEST"),
    ({"data": b"", "headers": {"Content-Type": JSON}}, 400, "MALFORMED_REQUEST"),
    ({"data": b'{"query": "\xff"}', "headers": {"Content-Type": JSON}}, 400, "MALFORMED_REQUEST"),
    ({"json": {}}, 400, "MALFORMED_REQUEST"),
    ({"json": {"query": ""}}, 400, "MALFORMED_REQUEST"),
    ({"json": "{ __typename }"}, 400, "MALFORMED_REQUEST"),
    ({"json": {"query": 1}}, 400, "MALFORMED_REQUEST"),
    ({"json": {**TYPENAME, "variables": []}}, 400, "MALFORMED_REQUEST"),
    ({"json": {**TYPENAME, "variables": "{}"}}, 400, "MALFORMED_REQUEST"),
    ({"json": {**TYPENAME, "extensions": 1}}, 400, "MALFORMED_REQUEST"),
    ({"json": {**TYPENAME, "extensions": {"persistedQuery": 1}}}, 400, "MALFORMED_REQUEST"),
    ({"json": {**TYPENAME, "operationName": {}}}, 400, "MALFORMED_REQUEST"),
    ({"json": [TYPENAME]}, 400, "BATCH_REFUSED"),
    ({"json": [TYPENAME] * 10}, 400, "BATCH_REFUSED"),
    ({"data": TYPENAME}, 415, "UNSUPPORTED_MEDIA_TYPE"),
    ({"data": "{ __typename }", "headers": {"Content-Type": "application/graphql"}}, 415, "UNSUPPORTED_MEDIA_TYPE"),
    ({"data": json.dumps(TYPENAME), "headers": {"Content-Type": "text/plain"}}, 415, "UNSUPPORTED_MEDIA_TYPE"),
    (
        {"data": gzip.compress(b"{}"), "headers": {"Content-Type": JSON, "Content-Encoding": "gzip"}},
        415,
        "UNSUPPORTED_MEDIA_TYPE",
    ),
    ({"json": TYPENAME, "headers": {"Accept": "text/plain"}}, 406, "NOT_ACCEPTABLE"),
    ({"json": {**TYPENAME, "more": "x" * 2000}}, 413, "BODY_TOO_LARGE"),
]


@pytest.mark.parametrize(("how", "status", "expected"), MALFORMED)
async def test_what_is_no_request_is_refused_in_any_type(
    session: aiohttp.ClientSession, url: str, how: dict[str, Any], status: int, expected: str
) -> None:
    found, media_type, answer = await sent(session, "POST", url, **how)
    assert (found, media_type, code(answer)) == (status, "application/json; charset=utf-8", expected)


async def test_a_body_in_pieces_is_put_together_and_its_size_is_kept_in_bounds(
    session: aiohttp.ClientSession, url: str
) -> None:
    async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    headers = {"Content-Type": JSON}
    answer = await sent(session, "POST", url, data=pieces(b'{"query":', b'"{ __typename }"}'), headers=headers)
    assert answer[2] == {"data": {"__typename": "Query"}}
    status, _, refused = await sent(session, "POST", url, data=pieces(*[b" " * 500] * 10), headers=headers)
    assert (status, code(refused)) == (413, "BODY_TOO_LARGE")


async def test_a_request_may_be_as_long_as_the_limit_and_no_longer(session: aiohttp.ClientSession, url: str) -> None:
    def body(size: int) -> bytes:
        return json.dumps(TYPENAME).encode().ljust(size)

    def query(size: int) -> URL:
        return URL(f"{url}?{'query=%7B__typename'.ljust(size - 3, '+')}%7D", encoded=True)

    headers = {"Content-Type": JSON}
    assert (await sent(session, "POST", url, data=body(2000), headers=headers))[0] == 200
    assert code((await sent(session, "POST", url, data=body(2001), headers=headers))[2]) == "BODY_TOO_LARGE"
    assert (await sent(session, "GET", query(2000)))[0] == 200
    assert code((await sent(session, "GET", query(2001)))[2]) == "BODY_TOO_LARGE"


@pytest.mark.parametrize(
    ("query_string", "status", "expected"),
    [
        ("", 400, "MALFORMED_REQUEST"),
        ("?query=", 400, "MALFORMED_REQUEST"),
        ("?query=%7B__typename%7D&variables=%5B%5D", 400, "MALFORMED_REQUEST"),
        ("?query=%7B__typename%7D&variables=nonsense", 400, "MALFORMED_REQUEST"),
        ("?query=%7B__typename%7D&query=%7B__typename%7D", 400, "MALFORMED_REQUEST"),
        ("?query=%FF", 400, "MALFORMED_REQUEST"),
        ("?" + "&".join(f"p{number}=1" for number in range(20)), 400, "MALFORMED_REQUEST"),
        ("?query=" + "%20" * 1000, 413, "BODY_TOO_LARGE"),
    ],
)
async def test_a_bad_query_string_is_refused(
    session: aiohttp.ClientSession, url: str, query_string: str, status: int, expected: str
) -> None:
    found, _, answer = await sent(session, "GET", URL(url + query_string, encoded=True))
    assert (found, code(answer)) == (status, expected)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_other_methods_are_refused_with_those_that_are_not(
    session: aiohttp.ClientSession, url: str, method: str
) -> None:
    async with session.request(method, url, json=TYPENAME) as response:
        assert (response.status, response.headers["Allow"]) == (405, "GET, POST")
        assert code(json.loads(await response.read())) == "METHOD_NOT_ALLOWED"


async def test_nothing_but_a_query_is_executed_by_get(session: aiohttp.ClientSession, url: str) -> None:
    for asked in (MUTATION, SUBSCRIPTION):
        status, _, answer = await sent(session, "GET", url, params=asked, headers={"Accept": RESPONSE_JSON})
        assert 400 <= status < 500
        assert "data" not in answer


async def test_a_mutation_is_executed_by_post_and_never_by_get(session: aiohttp.ClientSession) -> None:
    done: list[str] = []

    @strawberry.type
    class Query:
        nothing: int | None = None

    @strawberry.type
    class Mutation:
        @strawberry.mutation
        def act(self) -> int:
            done.append("act")
            return len(done)

    asked = {"query": "query Look { nothing } mutation Act { act }", "operationName": "Act"}
    async with serving(world(), schema=Schema(query=Query, mutation=Mutation)) as url:
        status, _, answer = await sent(session, "GET", url, params=asked)
        assert (status, code(answer), done) == (405, "METHOD_NOT_ALLOWED", [])
        assert (await sent(session, "POST", url, json=asked))[2] == {"data": {"act": 1}}


async def test_the_id_of_a_request_is_the_callers_or_a_new_one(session: aiohttp.ClientSession, url: str) -> None:
    async def request_id(**headers: str) -> str:
        async with session.post(url, json=TYPENAME, headers=headers) as response:
            return response.headers["X-Request-ID"]

    assert await request_id(**{"X-Request-ID": "deploy-7.a_b"}) == "deploy-7.a_b"
    for unfit in ("", "a b", "x" * 65, "id;rm"):
        assert re.fullmatch(r"[0-9a-f]{32}", await request_id(**{"X-Request-ID": unfit}))
    assert await request_id() != await request_id()


async def test_no_answer_may_be_kept_or_taken_for_another_type(session: aiohttp.ClientSession, url: str) -> None:
    async with session.post(url, json=TYPENAME) as response:
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "ETag" not in response.headers


async def test_a_long_answer_is_compressed_for_those_who_take_it(session: aiohttp.ClientSession, url: str) -> None:
    async def length_and_body(query: str, accept_encoding: str) -> tuple[str | None, int, Any]:
        headers = {"Accept-Encoding": accept_encoding}
        async with session.post(url, json={"query": query}, headers=headers) as response:
            body = await response.read()
            encoding = response.headers.get("Content-Encoding")
            assert response.headers["Content-Length"] == str(len(body))
            return encoding, len(body), json.loads(gzip.decompress(body) if encoding else body)

    long = "{ __schema { types { name description } } }"
    plain = await length_and_body(long, "identity")
    short = await length_and_body(long, "gzip, br")
    assert (plain[0], short[0]) == (None, "gzip")
    assert plain[2] == short[2]
    assert plain[1] > 4000
    assert short[1] < plain[1] / 2
    assert (await length_and_body("{ __typename }", "gzip"))[0] is None
