from datetime import UTC, datetime

from db.database import Database
from db.partitions import Partitions

COUNT = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'historical_data'::regclass"
THIRTY_YEARS = [datetime(year, month, 15, tzinfo=UTC) for year in range(1990, 2020) for month in range(1, 13)]


async def test_many_months_are_made_in_one_call_and_only_once(database: Database, partitions: Partitions) -> None:
    await partitions.ensure("historical_data", THIRTY_YEARS)
    await partitions.ensure("historical_data", THIRTY_YEARS)
    await Partitions(database).ensure("historical_data", THIRTY_YEARS)
    async with database.connection() as connection:
        assert await connection.fetchval(COUNT) == 360
