"""What the scanner graphql-cop looks for, each check written anew after its own: none finds anything in production."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from app import create_app
from settings import Settings
from tests.gateway.serving import serving, world

CIRCULAR = "{ __schema { types { fields { type { fields { type { fields { type { name } } } } } } } } }"


@pytest.fixture(scope="module")
async def url() -> AsyncIterator[str]:
    async with serving(world(), production=True) as url:
        yield url


async def asked(url: str, method: str = "POST", **how: Any) -> tuple[aiohttp.ClientResponse, Any]:
    async with aiohttp.ClientSession() as session, session.request(method, url, **how) as response:
        text = await response.text()
        return response, await response.json() if "json" in response.content_type else text


async def refused(url: str, query: str, code: str) -> list[dict[str, Any]]:
    """The errors of a document that is not executed."""
    _, answer = await asked(url, json={"query": query})
    assert set(answer) == {"errors"}
    assert {error["extensions"]["code"] for error in answer["errors"]} == {code}
    errors: list[dict[str, Any]] = answer["errors"]
    return errors


@pytest.mark.parametrize(
    "query", ["{ quot }", "{ __schem { x } }", "query ($a: Quot) { __typename }", "{ quote(symbo: 1) { price } }"]
)
async def test_no_error_suggests_a_name(url: str, query: str) -> None:
    for error in await refused(url, query, "GRAPHQL_VALIDATION_FAILED"):
        assert "Did you mean" not in error["message"]


@pytest.mark.parametrize(
    "query",
    [
        "{ __schema { queryType { name } } }",
        '{ __type(name: "Quote") { name } }',
        "{ ...F } fragment F on Query { s: __schema { types { name } } }",
        CIRCULAR,
    ],
)
async def test_the_schema_is_not_told(url: str, query: str) -> None:
    [error] = await refused(url, query, "INTROSPECTION_DISABLED")
    assert "__" not in error["message"]


@pytest.mark.parametrize("accept", ["text/html", "text/html,application/xhtml+xml,*/*;q=0.8"])
async def test_there_is_no_graphiql(url: str, accept: str) -> None:
    _, answer = await asked(url, "GET", headers={"Accept": accept})
    assert set(answer) == {"errors"}


async def test_no_text_is_executed_by_get(url: str) -> None:
    response, answer = await asked(url, "GET", params={"query": "query cop { __typename }"})
    assert (response.status, response.headers["Allow"]) == (405, "GET, POST")
    assert answer["errors"][0]["extensions"]["code"] == "METHOD_NOT_ALLOWED"


async def test_no_mutation_is_executed_by_get(url: str) -> None:
    _, answer = await asked(url, "GET", params={"query": "mutation cop { __typename }"})
    assert "data" not in answer


async def test_a_hundred_and_one_aliases_are_refused(url: str) -> None:
    await refused(url, "query cop { " + " ".join(f"a{n}: __typename" for n in range(101)) + " }", "TOO_MANY_ALIASES")


async def test_a_batch_is_refused(url: str) -> None:
    response, answer = await asked(url, json=[{"query": "query cop { __typename }"}] * 10)
    assert response.status == 400
    assert answer["errors"][0]["extensions"]["code"] == "BATCH_REFUSED"


async def test_nothing_is_traced(url: str) -> None:
    _, answer = await asked(
        url, json={"query": "query cop { __typename }"}, headers={"apollo-federation-include-trace": "ftv1"}
    )
    assert answer == {"data": {"__typename": "Query"}}


async def test_ten_unknown_directives_are_not_told_of_one_by_one(url: str) -> None:
    assert len(await refused(url, "query cop { __typename " + "@aa" * 10 + " }", "GRAPHQL_VALIDATION_FAILED")) < 10
    await refused(url, "query cop { __typename " + "@aa" * 1000 + " }", "TOO_MANY_DIRECTIVES")


async def test_five_hundred_times_one_field_are_refused(url: str) -> None:
    await refused(url, "query cop { " + "__typename " * 500 + "}", "TOO_MANY_REPEATS")


async def test_a_form_is_refused(url: str) -> None:
    response, answer = await asked(url, data={"query": "query cop { __typename }"})
    assert response.status == 415
    assert "data" not in answer


async def test_an_upload_is_refused(url: str) -> None:
    form = aiohttp.FormData({"operations": '{"query": "{ __typename }"}', "map": "{}"})
    form.add_field("0", b"x", filename="x.txt")
    response, answer = await asked(url, data=form)
    assert response.status == 415
    assert "data" not in answer


async def test_no_error_shows_where_it_was_raised(url: str) -> None:
    for query in ("qwerty cop { abc }", "query cop { abc }"):
        _, answer = await asked(url, json={"query": query})
        assert set(answer["errors"][0]["extensions"]) == {"code"}
        assert "Traceback" not in str(answer)


async def test_in_development_the_schema_is_told_but_not_in_circles() -> None:
    async with serving(world()) as url:
        _, answer = await asked(url, json={"query": '{ __type(name: "Quote") { name } }'})
        assert answer == {"data": {"__type": {"name": "Quote"}}}
        await refused(url, CIRCULAR, "GRAPHQL_VALIDATION_FAILED")
        [error] = await refused(url, "{ quot }", "GRAPHQL_VALIDATION_FAILED")
        assert "Did you mean" in error["message"]


async def test_a_setting_by_name_beats_production() -> None:
    async with serving(world(), production=True, introspection=True) as url:
        _, answer = await asked(url, json={"query": '{ __type(name: "Quote") { name } }'})
        assert answer == {"data": {"__type": {"name": "Quote"}}}


def test_graphiql_and_the_metrics_are_not_served_to_clients_in_production() -> None:
    def paths(**settings: Any) -> set[str]:
        return {getattr(route, "path", "") for route in create_app(Settings(**settings)).routes}

    assert paths() - paths(production=True) == {"/assets/graphiql", "/metrics"}
