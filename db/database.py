"""The one pool of PostgreSQL connections: sessions for entities, plain asyncpg where rows are many."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from weakref import WeakSet

import asyncpg
from sqlalchemy import event, text
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import QueuePool

import tracing
from errors import StoreUnavailable

DEADLINE_S = 1.5
"""How long a question of a request may take; a job or an import gives its own. No request shall take 2 s for it."""

_REFUSED = (asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError, asyncpg.TooManyConnectionsError)
"""What asyncpg raises where PostgreSQL is there, but takes no connection."""


class Database:
    """PostgreSQL as one mode sees it: the mode's schema is the only one on the search path.

    Every way in has one outer deadline. A call that outlives it may hang on a frozen server, so its connection
    is terminated instead of being given back. Raises StoreUnavailable when PostgreSQL does not answer; an error
    of the statement, or of the caller, stays what it is.
    """

    def __init__(self, url: str, schema: str, pool_size: int = 10) -> None:
        self.url = url
        self.schema = schema
        self.pool_size = pool_size
        self._opened: WeakSet[asyncpg.Connection] = WeakSet()
        self._engine = self._create_engine(pool_size)

    def _create_engine(self, pool_size: int) -> AsyncEngine:
        async def connect() -> Any:
            # asyncpg reads the whole of libpq's URL syntax; SQLAlchemy's own URL would lose some of it.
            opened = await asyncpg.connect(
                self.url,
                timeout=DEADLINE_S,
                server_settings={"search_path": self.schema, "timezone": "UTC", "application_name": "smartfin"},
            )
            self._opened.add(opened)
            return opened

        engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=connect,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=DEADLINE_S,
        )
        event.listen(engine.sync_engine, "checkout", _ping)
        # SQLAlchemy would first try for 2 s to say goodbye.
        event.listen(engine.sync_engine, "invalidate", lambda dropped, *_: dropped.driver_connection.terminate())
        return engine

    @property
    def connections(self) -> tuple[int, int]:
        """How many connections are open, and how many of them are in use."""
        pool = self._engine.pool
        assert isinstance(pool, QueuePool)
        return pool.checkedin() + pool.checkedout(), pool.checkedout()

    @asynccontextmanager
    async def session(self, deadline_s: float = DEADLINE_S) -> AsyncIterator[AsyncSession]:
        """A session in one transaction: committed at the end, rolled back on an error."""
        async with (
            self._connected(deadline_s) as connection,
            AsyncSession(connection, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    @asynccontextmanager
    async def connection(self, deadline_s: float = DEADLINE_S) -> AsyncIterator[asyncpg.Connection]:
        """A connection of the pool as asyncpg gives it, for COPY and for rows by the thousand."""
        async with self._connected(deadline_s) as connection:
            yield await _driver(connection)

    @asynccontextmanager
    async def _connected(self, deadline_s: float) -> AsyncIterator[AsyncConnection]:
        with tracing.span("postgresql"):
            async with self._lent(deadline_s) as connection:
                yield connection

    @asynccontextmanager
    async def _lent(self, deadline_s: float) -> AsyncIterator[AsyncConnection]:
        deadline = asyncio.timeout(deadline_s)
        driver: asyncpg.Connection | None = None
        try:
            async with deadline, self._engine.connect() as connection:
                driver = await _driver(connection)
                try:
                    yield connection
                except BaseException as error:
                    lost = driver.is_closed()
                    # Whatever state it is in, nobody else shall get it.
                    await connection.invalidate()
                    if lost and isinstance(error, Exception):
                        raise _unreachable() from error
                    raise
        except Exception as error:
            if deadline.expired():
                raise StoreUnavailable(f"PostgreSQL did not answer within {deadline_s:g} s; try again.") from None
            if driver is None and (isinstance(error, OSError | PoolTimeout) or _is_refusal(error)):
                raise _unreachable() from error
            raise

    async def ping(self) -> None:
        """Return when PostgreSQL has answered."""
        async with self.session() as session:
            await session.execute(text("SELECT 1"))

    async def aclose(self) -> None:
        """Close every connection, with a goodbye if PostgreSQL listens and nobody uses it any more."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DEADLINE_S):
                await self._engine.dispose()
        for connection in self._opened:
            connection.terminate()  # does nothing where it is closed


def _ping(connection: Any, *_: object) -> None:
    """Have another connection made where PostgreSQL has left this one; SQLAlchemy's own ping goes there three times."""
    try:
        connection.run_async(lambda driver: driver.execute("SELECT"))
    # The last is what asyncpg raises where PostgreSQL has said goodbye, and the end of the connection is not read yet.
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise InvalidatePoolError from error


async def _driver(connection: AsyncConnection) -> asyncpg.Connection:
    return (await connection.get_raw_connection()).driver_connection


def _is_refusal(error: BaseException | None) -> bool:
    """Whether PostgreSQL took no connection; SQLAlchemy may have wrapped what asyncpg raised."""
    return error is not None and (isinstance(error, _REFUSED) or _is_refusal(error.__cause__))


def _unreachable() -> StoreUnavailable:
    return StoreUnavailable("PostgreSQL cannot be reached; try again.")
