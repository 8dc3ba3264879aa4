"""The fixtures of a real PostgreSQL and a real Valkey that live as long as the tests do."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from db.embedded import Servers, embedded


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    with tempfile.TemporaryDirectory() as folder, embedded(Path(folder)) as pair:
        yield pair


@pytest.fixture(scope="session")
def database_url(servers: Servers) -> str:
    return servers.database_url


@pytest.fixture(scope="session")
def redis_url(servers: Servers) -> str:
    return servers.redis_url
