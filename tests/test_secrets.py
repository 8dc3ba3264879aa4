"""No secret is shown: not in what a process writes, answers, measures or keeps in plain files (X11)."""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.conftest import ROOT, SMARTFIN
from tests.fakes.alphavantage import FakeAlphaVantage
from tests.fakes.fake import Failure
from tests.fakes.polygon import FakePolygon
from tests.waiting import until

CANARIES = {
    "PASSWORD": "canary-1-p%40ss%2Fword",
    "REDIS_PASSWORD": "canary-2-redis",
    "SMARTFIN_SECRET_KEY": "canary-3-secret-key-of-32-characters-or-more",
    "ALPHAVANTAGE_API_KEY": "canary-4-alphavantage",
    "POLYGON_API_KEY": "canary-5-polygon",
    "TOKEN": "canary-6.eyJhbGciOiJub25lIn0.token",
    "OTHER": "canary-7-of-the-environment",
}
WORD = "canary"
QUERIES = (
    '{ quotes(symbols: ["AAPL", "IBM", "EURUSD=X", "BTC-USD"]) { price } }',
    '{ history(symbol: "IBM", last: 5) { bars { close } } }',
    '{ assets(search: "apple") { symbol } }',
    "{ sources { name breaker lastError quotas { used } } }",
    '{ route(symbol: "IBM", capability: QUOTES) { source reason } }',
    "{ nothing }",
    "{",
)


class Process:
    """A command, and everything that it has written."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.written = ""
        self._process = subprocess.Popen(
            [SMARTFIN, *arguments],
            env={"PATH": os.environ["PATH"], "SMARTFIN_LOG_LEVEL": "DEBUG", **environment},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    async def ended(self, number: signal.Signals | None = None) -> str:
        """What it has written, once it has ended."""
        if number is not None:
            self._process.send_signal(number)
        self.written = (await asyncio.to_thread(self._process.communicate, timeout=60))[0]
        return self.written


def own(dsn: str, password: str) -> str:
    """The DSN of a server that trusts whoever comes, with a password nevertheless."""
    parts = urlsplit(dsn)
    return parts._replace(netloc=f"smartfin:{password}@").geturl()


async def asked(url: str) -> AsyncIterator[str]:
    """All that a server answers to good and bad questions."""
    headers = {"Authorization": f"Bearer {CANARIES['TOKEN']}"}
    async with aiohttp.ClientSession() as session:
        for sent in ({}, headers, {"Cookie": CANARIES["OTHER"]}):
            for query in QUERIES:
                async with session.post(f"{url}/graphql", json={"query": query}, headers=sent) as response:
                    yield f"{response.headers} {await response.text()}"
        for path in ("/livez", "/readyz", "/metrics", "/graphql?query=nonsense", "/nothing"):
            async with session.get(f"{url}{path}", headers=headers) as response:
                yield f"{response.headers} {await response.text()}"
        protocols = ["graphql-transport-ws"]
        async with session.ws_connect(f"{url}/graphql", protocols=protocols, headers={}) as ws:
            await ws.send_json({"type": "connection_init", "payload": {"Authorization": f"Bearer {CANARIES['TOKEN']}"}})
            yield str(await ws.receive(timeout=10))


def held(folder: Path) -> Iterable[str]:
    """The plain files of a data folder; what seals the keys is one of them by design."""
    for path in folder.rglob("*"):
        if path.is_file() and path.stat().st_size < 2_000_000:
            yield path.read_bytes().decode(errors="replace")


@asynccontextmanager
async def upstreams() -> AsyncIterator[tuple[FakeAlphaVantage, FakePolygon, dict[str, str]]]:
    """The sources that want a key, and the settings that name them."""
    async with FakeAlphaVantage() as alphavantage, FakePolygon() as polygon:
        yield (
            alphavantage,
            polygon,
            {
                "SMARTFIN_MODE": "live",
                "SMARTFIN_SOURCES": "alphavantage,polygon",
                "SMARTFIN_ALPHAVANTAGE_URL": alphavantage.url,
                "SMARTFIN_POLYGON_URL": polygon.url,
                "SMARTFIN_POLYGON_WS_URL": polygon.ws_url,
                "POLYGON_REQUESTS_PER_MINUTE": "10000",
                "ALPHAVANTAGE_REQUESTS_PER_MINUTE": "10000",
            },
        )


async def test_a_server_among_faults_shows_no_secret(
    stores: dict[str, str], tmp_path: Path, unused_tcp_port: int
) -> None:
    secrets = {name: CANARIES[name] for name in ("SMARTFIN_SECRET_KEY", "ALPHAVANTAGE_API_KEY", "POLYGON_API_KEY")}
    shown: list[str] = []
    async with upstreams() as (alphavantage, polygon, settings):
        fakes = (alphavantage, polygon)
        environment = settings | secrets
        environment["DATABASE_URL"] = own(stores["DATABASE_URL"], CANARIES["PASSWORD"])
        environment["REDIS_URL"] = stores["REDIS_URL"]
        environment |= {"OTHER": CANARIES["OTHER"], "SMARTFIN_LOG_FORMAT": "json"}
        environment |= {"SMARTFIN_DATA_DIR": str(tmp_path), "SMARTFIN_PORT": str(unused_tcp_port)}
        server = Process("serve", **environment)
        url = f"http://127.0.0.1:{unused_tcp_port}"
        await until(lambda: answers(url), within_s=60)
        for failure in (None, *(failure for failure in Failure if failure is not Failure.SILENCE)):
            for fake in fakes:
                fake.failure = failure
            shown += [text async for text in asked(url)]
        alphavantage.failure = None  # it has been seen to say a key back
        alphavantage.says = {"Information": f"We have detected your API key as {CANARIES['ALPHAVANTAGE_API_KEY']}."}
        shown += [text async for text in asked(url)]
        shown.append(await server.ended(signal.SIGTERM))
        assert [request for fake in fakes for request in fake.requests], "upstreams were asked"
        doctor = Process("doctor", **environment)
        shown.append(await doctor.ended())
    assert '"level":"debug"' in shown[-2]
    check([*shown, *held(tmp_path)])


def check(shown: Iterable[str]) -> None:
    """None of it has a canary in it."""
    found = [text[max(0, at - 300) : at + 100] for text in shown if (at := text.find(WORD)) >= 0]
    assert found == []


async def answers(url: str) -> bool:
    try:
        async with aiohttp.ClientSession() as session, session.get(f"{url}/readyz") as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


PASSWORD, REDIS_PASSWORD = CANARIES["PASSWORD"], CANARIES["REDIS_PASSWORD"]
BAD = {
    "nobody answers": (f"postgresql://u:{PASSWORD}@127.0.0.1:1/x", f"redis://:{REDIS_PASSWORD}@127.0.0.1:1/0"),
    "no such host": (f"postgresql://u:{PASSWORD}@nowhere.invalid/x", f"redis://u:{REDIS_PASSWORD}@nowhere.invalid"),
    "no DSN": (f"mysql://u:{PASSWORD}@x/y", f"http://:{REDIS_PASSWORD}@x"),
    "no port": (f"postgresql://u:{PASSWORD}@h:port/x", f"redis://:{REDIS_PASSWORD}@h:port/0"),
    "no option": (f"postgresql://u:{PASSWORD}@127.0.0.1:1/x?nothing=1", f"redis://:{REDIS_PASSWORD}@h/0?db=x&y=1"),
}


@pytest.mark.parametrize(
    ("command", "fault"),
    [*(("doctor", fault) for fault in BAD), ("migrate", "no such host"), ("serve", "no port"), ("serve", "no option")],
)
async def test_a_wrong_dsn_is_told_of_without_its_password(command: str, fault: str, unused_tcp_port: int) -> None:
    database_url, redis_url = BAD[fault]
    arguments = [command, *(["--port", str(unused_tcp_port)] if command == "serve" else [])]
    process = Process(*arguments, DATABASE_URL=database_url, REDIS_URL=redis_url, **only_secrets())
    if command == "serve" and fault == "no option":
        url = f"http://127.0.0.1:{unused_tcp_port}/livez"
        await until(lambda: answers_or_ended(process, url), within_s=60)
        written = await process.ended(signal.SIGTERM)
    else:
        written = await process.ended()
    assert written, "it says what is wrong"
    check([written])


def only_secrets() -> dict[str, Any]:
    return {name: CANARIES[name] for name in ("SMARTFIN_SECRET_KEY", "ALPHAVANTAGE_API_KEY", "POLYGON_API_KEY")}


async def answers_or_ended(process: Process, url: str) -> bool:
    return process._process.poll() is not None or await answers(url.removesuffix("/livez")) or await lives(url)


async def lives(url: str) -> bool:
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False
