"""`/metrics`: complete in its documentation, in a format that Prometheus reads, and true."""

import asyncio
import os
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import ROOT, SMARTFIN, Running, smartfin
from tests.gateway.sockets import Client, greeted
from tests.waiting import until

DOCUMENTED = re.compile(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \| (.*) \|$", re.MULTILINE)
QUOTES = "query ($symbols: [Symbol!]!) { quotes(symbols: $symbols) { price } }"
TICKS = 'subscription { quotes(symbols: ["AAPL", "MSFT"]) { price } }'


async def scraped(url: str) -> list[Metric]:
    """What a process tells now."""
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        assert response.status == 200
        assert response.content_type == "text/plain"
        return list(text_string_to_metric_families(await response.text()))


async def values(url: str) -> Counter[tuple[str, frozenset[tuple[str, str]]]]:
    """Each sample by its name and labels."""
    return Counter(
        {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in await scraped(url)
            for sample in family.samples
        }
    )


def total(counted: Counter[Any], metric: str, **labels: str) -> int:
    """The sum of the samples that have these labels."""
    wanted = set(labels.items())
    return int(sum(value for (name, given), value in counted.items() if name == metric and wanted <= given))


async def test_every_metric_is_documented_as_it_is(sandbox: Running) -> None:
    await sandbox.data(QUOTES, symbols=["AAPL"])
    await sandbox.data('{ history(symbol: "AAPL", last: 30) { bars { close } } }')
    documented = {
        name: (kind, labels.replace("`", ""), text)
        for name, kind, labels, text in DOCUMENTED.findall((ROOT / "docs/metrics.md").read_text(encoding="utf-8"))
    }
    for family in await scraped(f"{sandbox.url}/metrics"):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        if not name.startswith("smartfin"):
            continue
        kind, labels, text = documented.pop(name)
        assert (kind, text) == (family.type, family.documentation), name
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(labels.split(", ")) - {""}, sample
    assert documented == {}


@pytest.mark.tools
@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not there")
async def test_promtool_has_nothing_to_say(sandbox: Running) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{sandbox.url}/metrics") as response:
        text = await response.read()
    command = ["promtool", "check", "metrics"]
    done = await asyncio.to_thread(lambda: subprocess.run(command, check=False, input=text, capture_output=True))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


async def test_the_counts_of_a_load_are_those_of_its_clients(stores: dict[str, str]) -> None:
    told: Counter[str] = Counter()
    with smartfin(SMARTFIN_SANDBOX_TICKS_PER_SECOND="50", **stores) as server:
        url = f"{server.url}/metrics"
        before = await values(url)
        asked: list[dict[str, Any]] = [
            {"query": QUOTES, "variables": {"symbols": ["AAPL", "MSFT"]}},
            {"query": QUOTES, "variables": {"symbols": ["AAPL", "n o", "no-such"]}},
            {"query": QUOTES, "variables": {"symbols": 1}},
            {"query": "{ nothing also }"},
            {"query": "{"},
            {"nothing": 1},
            {"query": TICKS},
        ] * 20
        async with aiohttp.ClientSession() as session:

            async def ask(body: dict[str, Any]) -> None:
                async with session.post(server.graphql, json=body) as response:
                    for error in (await response.json()).get("errors", ()):
                        told[error["extensions"]["code"]] += 1

            await asyncio.gather(*map(ask, asked))
        messages = 0
        async with greeted(server.graphql) as one, greeted(server.graphql) as other:
            messages += 2  # acknowledged
            for number in range(10):
                await other.subscribe(QUOTES, str(number), symbols=["AAPL"])
                messages += await received(other, "next") + await received(other, "complete")
            await other.subscribe("{ wrong }", "wrong")
            messages += await received(other, "error")
            for client in (one, other):
                await client.subscribe(TICKS, "ticks")
            for client in (one, other):
                for _ in range(103):  # a snapshot of each symbol, and ticks
                    messages += await received(client, "next")
            during = await values(url)
            await one.ws.send_json({"type": "complete", "id": "ticks"})
            await other.ws.send_json({"type": "complete", "id": "ticks"})
            for client in (one, other):  # what was on its way, up to the answer to a ping
                await client.ws.send_json({"type": "ping"})
                while (await client.next())["type"] == "next":
                    messages += 1
                messages += 1
        after = await until(lambda: without_connections(url))
    since = after - before
    assert total(since, "smartfin_request_seconds_count") == len(asked) + 10 + 1 + 2
    assert total(since, "smartfin_request_seconds_count", type="query") == 3 * 20 + 10
    assert total(since, "smartfin_request_seconds_count", type="subscription") == 20 + 2
    assert total(since, "smartfin_phase_seconds_count", type="query", phase="encode") == 2 * 20 + 10
    told["GRAPHQL_VALIDATION_FAILED"] += 1
    assert {code: total(since, "smartfin_errors_total", code=code) for code in told} == dict(told)
    assert total(since, "smartfin_errors_total") == told.total()
    assert (total(during, "smartfin_connections"), total(during, "smartfin_subscriptions")) == (2, 2)
    assert total(after, "smartfin_subscriptions") == 0
    assert total(since, "smartfin_messages_sent_total") == messages
    assert total(since, "smartfin_send_lag_seconds_count") > 0
    assert total(since, "smartfin_ticks_total", source="sandbox") > 100


async def received(client: Client, kind: str) -> int:
    """1, once the next message has come, which is of the kind."""
    message = await client.next()
    assert message["type"] == kind, message
    return 1


async def without_connections(url: str) -> Counter[Any] | None:
    counted = await values(url)
    return None if total(counted, "smartfin_connections") else counted


async def test_published_operations_are_told_apart_and_made_up_ones_are_not(
    stores: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "manifest.json").write_text('{"prices": "query Prices { quotes(symbols: [\\"AAPL\\"]) { price } }"}')
    environment = {"PATH": os.environ["PATH"], **stores}
    command = [str(SMARTFIN), "documents", str(tmp_path / "manifest.json")]
    await asyncio.to_thread(lambda: subprocess.run(command, check=True, env=environment, capture_output=True))
    with smartfin(**stores) as server:
        async with aiohttp.ClientSession() as session:
            for _ in range(3):
                async with session.post(server.graphql, json={"documentId": "prices"}) as response:
                    assert response.status == 200
        for number in range(5):
            await server.data(f'query Mine{number} {{ quote(symbol: "AAPL") {{ price }} }}')
        counted = await values(f"{server.url}/metrics")
    names = {dict(labels)["operation"] for name, labels in counted if name == "smartfin_request_seconds_count"}
    assert names == {"Prices", "other"}
    assert total(counted, "smartfin_request_seconds_count", operation="Prices", type="query") == 3
    assert total(counted, "smartfin_request_seconds_count", operation="other", type="query") == 5


async def status(url: str) -> int | None:
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status
    except aiohttp.ClientConnectorError:
        return None


@pytest.fixture
def port() -> int:
    """The first of three free ports in a row, as good as certainly."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as found:
        number: int = found.getsockname()[1]
    return min(number, 65_000)


async def test_production_answers_on_the_port_for_operators_alone(stores: dict[str, str], port: int) -> None:
    with smartfin(SMARTFIN_PRODUCTION="true", SMARTFIN_METRICS_PORT=str(port), **stores) as server:
        assert await status(f"{server.url}/metrics") == 404
        inside = f"http://127.0.0.1:{port}"
        assert [await status(f"{inside}{path}") for path in ("/metrics", "/livez", "/readyz")] == [200] * 3
        assert await status(f"{inside}/graphql") == 404
    assert await status(f"{inside}/metrics") is None


async def test_each_worker_answers_for_itself(stores: dict[str, str], port: int) -> None:
    with smartfin("--workers", "2", SMARTFIN_METRICS_PORT=str(port), **stores) as server:
        assert await status(f"{server.url}/metrics") == 404, "nobody could tell whose it is"
        for _ in range(10):
            await server.data('{ quote(symbol: "AAPL") { price } }')
        counted = [await values(f"http://127.0.0.1:{number}/metrics") for number in (port, port + 1)]
    started = {total(one, "process_start_time_seconds") + total(one, "process_cpu_seconds_total") for one in counted}
    assert sum(total(one, "smartfin_request_seconds_count") for one in counted) == 10
    assert started
