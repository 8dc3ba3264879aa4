"""How the pages travel: what they may load, how long each file may be kept, and what they weigh."""

import gzip
import re

import aiohttp
import pytest

from tests.conftest import Running

BUDGET_BYTES = 110_000


async def got(url: str, **headers: str) -> tuple[aiohttp.ClientResponse, bytes]:
    async with aiohttp.ClientSession(auto_decompress=False) as session, session.get(url, headers=headers) as response:
        return response, await response.read()


async def page(running: Running, path: str) -> tuple[aiohttp.ClientResponse, str]:
    response, body = await got(f"{running.url}{path}", Accept="text/html")
    assert response.status == 200
    return response, body.decode()


@pytest.mark.parametrize("path", ["/", "/graphql"])
async def test_a_page_is_asked_for_anew_and_its_files_never_again(sandbox: Running, path: str) -> None:
    index, text = await page(sandbox, path)
    files = re.findall(r'(?:src|href)="(/assets/[^"]+)"', text)

    assert index.headers["Cache-Control"] == "no-cache"
    assert len(files) >= 3
    for file in files:
        response, _ = await got(f"{sandbox.url}{file}")
        assert (response.status, response.headers["Cache-Control"]) == (200, "public, max-age=31536000, immutable")


@pytest.mark.parametrize("path", ["/", "/graphql"])
async def test_a_page_loads_nothing_from_elsewhere(sandbox: Running, path: str) -> None:
    index, text = await page(sandbox, path)
    policy = index.headers["Content-Security-Policy"]

    assert "script-src 'self';" in policy
    assert "default-src 'none'" in policy
    assert "//" not in policy
    assert "https://" not in text
    assert "<script>" not in text


async def test_the_dashboard_may_not_even_style_inline(sandbox: Running) -> None:
    index, _ = await page(sandbox, "/")
    assert "unsafe-inline" not in index.headers["Content-Security-Policy"]


async def test_the_scripts_of_the_dashboard_are_small_and_travel_compressed(sandbox: Running) -> None:
    _, text = await page(sandbox, "/")
    [script] = re.findall(r'src="(/assets/[^"]+\.js)"', text)
    response, body = await got(f"{sandbox.url}{script}", **{"Accept-Encoding": "gzip"})

    assert response.headers["Content-Encoding"] == "gzip"
    assert len(body) <= BUDGET_BYTES
    assert b"graphql-transport-ws" in gzip.decompress(body)


async def test_a_file_that_the_build_did_not_make_is_not_found(sandbox: Running) -> None:
    response, _ = await got(f"{sandbox.url}/assets/dashboard/none.js")
    assert response.status == 404
