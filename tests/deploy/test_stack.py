"""A real nginx with the configuration as it is deployed, in front of two real servers."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass

import aiohttp
import pytest

from tests.conftest import ROOT, smartfin
from tests.waiting import until

pytestmark = pytest.mark.tools

TICKS = 'subscription { quotes(symbols: ["AAPL"]) { price } }'
QUERY = '{ quote(symbol: "AAPL") { price } }'
PROTOCOL = "graphql-transport-ws"


@dataclass
class Front:
    """nginx, and what stands behind it."""

    url: str
    plain_url: str
    tls: ssl.SSLContext

    @property
    def graphql(self) -> str:
        return f"{self.url}/graphql"

    def session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=self.tls, limit=0))


def free_ports(count: int) -> list[int]:
    import socket

    with ExitStack() as stack:
        taken = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [listening.getsockname()[1] for listening in taken]


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return False
    writer.close()
    return True


def check(*command: str) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
async def front(tmp_path_factory: pytest.TempPathFactory, database_url: str, redis_url: str) -> AsyncIterator[Front]:
    folder = tmp_path_factory.mktemp("nginx")
    key, certificate = folder / "tls.key", folder / "tls.crt"
    check(
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"),
        *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        *("-keyout", str(key), "-out", str(certificate)),
    )
    environment = {
        "DATABASE_URL": database_url,
        "REDIS_URL": f"{redis_url}?db=7",
        "SMARTFIN_SANDBOX_TICKS_PER_SECOND": "10",
        "FORWARDED_ALLOW_IPS": "127.0.0.1",
    }
    with ExitStack() as stack:
        servers = [stack.enter_context(smartfin(**environment)) for _ in range(2)]
        secure, plain = free_ports(2)
        text = (ROOT / "deploy" / "nginx" / "nginx.conf").read_text(encoding="utf-8")
        for there, here in {
            "10.231.0.11:8000": servers[0].url.removeprefix("http://"),
            "10.231.0.12:8000": servers[1].url.removeprefix("http://"),
            "listen 443 ": f"listen 127.0.0.1:{secure} ",
            "listen 80 ": f"listen 127.0.0.1:{plain} ",
            "/run/secrets/tls_certificate": str(certificate),
            "/run/secrets/tls_key": str(key),
            "/tmp/nginx.pid": str(folder / "nginx.pid"),
            "access_log /dev/stdout json": f"access_log {folder}/access.log json",
            "error_log /dev/stderr warn": f"error_log {folder}/error.log warn",
        }.items():
            assert text.count(there) == 1, there
            text = text.replace(there, here)
        (folder / "nginx.conf").write_text(text)
        command = ["nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
        assert "[warn]" not in check(*command, "-t")
        process = await asyncio.create_subprocess_exec(*command, "-g", "daemon off;")
        try:
            tls = ssl.create_default_context(cafile=str(certificate))
            made = Front(f"https://127.0.0.1:{secure}", f"http://127.0.0.1:{plain}", tls)
            await until(lambda: listens(secure))
            yield made
        finally:
            process.terminate()
            await process.wait()


async def test_plain_http_is_sent_to_https_and_operators_pages_are_not_there(front: Front) -> None:
    async with front.session() as session:
        async with session.get(f"{front.plain_url}/graphql?query=x", allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (308, "https://127.0.0.1/graphql?query=x")
        for path, status in {"/livez": 200, "/": 200, "/metrics": 404, "/readyz": 404}.items():
            async with session.get(f"{front.url}{path}") as response:
                assert response.status == status, path


async def test_a_request_as_large_as_smartfin_takes_gets_smartfins_answer(front: Front) -> None:
    async with front.session() as session:
        for length in (100_000, 140_000):
            async with session.post(front.graphql, json={"query": "#" * length}) as response:
                assert "errors" in await response.json(), length
        async with session.get(front.graphql, params={"query": QUERY, "padding": "x" * 50_000}) as response:
            assert (await response.json())["data"]["quote"]["price"] > 0


async def test_ticks_come_through_by_websocket_and_by_event_stream(front: Front) -> None:
    async with front.session() as session:
        async with session.ws_connect(front.graphql, protocols=[PROTOCOL]) as watching:
            await watching.send_json({"type": "connection_init"})
            await watching.send_json({"id": "1", "type": "subscribe", "payload": {"query": TICKS}})
            kinds = [(await watching.receive_json(timeout=20))["type"] for _ in range(4)]
            assert kinds == ["connection_ack", "next", "next", "next"]
        events = {"Accept": "text/event-stream"}
        async with session.get(front.graphql, params={"query": TICKS}, headers=events) as stream:
            assert stream.content_type == "text/event-stream"
            for _ in range(3):  # each as it comes: buffered, the first would wait for kilobytes of others
                async with asyncio.timeout(20):
                    while not (await stream.content.readline()).startswith(b"data: {"):
                        pass
