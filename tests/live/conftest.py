"""A Valkey that these tests may kill, freeze and empty."""

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from redis.asyncio import Redis

from db.embedded import embedded
from db.redis import connect


@dataclass(frozen=True)
class OwnValkey:
    """One of our own, which its keeper starts again when it dies."""

    url: str
    folder: Path

    @property
    def process(self) -> psutil.Process:
        """The one that runs now."""
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.name() == "valkey-server" and process.cwd() == str(self.folder / "valkey"):
                    return process
        raise AssertionError("it does not run")


@pytest.fixture(scope="session")
def own_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnValkey]:
    folder = tmp_path_factory.mktemp("own") / "data"
    with embedded(folder) as servers:
        yield OwnValkey(servers.redis_url, folder)


@pytest.fixture
async def own(own_valkey: OwnValkey) -> AsyncIterator[Redis]:
    """A client of it."""
    redis = connect(own_valkey.url)
    yield redis
    await redis.aclose()
