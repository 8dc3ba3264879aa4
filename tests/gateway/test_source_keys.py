"""A key that the environment has said once is known ever after, and told to nobody."""

from pathlib import Path

from tests.conftest import Running, smartfin
from tests.fakes.polygon import KEY, FakePolygon

SOURCES = "{ sources { name } }"
QUOTE = '{ quote(symbol: "BTC-USD") { price provenance { source } } }'


async def names(server: Running) -> list[str]:
    return [source["name"] for source in (await server.data(SOURCES))["sources"]]


async def test_a_key_outlives_the_environment_that_said_it(stores: dict[str, str], tmp_path: Path) -> None:
    async with FakePolygon() as fake:
        environment = {
            **stores,
            "SMARTFIN_MODE": "live",
            "SMARTFIN_SOURCES": "polygon",
            "SMARTFIN_DATA_DIR": str(tmp_path),
            "SMARTFIN_POLYGON_URL": fake.url,
            "SMARTFIN_POLYGON_WS_URL": fake.ws_url,
        }
        with smartfin(**environment) as server:
            assert await names(server) == []
        with smartfin(**environment, POLYGON_API_KEY=KEY) as server:
            assert await names(server) == ["polygon"]
        with smartfin(**environment) as server:
            assert await names(server) == ["polygon"]
            assert (await server.data(QUOTE))["quote"]["provenance"]["source"] == "polygon"
    assert fake.requests[-1].headers["Authorization"] == f"Bearer {KEY}"
