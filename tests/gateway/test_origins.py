"""Pages of other origins: which may connect, and what browsers are told."""

from collections.abc import Iterator

import aiohttp
import pytest

from gateway.origins import origin_check
from settings import Settings
from tests.conftest import Running, smartfin

PAGE = "https://app.test"
ASKS = {"Origin": PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}


@pytest.mark.parametrize(
    ("origin", "allowed", "passes"),
    [
        (None, None, True),
        ("https://api.test:8000", None, True),
        ("HTTP://API.test:8000", None, True),
        ("http://api.test", None, False),
        ("null", None, False),
        ("", None, False),
        ("https://evil.test", None, False),
        ("https://api.test:8000.evil.test", None, False),
        ("https://evil.test/api.test:8000", None, False),
        ("https://api.test:8000@evil.test", None, False),
        ("file://api.test:8000", None, False),
        ("https://app.test", "https://app.test, https://other.test/", True),
        ("https://other.test", "https://app.test, https://other.test/", True),
        ("https://app.test.evil", "https://app.test", False),
        ("http://app.test", "https://app.test", False),
        ("null", "*", True),
    ],
)
def test_only_pages_of_the_list_and_its_own_may_connect(origin: str | None, allowed: str | None, passes: bool) -> None:
    assert origin_check(Settings(origins=allowed).allowed_origins)(origin, "api.test:8000") is passes


@pytest.fixture(scope="module")
def open_to_a_page(database_url: str, redis_url: str) -> Iterator[Running]:
    with smartfin(DATABASE_URL=database_url, REDIS_URL=redis_url, SMARTFIN_ORIGINS=PAGE) as running:
        yield running


async def told(method: str, url: str, **headers: str) -> tuple[int, dict[str, str]]:
    """The status, and the headers of CORS."""
    async with aiohttp.ClientSession() as session, session.request(method, url, headers=headers) as response:
        names = {name.lower(): value for name, value in response.headers.items()}
    return response.status, {name: value for name, value in names.items() if name.startswith("access-control-")}


QUERY = "/graphql?query={__typename}"


async def test_a_page_of_an_allowed_origin_may_ask(open_to_a_page: Running) -> None:
    status, headers = await told("OPTIONS", open_to_a_page.graphql, **ASKS)
    assert (status, headers["access-control-allow-origin"]) == (200, PAGE)
    assert headers["access-control-allow-headers"] == "content-type"
    assert "access-control-allow-credentials" not in headers
    status, headers = await told("GET", open_to_a_page.url + QUERY, Origin=PAGE)
    assert (status, headers["access-control-allow-origin"]) == (200, PAGE)


async def test_a_page_of_another_origin_may_not(open_to_a_page: Running) -> None:
    status, headers = await told("OPTIONS", open_to_a_page.graphql, **{**ASKS, "Origin": "https://evil.test"})
    assert (status, headers.get("access-control-allow-origin")) == (400, None)
    _, headers = await told("GET", open_to_a_page.url + QUERY, Origin="https://evil.test")
    assert "access-control-allow-origin" not in headers


async def test_no_page_of_another_origin_may_unless_one_is_named(sandbox: Running) -> None:
    status, headers = await told("GET", sandbox.url + QUERY, Origin=PAGE)
    assert (status, headers) == (200, {})
