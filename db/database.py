"""The one pool of PostgreSQL connections: sessions for entities, plain asyncpg where rows are many."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from errors import StoreUnavailable

DEADLINE_S = 2.0
"""How long a question of a request may take; a job or an import gives its own."""

_LOST = (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.CannotConnectNowError)


class Database:
    """PostgreSQL as one mode sees it: the mode's schema is the only one on the search path.

    Every way in has one outer deadline. A call that outlives it may hang on a frozen server, so its connection
    is terminated instead of being given back. Raises StoreUnavailable when PostgreSQL does not answer.
    """

    def __init__(self, url: str, schema: str, pool_size: int = 10) -> None:
        self.url = url
        self.schema = schema
        self._engine = self._create_engine(pool_size)

    def _create_engine(self, pool_size: int) -> AsyncEngine:
        async def connect() -> Any:
            # asyncpg reads the whole of libpq's URL syntax; SQLAlchemy's own URL would lose some of it.
            return await asyncpg.connect(
                self.url,
                timeout=DEADLINE_S,
                server_settings={"search_path": self.schema, "timezone": "UTC", "application_name": "smartfin"},
            )

        return create_async_engine(
            "postgresql+asyncpg://",
            async_creator=connect,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=DEADLINE_S,
            pool_pre_ping=True,
        )

    @asynccontextmanager
    async def session(self, deadline_s: float = DEADLINE_S) -> AsyncIterator[AsyncSession]:
        """A session in one transaction: committed at the end, rolled back on an error."""
        session = AsyncSession(self._engine, expire_on_commit=False)
        try:
            async with asyncio.timeout(deadline_s), session.begin():
                yield session
        except TimeoutError:
            raise StoreUnavailable(f"PostgreSQL did not answer within {deadline_s:g} s; try again.") from None
        except (*_LOST, SQLAlchemyError) as error:
            raise _unavailable(error) from error
        finally:
            await session.close()

    @asynccontextmanager
    async def connection(self, deadline_s: float = DEADLINE_S) -> AsyncIterator[asyncpg.Connection]:
        """A connection of the pool as asyncpg gives it, for COPY and for rows by the thousand."""
        driver: asyncpg.Connection | None = None
        try:
            async with asyncio.timeout(deadline_s), self._engine.connect() as connection:
                driver = (await connection.get_raw_connection()).driver_connection
                assert driver is not None
                try:
                    yield driver
                except BaseException:
                    # Whatever state it is in, nobody else shall get it.
                    driver.terminate()
                    await connection.invalidate()
                    raise
        except TimeoutError:
            raise StoreUnavailable(f"PostgreSQL did not answer within {deadline_s:g} s; try again.") from None
        except (*_LOST, SQLAlchemyError) as error:
            raise _unavailable(error) from error

    async def ping(self) -> None:
        """Return when PostgreSQL has answered."""
        async with self.session() as session:
            await session.execute(text("SELECT 1"))

    async def aclose(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


def _unavailable(error: BaseException) -> BaseException:
    """StoreUnavailable where the connection is to blame, at whatever depth; else the error itself."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (*_LOST, PoolTimeout)):
            return StoreUnavailable("PostgreSQL cannot be reached; try again.")
        cause = cause.__cause__ or cause.__context__
    return error
