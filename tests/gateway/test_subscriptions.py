"""What a client gets over graphql-transport-ws, from real servers."""

import asyncio
import os
import socket as socket_module
import subprocess
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp

from tests.conftest import SMARTFIN, Running, smartfin

TICKS = """
subscription ($symbols: [Symbol!]!, $rate: Float) {
  quotes(symbols: $symbols, maxPerSecond: $rate) {
    symbol price time volume provenance { source servedFrom synthetic }
  }
}
"""


@asynccontextmanager
async def socket(server: Running, receive_buffer: int | None = None) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    def make(address: Any) -> socket_module.socket:
        made = socket_module.socket(*address[:3])
        if receive_buffer:
            made.setsockopt(socket_module.SOL_SOCKET, socket_module.SO_RCVBUF, receive_buffer)
        return made

    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(socket_factory=make), read_bufsize=4096) as session,
        session.ws_connect(
            server.graphql.replace("http", "ws"), protocols=["graphql-transport-ws"], max_msg_size=0
        ) as connection,
    ):
        await connection.send_json({"type": "connection_init"})
        assert (await connection.receive_json(timeout=5))["type"] == "connection_ack"
        yield connection


async def subscribe(
    connection: aiohttp.ClientWebSocketResponse, *symbols: str, rate: float | None = None, query: str = TICKS
) -> None:
    variables = {"symbols": symbols, "rate": rate}
    await connection.send_json({"id": "1", "type": "subscribe", "payload": {"query": query, "variables": variables}})


async def quotes(connection: aiohttp.ClientWebSocketResponse, count: int) -> list[dict[str, Any]]:
    messages = [await connection.receive_json(timeout=5) for _ in range(count)]
    assert {message["type"] for message in messages} == {"next"}
    return [message["payload"]["data"]["quotes"] for message in messages]


async def test_the_current_quote_comes_first_then_every_change(sandbox: Running) -> None:
    async with socket(sandbox) as connection:
        await subscribe(connection, "SIM010", "SIM011")
        received = await quotes(connection, 40)
        assert {quote["symbol"] for quote in received[:2]} == {"SIM010", "SIM011"}
        assert received[0]["provenance"]["synthetic"] is True
        for symbol in ("SIM010", "SIM011"):
            times = [datetime.fromisoformat(quote["time"]) for quote in received if quote["symbol"] == symbol]
            assert times == sorted(set(times))
            steps = [(after - before).total_seconds() for before, after in pairwise(times[2:])]
            assert max(steps) < 0.11  # ten ticks a second, none left out


async def test_an_unknown_symbol_gives_one_error_and_the_others_go_on(sandbox: Running) -> None:
    async with socket(sandbox) as connection:
        await subscribe(connection, "NOSUCH", "SIM012", "?")
        messages = [await connection.receive_json(timeout=5) for _ in range(8)]
    errors = [message["payload"]["errors"] for message in messages if message["payload"].get("errors")]
    assert sorted(error["extensions"]["code"] for [error] in errors) == ["INVALID_SYMBOL", "SYMBOL_NOT_FOUND"]
    assert sum(message["payload"]["data"] is not None for message in messages) == 6


async def test_a_stream_of_unknown_symbols_only_ends(sandbox: Running) -> None:
    async with socket(sandbox) as connection:
        await subscribe(connection, "NOSUCH")
        messages = [await connection.receive_json(timeout=5) for _ in range(2)]
    assert [message["type"] for message in messages] == ["next", "complete"]


async def test_a_cap_on_the_rate_is_honoured(sandbox: Running) -> None:
    async with socket(sandbox) as connection:
        await subscribe(connection, "SIM013", rate=2)
        await quotes(connection, 1)
        start = asyncio.get_running_loop().time()
        await quotes(connection, 4)
        assert asyncio.get_running_loop().time() - start > 1.9


async def test_bad_arguments_of_a_subscription_have_their_codes(sandbox: Running) -> None:
    for symbols, rate, code in [
        ([], None, "INVALID_PARAMETER"),
        (["AAPL"], 0, "INVALID_PARAMETER"),
        ([f"SIM{number:03d}" for number in range(1, 102)], None, "TOO_MANY_SYMBOLS"),
    ]:
        async with socket(sandbox) as connection:
            await subscribe(connection, *symbols, rate=rate)
            message = await connection.receive_json(timeout=5)
            errors = message["payload"] if message["type"] == "error" else message["payload"]["errors"]
            assert [error["extensions"]["code"] for error in errors] == [code]


async def test_a_slow_reader_gets_the_latest_of_each_symbol(sandbox: Running) -> None:
    symbols = [f"SIM{number:03d}" for number in range(100, 130)]
    async with socket(sandbox, receive_buffer=4096) as connection:
        # 10 kB a message, so that what the kernel buffers on the way is soon full; cheap ones, in long names.
        much = " ".join(f"{'x' * 500}{number}: price" for number in range(20))
        await subscribe(connection, *symbols, query=TICKS.replace("volume", f"volume {much}"))
        await quotes(connection, len(symbols))
        await asyncio.sleep(8)  # 2 400 ticks pass while nobody reads
        wire = connection.get_extra_info("socket")
        wire.setsockopt(socket_module.SOL_SOCKET, socket_module.SO_RCVBUF, 1 << 20)
        resumed = datetime.now(UTC)
        missing = set(symbols)
        behind = 0
        while missing:
            [quote] = await quotes(connection, 1)
            behind += 1
            if datetime.fromisoformat(quote["time"]) > resumed - timedelta(seconds=0.5):
                missing.discard(quote["symbol"])
        assert (datetime.now(UTC) - resumed).total_seconds() < 3
        assert behind < 1500, "what the buffers on the way held, but not all that was missed"


async def test_two_processes_see_the_same_ticks(database_url: str, redis_url: str, sandbox: Running) -> None:
    environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "SMARTFIN_SANDBOX_TICKS_PER_SECOND": "10"}
    with smartfin(**environment) as other:
        async with socket(sandbox) as here, socket(other) as there:
            await subscribe(here, "SIM020")
            await subscribe(there, "SIM020")
            one, two = await asyncio.gather(quotes(here, 40), quotes(there, 40))
    ticks = {(quote["time"], quote["price"], quote["volume"]) for quote in one}
    both = [quote for quote in two if (quote["time"], quote["price"], quote["volume"]) in ticks]
    assert len(both) >= 30
    times = [quote["time"] for quote in two]
    assert len(set(times)) == len(times), "one collector publishes, so nothing comes twice"


@contextmanager
def collecting(**environment: str) -> Iterator[subprocess.Popen[str]]:
    """`smartfin collect`, which runs until the end, or until somebody kills it."""
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **environment}
    with subprocess.Popen([SMARTFIN, "collect"], env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("SmartFin collects")
            yield process
        finally:
            process.terminate()


async def test_collectors_of_their_own_take_over_from_each_other(tmp_path: Path) -> None:
    environment = {"SMARTFIN_DATA_DIR": str(tmp_path / "data"), "SMARTFIN_SANDBOX_TICKS_PER_SECOND": "10"}
    with smartfin("--role", "api", **environment) as server:
        async with socket(server) as connection:
            await subscribe(connection, "SIM022")
            await quotes(connection, 1)
            with collecting(**environment) as first:
                before = await quotes(connection, 10)
                with collecting(**environment) as second:
                    first.kill()
                    after = await quotes(connection, 20)
                assert second.wait(timeout=20) == 0
    times = [datetime.fromisoformat(quote["time"]) for quote in before + after]
    assert times == sorted(set(times))
    steps = [(later - earlier).total_seconds() for earlier, later in pairwise(times)]
    assert max(steps) < 5, "the heartbeat ran out, and the other took over"


async def test_ticks_go_on_when_the_collecting_process_is_killed(tmp_path: Path) -> None:
    environment = {"SMARTFIN_DATA_DIR": str(tmp_path / "data"), "SMARTFIN_SANDBOX_TICKS_PER_SECOND": "10"}
    with smartfin(**environment) as collecting, smartfin(**environment) as other:
        async with socket(other) as connection:
            # So many that some are the first one's, some the other's.
            await subscribe(connection, *(f"SIM{number:03d}" for number in range(20, 44)))
            before = await quotes(connection, 24 * 8)
            collecting.process.kill()
            after = await quotes(connection, 24 * 60)
    ticked = defaultdict(list)
    for quote in before + after:
        ticked[quote["symbol"]].append(datetime.fromisoformat(quote["time"]))
    assert len(ticked) == 24
    gaps = []
    for times in ticked.values():
        assert times == sorted(set(times))
        steps = [(later - earlier).total_seconds() for earlier, later in pairwise(times[2:])]
        gaps.append(max(steps))
    assert 1 < max(gaps) < 5, "the heartbeat ran out, and the other took over"
