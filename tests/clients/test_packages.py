"""The packages that frontends use, against a server: each program of src/ prints what travelled and what came."""

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from gql import Client, gql
from gql.transport.websockets import WebsocketsTransport

from db.database import Database
from db.documents import DocumentStore
from db.redis import Keys, connect
from gateway.documents import Documents
from gateway.manifest import publish
from people import Tier
from schema.build import build_schema
from settings import Mode, Settings
from tests.conftest import ROOT, Running, smartfin
from tests.people import bearer, person

FOLDER = ROOT / "tests" / "clients"
CLOSES = "[190.76,187.48,192.04]"
BARS = (
    '[{"close":190.76,"time":"2024-01-02T00:00:00Z"},{"close":187.48,"time":"2024-01-03T00:00:00Z"},'
    '{"close":192.04,"time":"2024-01-04T00:00:00Z"}]'
)
SMA = "[184.298,185.2495,186.202]"


@pytest.fixture(scope="session")
def built() -> Path:
    """The programs, once GraphQL Code Generator has typed the schema and TypeScript has found nothing wrong."""
    done = subprocess.run(
        ["npm", "run", "--silent", "build"], cwd=FOLDER, check=False, capture_output=True, text=True, timeout=110
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr
    return FOLDER / "build"


def ran(program: Path, *arguments: str) -> list[str]:
    """The lines that it prints, unless it fails."""
    done = subprocess.run(["node", program, *arguments], check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.splitlines()


@pytest.mark.node
def test_the_schema_and_what_clients_ask_compile_under_strict_typescript(built: Path) -> None:
    schema = (FOLDER / "src" / "generated" / "schema.ts").read_text(encoding="utf-8")
    assert ": any" not in schema  # each scalar is mapped
    assert "  DateTime: { input: string; output: string; }\n" in schema
    assert (built / "apollo.js").exists()


@pytest.mark.node
@pytest.mark.parametrize(("program", "method"), [("apollo", "POST"), ("urql", "GET")])
def test_a_client_persists_its_query_asks_by_hash_and_watches(
    built: Path, sandbox: Running, program: str, method: str
) -> None:
    assert ran(built / f"{program}.js", sandbox.graphql) == [
        "GET hash 400",  # the hash is new to the server
        f"{method} text+hash 200",
        f"{CLOSES} {SMA}",
        f"{CLOSES} {SMA}",  # of its own cache
        "GET hash 200",
        f"{CLOSES} {SMA}",
        *["AAPL true"] * 3,
    ]


@pytest.fixture
async def documents_only(built: Path, sandbox: Running, database_url: str, redis_url: str) -> AsyncIterator[Running]:
    """A server beside the sandbox that knows what the clients of src/ ask, and serves nothing else."""
    async with connect(redis_url) as redis:
        store = DocumentStore(redis, Keys(Mode.SANDBOX))
        manifest = FOLDER / "src" / "generated" / "persisted-documents.json"
        await publish(manifest, Documents(build_schema(), Settings(), store), store)
    stores = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    with smartfin("--role", "api", **stores, SMARTFIN_DOCUMENTS_ONLY="true") as running:
        yield running


@pytest.mark.node
def test_the_documents_that_the_code_generator_wrote_are_asked_by_id(built: Path, documents_only: Running) -> None:
    assert ran(built / "published.js", documents_only.graphql) == [
        "POST id 200",
        f'{{"data":{{"history":{{"bars":{BARS},"indicators":{{"sma":{SMA}}},"symbol":"AAPL"}}}}}}',
        "GET hash 200",
        CLOSES,
        "GET text 400",
        "DOCUMENT_NOT_ALLOWED",
    ]


@pytest.mark.node
async def test_graphql_ws_connects_when_asked_and_comes_back_with_a_new_token(
    built: Path, sandbox: Running, sandbox_database: Database
) -> None:
    good = bearer(await person(sandbox_database, Tier.VIP)).removeprefix("Bearer ")
    assert ran(built / "session.js", sandbox.graphql, "stale", good) == [
        "asking",
        "connecting",
        "closed 4403",
        "connecting",
        "connected",
        '{"me":{"tier":"VIP"}}',
        "closed 1000",
    ]


async def test_gql_asks_and_watches_on_one_websocket(sandbox: Running) -> None:
    transport = WebsocketsTransport(url=sandbox.graphql.replace("http", "ws"))
    async with Client(transport=transport, fetch_schema_from_transport=True) as session:
        query = gql('{ history(symbol: "AAPL", from: "2024-01-02", to: "2024-01-05") { bars { close } } }')
        watched = gql('subscription { quotes(symbols: ["AAPL"]) { price } }')
        prices = []
        async for answer in session.subscribe(watched):
            prices.append(answer["quotes"]["price"])
            answered = await session.execute(query)  # while the subscription goes on
            assert [bar["close"] for bar in answered["history"]["bars"]] == [190.76, 187.48, 192.04]
            if len(prices) == 3:
                break
    assert min(prices) > 0
