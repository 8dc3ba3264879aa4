"""The keys of sources at rest: kept, sealed, and opened by who has the secret alone."""

import base64
import stat
from pathlib import Path

import pytest

from db.database import Database
from db.sealing import sealer
from db.source_keys import SourceKeys
from db.source_stats import SourceStatsStore
from errors import StartError
from settings import SECRET_FILE, Settings, load_settings
from tests.fakes.polygon import FakePolygon

KEY = "pKx7Jq2VbT0sW9eR"


def settings(folder: Path, secret: str | None = "correct horse battery staple of ours") -> Settings:
    return load_settings(data_dir=folder, secret_key=secret)


@pytest.fixture
async def entered(database: Database) -> Database:
    """A database that knows the source."""
    await SourceStatsStore(database).enter([FakePolygon().source()])
    return database


async def stored(database: Database) -> str | None:
    async with database.connection() as connection:
        text: str | None = await connection.fetchval("SELECT api_key_encrypted FROM data_sources")
    return text


async def test_a_key_is_sealed_at_rest_and_comes_back(entered: Database, tmp_path: Path) -> None:
    keys = SourceKeys(entered, settings(tmp_path))
    await keys.save({"polygon": KEY})
    assert await SourceKeys(entered, settings(tmp_path)).get() == {"polygon": KEY}
    sealed = await stored(entered)
    assert sealed is not None
    assert KEY not in sealed
    await keys.save({"polygon": KEY})
    assert await stored(entered) == sealed
    await keys.save({"polygon": None})
    assert await stored(entered) is None


async def test_a_key_of_a_source_that_is_not_entered_is_not_kept(entered: Database, tmp_path: Path) -> None:
    keys = SourceKeys(entered, settings(tmp_path))
    await keys.save({"alphavantage": KEY})
    assert await keys.get() == {}


async def test_another_secret_opens_nothing_and_the_log_says_what_to_do(
    entered: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await SourceKeys(entered, settings(tmp_path)).save({"polygon": KEY})
    assert await SourceKeys(entered, settings(tmp_path, "another secret, as long as the one before")).get() == {}
    assert "polygon was sealed with another SMARTFIN_SECRET_KEY: set it again" in caplog.text
    assert KEY not in caplog.text


async def test_without_keys_no_secret_is_made(entered: Database, tmp_path: Path) -> None:
    keys = SourceKeys(entered, settings(tmp_path / "none", None))
    await keys.save({})
    assert await keys.get() == {}
    assert not (tmp_path / "none").exists()


def test_a_secret_is_made_once_for_us_alone(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    first = sealer(settings(folder, None))
    assert sealer(settings(folder, None)).decrypt(first.encrypt(b"x")) == b"x"
    assert [path.name for path in folder.iterdir()] == [SECRET_FILE]
    assert stat.S_IMODE((folder / SECRET_FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("content", [b"", b"no key", base64.urlsafe_b64encode(bytes(32))[:-4]])
def test_a_file_that_holds_no_secret_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / SECRET_FILE).write_bytes(content)
    with pytest.raises(StartError, match="SMARTFIN_SECRET_KEY"):
        sealer(settings(tmp_path, None))
