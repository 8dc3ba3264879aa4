"""`smartfin serve` as a process of its own: how it begins, how it ends, and what it leaves."""

import asyncio
import os
import re
import signal
import subprocess
import time
from asyncio import create_subprocess_exec
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import psutil
import pytest

from tests.conftest import SMARTFIN, Running, smartfin
from tests.waiting import until

HISTORY = """{ history(symbol: "MSFT", from: "2021-03-01", to: "2021-03-11") {
    bars { time close } provenance { servedFrom } } }"""


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One folder for all of these tests, one after the other: only the first has to make a cluster."""
    folder = tmp_path_factory.mktemp("serve") / "data"
    yield folder
    for process in processes(folder):
        with suppress(psutil.NoSuchProcess):
            process.kill()


def processes(folder: Path, name: str | None = None) -> list[psutil.Process]:
    """Every process (of the name) that works in the folder, or has it in its command."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            ours = any(str(folder) in word for word in (*process.cmdline(), process.cwd()))
            if ours and name in (None, process.name()):
                found.append(process)
    return found


async def nothing_left(folder: Path, *started: psutil.Process) -> None:
    await until(lambda: not processes(folder) and not any(map(psutil.Process.is_running, started)), within_s=3)


def family(running: Running) -> list[psutil.Process]:
    process = psutil.Process(running.process.pid)
    return [process, *process.children(recursive=True)]


def terminate(running: Running) -> None:
    running.process.terminate()


def press_ctrl_c(running: Running) -> None:
    """As a terminal does: every process of the group gets it."""
    os.killpg(running.process.pid, signal.SIGINT)


@pytest.mark.parametrize(("workers", "end"), [(1, terminate), (2, terminate), (2, press_ctrl_c)])
async def test_it_ends_when_told_to_and_leaves_nothing_running(
    data_dir: Path, workers: int, end: Callable[[Running], None]
) -> None:
    with smartfin("--data-dir", str(data_dir), "--workers", str(workers)) as running:
        started = family(running)
        assert len(started) >= workers + (workers > 1), "all of them, and who looks after them"
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(running.graphql, protocols=["graphql-transport-ws"]) as watching,
        ):
            await watching.send_json({"type": "connection_init"})
            query = 'subscription { quotes(symbols: ["AAPL"]) { price } }'
            await watching.send_json({"id": "1", "type": "subscribe", "payload": {"query": query}})
            assert [(await watching.receive_json(timeout=5))["type"] for _ in range(2)] == ["connection_ack", "next"]
            events = {"Accept": "text/event-stream"}
            async with session.get(running.graphql, params={"query": query}, headers=events) as stream:
                assert await stream.content.readline() == b"event: next\n"
                end(running)
                assert not (await stream.content.read()).endswith(b"event: complete\ndata:\n\n"), "it was cut short"
            while (message := await watching.receive(timeout=5)).type is aiohttp.WSMsgType.TEXT:
                pass
            assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1012)
        assert running.process.wait(timeout=20) == 0
    await nothing_left(data_dir, *started)


@pytest.mark.parametrize(("workers", "keep_alive"), [(1, True), (1, False), (2, True), (2, False)])
async def test_it_ends_under_load_without_a_failed_request(data_dir: Path, workers: int, keep_alive: bool) -> None:
    failed: list[object] = []
    serving: list[bool] = []

    async def ask(session: aiohttp.ClientSession, method: str, url: str, body: object = None) -> None:
        while True:
            try:
                async with session.request(method, url, json=body) as response:
                    answer = await response.json()
            except aiohttp.ClientConnectorError:  # nobody listens any more
                return
            except aiohttp.ClientError as error:
                failed.append(error)
                continue
            if "serving" in answer:
                serving.append(answer["serving"])
            elif response.status != 200 or "errors" in answer:
                failed.append(answer)

    async def watch(session: aiohttp.ClientSession, url: str) -> tuple[aiohttp.WSMsgType, int]:
        async with session.ws_connect(url, protocols=["graphql-transport-ws"]) as watching:
            await watching.send_json({"type": "connection_init"})
            query = 'subscription { quotes(symbols: ["AAPL"]) { price } }'
            await watching.send_json({"id": "1", "type": "subscribe", "payload": {"query": query}})
            subscribed.append(await watching.receive_json(timeout=20))
            while (message := await watching.receive(timeout=30)).type is aiohttp.WSMsgType.TEXT:
                pass
        return message.type, message.data

    subscribed: list[object] = []
    arguments = ("--data-dir", str(data_dir), "--workers", str(workers))
    with smartfin(*arguments, SMARTFIN_SANDBOX_TICKS_PER_SECOND="100") as running:
        connector = aiohttp.TCPConnector(limit=0, force_close=not keep_alive)
        async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as load:
            watchers = [load.create_task(watch(session, running.graphql)) for _ in range(120)]
            await until(lambda: len(subscribed) == 120)
            for _ in range(5):
                load.create_task(ask(session, "POST", running.graphql, {"query": HISTORY}))
            load.create_task(ask(session, "GET", f"{running.url}/readyz"))
            await until(lambda: True in serving)
            start = time.monotonic()
            running.process.terminate()
        assert await asyncio.to_thread(running.process.wait, 20) == 0
        assert time.monotonic() - start < 10
    assert {watcher.result() for watcher in watchers} == {(aiohttp.WSMsgType.CLOSE, 1012)}
    assert failed == []
    assert workers > 1 or serving == sorted(serving, reverse=True)
    assert not serving[-1], "/readyz told so before the end"


async def test_a_server_told_to_end_answers_on_and_sends_its_clients_elsewhere(data_dir: Path) -> None:
    with smartfin("--data-dir", str(data_dir), "--role", "api", SMARTFIN_DRAIN_SECONDS="300") as running:
        async with aiohttp.ClientSession() as session:

            async def asked(path: str) -> tuple[int, str | None]:
                async with session.get(f"{running.url}{path}") as response:
                    return response.status, response.headers.get("Connection")

            assert await asked("/livez") == (200, None)
            running.process.terminate()
            await until(lambda: answers(asked("/readyz"), (503, "close")))
            assert await asked("/livez") == (200, "close")
            with pytest.raises(aiohttp.WSServerHandshakeError) as turned_away:
                await session.ws_connect(running.graphql, protocols=["graphql-transport-ws"])
            assert turned_away.value.status == 503, "upon which nginx asks another"
        running.process.send_signal(signal.SIGINT)  # a second Ctrl-C waits for nothing
        assert await asyncio.to_thread(running.process.wait, 20) == 0


async def answers(asking: Awaitable[object], answer: object) -> bool:
    return await asking == answer


async def test_a_killed_server_starts_again_soon_with_what_it_had(data_dir: Path) -> None:
    with smartfin("--data-dir", str(data_dir)) as running:
        before = (await running.data(HISTORY))["history"]
        running.process.kill()
        running.process.wait()
        start = time.monotonic()
        with smartfin("--data-dir", str(data_dir)) as again:
            assert time.monotonic() - start < 10  # 2.5 s on a machine with nothing else to do
            after = (await again.data(HISTORY))["history"]
    assert after["bars"] == before["bars"]
    assert len(after["bars"]) == 10
    assert after["provenance"] == {"servedFrom": "STORE"}
    await nothing_left(data_dir)


async def test_a_terminated_start_leaves_nothing_running(data_dir: Path) -> None:
    process = await create_subprocess_exec(SMARTFIN, "serve", "--port", "0", "--data-dir", data_dir, stdout=DEVNULL)
    await until(lambda: processes(data_dir, "postgres"))
    process.terminate()
    assert await process.wait() == 0
    await nothing_left(data_dir)


async def test_a_migration_beside_it_changes_nothing(data_dir: Path) -> None:
    with smartfin("--data-dir", str(data_dir)) as running:
        migrating = await create_subprocess_exec(SMARTFIN, "migrate", "--data-dir", data_dir, stdout=PIPE, stderr=PIPE)
        assert await migrating.communicate() == (b"The tables of sandbox are up to date.\n", b"")
        assert migrating.returncode == 0
        assert (await running.data('{ quote(symbol: "AAPL") { symbol } }'))["quote"] == {"symbol": "AAPL"}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_folder_that_is_not_ours_is_one_line_on_stderr(tmp_path: Path, workers: int) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    done = subprocess.run(
        [SMARTFIN, "serve", "--port", "0", "--data-dir", tmp_path, "--workers", str(workers)],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"smartfin: {tmp_path} is not empty and was not made by SmartFin;"
        " name a new or empty folder in SMARTFIN_DATA_DIR\n"
    )
    assert done.stdout == ""


def test_a_licence_of_a_source_that_there_is_not_is_one_line_on_stderr(tmp_path: Path) -> None:
    done = subprocess.run(
        [SMARTFIN, "serve", "--port", "0", "--data-dir", tmp_path / "data"],
        env={"PATH": os.environ["PATH"], "SMARTFIN_LICENCES": "yaho:guest=barred"},
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout, list(tmp_path.iterdir())) == (1, "", [])
    assert done.stderr.startswith('smartfin: SMARTFIN_LICENCES: there is no source "yaho"; name one of alphavantage,')


def test_a_worker_that_cannot_start_ends_it_all(tmp_path: Path) -> None:
    done = subprocess.run(
        [SMARTFIN, "serve", "--port", "0", "--workers", "2"],
        env={
            "PATH": os.environ["PATH"],
            "DATABASE_URL": "postgresql://nowhere/",
            "REDIS_URL": "redis://host/0?max_connections=many",
        },
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert done.stderr.endswith("smartfin: A worker could not start; the log says why.\n")
    assert re.search(r"^20\d\d-\S+ ERROR uvicorn\.error: Application startup failed", done.stderr, re.MULTILINE)
