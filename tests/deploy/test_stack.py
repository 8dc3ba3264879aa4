"""The whole of compose.yaml as processes: nginx as it is deployed, Prometheus, and a restart that nobody notices."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
import yaml

from tests.conftest import BUDGETS
from tests.deploy.stack import DEPLOY, Stack, running
from tests.waiting import until

pytestmark = [pytest.mark.tools, pytest.mark.timeout(900)]

TICKS = 'subscription { quotes(symbols: ["AAPL"]) { price } }'
QUERY = '{ quote(symbol: "AAPL") { price } }'
PROTOCOL = "graphql-transport-ws"
SETTINGS = {"SMARTFIN_SANDBOX_TICKS_PER_SECOND": "10", "SMARTFIN_TEXT_BY_GET": "true"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stack")


@pytest.fixture(scope="module")
async def stack(folder: Path) -> AsyncIterator[Stack]:
    with running(folder, **SETTINGS, **BUDGETS) as stack:
        yield stack
    await until(lambda: left(folder) == [])  # the keeper of the stores, which ends when nobody needs them


def left(folder: Path) -> list[str]:
    """The processes that still have to do with the folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if any(str(folder) in word for word in (*process.cmdline(), process.cwd())):
                found.append(" ".join(process.cmdline()))
    return found


def session(stack: Stack) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(stack.url, connector=aiohttp.TCPConnector(ssl=stack.tls, limit=0))


async def test_plain_http_is_sent_to_https_and_operators_pages_are_not_there(stack: Stack) -> None:
    async with session(stack) as client:
        async with client.get(f"{stack.plain_url}/graphql?query=x", allow_redirects=False) as response:
            there = f"https://{stack.address('nginx')}/graphql?query=x"
            assert (response.status, response.headers["Location"]) == (308, there)
        for path, status in {"/livez": 200, "/": 200, "/metrics": 404, "/readyz": 404}.items():
            async with client.get(path) as response:
                assert response.status == status, path


async def test_a_request_as_large_as_smartfin_takes_gets_smartfins_answer(stack: Stack) -> None:
    async with session(stack) as client:
        for length in (100_000, 140_000):
            async with client.post("/graphql", json={"query": "#" * length}) as response:
                assert "errors" in await response.json(), length
        async with client.get("/graphql", params={"query": QUERY, "padding": "x" * 50_000}) as response:
            assert (await response.json())["data"]["quote"]["price"] > 0


async def test_ticks_come_through_by_websocket_and_by_event_stream(stack: Stack) -> None:
    async with session(stack) as client:
        async with client.ws_connect("/graphql", protocols=[PROTOCOL]) as watching:
            await watching.send_json({"type": "connection_init"})
            await watching.send_json({"id": "1", "type": "subscribe", "payload": {"query": TICKS}})
            kinds = [(await watching.receive_json(timeout=20))["type"] for _ in range(4)]
            assert kinds == ["connection_ack", "next", "next", "next"]
        events = {"Accept": "text/event-stream"}
        async with client.get("/graphql", params={"query": TICKS}, headers=events) as stream:
            assert stream.content_type == "text/event-stream"
            for _ in range(3):  # each as it comes: buffered, the first would wait for kilobytes of others
                async with asyncio.timeout(20):
                    while not (await stream.content.readline()).startswith(b"data: {"):
                        pass


async def of_prometheus(stack: Stack, path: str, **parameters: str) -> Any:
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"{stack.prometheus}/api/v1/{path}", params=parameters) as response,
    ):
        return (await response.json())["data"]


async def counted(stack: Stack, metric: str) -> int:
    """The sum over the servers."""
    found = (await of_prometheus(stack, "query", query=f"sum({metric})"))["result"]
    return int(found[0]["value"][1]) if found else 0


async def test_prometheus_asks_every_process_and_knows_every_rule(stack: Stack) -> None:
    async def up() -> list[str]:
        targets = (await of_prometheus(stack, "targets"))["activeTargets"]
        return sorted(target["labels"].get("role", "-") for target in targets if target["health"] == "up")

    async def evaluated() -> set[str]:
        groups = (await of_prometheus(stack, "rules"))["groups"]
        return {rule["name"] for group in groups for rule in group["rules"] if rule["health"] == "ok"}

    rules = yaml.safe_load((DEPLOY / "prometheus" / "rules.yml").read_text(encoding="utf-8"))["groups"]
    named = {rule["alert"] for group in rules for rule in group["rules"]}
    await until(lambda: is_equal(up(), ["-", "api", "api", "collect", "work"]))
    await until(lambda: is_equal(evaluated(), named))


async def is_equal(asking: Any, wanted: Any) -> bool:
    return bool(await asking == wanted)


async def test_prometheus_counts_what_the_clients_of_both_servers_count(stack: Stack) -> None:
    received: Counter[str] = Counter()
    names = {"queries": 'smartfin_request_seconds_count{type="query"}', "messages": "smartfin_messages_sent_total"}
    before = {what: await counted(stack, name) for what, name in names.items()}

    async def ask(client: aiohttp.ClientSession) -> None:
        for _ in range(50):
            async with client.post("/graphql", json={"query": QUERY}) as response:
                assert (await response.json())["data"]["quote"]["price"] > 0
            received["queries"] += 1

    async def watch(client: aiohttp.ClientSession) -> None:
        async with client.ws_connect("/graphql", protocols=[PROTOCOL]) as watching:
            await watching.send_json({"type": "connection_init"})
            await watching.send_json({"id": "1", "type": "subscribe", "payload": {"query": TICKS}})
            for _ in range(20):
                await watching.receive_json(timeout=30)
                received["messages"] += 1
            await watching.send_json({"id": "1", "type": "complete"})
            await watching.send_json({"type": "ping"})
            kind = ""
            while kind != "pong":  # what was on its way comes before
                kind = (await watching.receive_json(timeout=30))["type"]
                received["messages"] += 1

    async with session(stack) as client, asyncio.TaskGroup() as load:
        for _ in range(4):
            load.create_task(ask(client))
        for _ in range(20):
            load.create_task(watch(client))
    wanted = {what: before[what] + received[what] for what in names}

    async def has_all() -> bool:
        return {what: await counted(stack, name) for what, name in names.items()} == wanted

    await until(has_all)
    per_server = await of_prometheus(stack, "query", query='smartfin_request_seconds_count{type="query"} > 0')
    assert {one["metric"]["instance"].partition(":")[0] for one in per_server["result"]} == {
        stack.address("app1"),
        stack.address("app2"),
    }


async def test_both_servers_restart_under_load_without_a_failed_request_or_a_lost_client(stack: Stack) -> None:
    told: Counter[str] = Counter()
    closed: Counter[int] = Counter()
    watched = [0] * 20
    over = asyncio.Event()

    async def ask(client: aiohttp.ClientSession) -> None:
        while not over.is_set():
            await asyncio.sleep(0.05)  # a steady load, which leaves the machine room to start a server
            try:
                async with client.post("/graphql", json={"query": QUERY}) as response:
                    answer = await response.text()
                well = response.status == 200 and json.loads(answer)["data"]["quote"]["price"] > 0
                told["answered" if well else f"{response.status} {answer[:200]}"] += 1
            except (aiohttp.ClientError, ValueError) as error:
                told[repr(error)] += 1

    async def watch(client: aiohttp.ClientSession, number: int) -> None:
        """As clients of graphql-ws do: whoever is closed with a code that says so comes back."""
        while not over.is_set():
            async with client.ws_connect("/graphql", protocols=[PROTOCOL]) as watching:
                await watching.send_json({"type": "connection_init"})
                await watching.send_json({"id": "1", "type": "subscribe", "payload": {"query": TICKS}})
                while (
                    not over.is_set() and (message := await watching.receive(timeout=30)).type is aiohttp.WSMsgType.TEXT
                ):
                    watched[number] += message.json()["type"] == "next"
                if not over.is_set():
                    closed[message.data] += 1

    async def all_tick() -> None:
        before = list(watched)
        await until(lambda: all(now > then for now, then in zip(watched, before, strict=True)), within_s=60)

    async with session(stack) as client, asyncio.TaskGroup() as load:
        for number in range(len(watched)):
            load.create_task(watch(client, number))
        for _ in range(4):
            load.create_task(ask(client))
        await all_tick()
        for name in ("app1", "app2"):
            answered = told["answered"]
            assert await asyncio.to_thread(stack.stop, name) == 0
            stack.start(name)
            await asyncio.to_thread(stack.wait_for, name, f"{stack.operators(name)}/readyz")
            await all_tick()
            assert told["answered"] > answered
        over.set()
    assert dict(told) == {"answered": told["answered"]}
    assert set(closed) == {1012}
    assert closed[1012] >= len(watched), "each was closed by one of the two at least"
