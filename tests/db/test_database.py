"""What a caller sees of PostgreSQL when it is away, frozen, slow or asked for nonsense."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncSession

from db.database import DEADLINE_S, Database
from db.embedded import embedded
from tests.waiting import until

Question = Callable[..., Awaitable[None]]


async def by_session(database: Database, sql: str = "SELECT 1", deadline_s: float = DEADLINE_S) -> None:
    async with database.session(deadline_s) as session:
        await session.execute(text(sql))


async def by_connection(database: Database, sql: str = "SELECT 1", deadline_s: float = DEADLINE_S) -> None:
    async with database.connection(deadline_s) as connection:
        await connection.execute(sql)


async def by_transaction(database: Database, *, deadline_s: float = DEADLINE_S) -> None:
    async with database.connection(deadline_s) as connection, connection.transaction():
        await connection.execute("SELECT 1")


SIZE = 2
WAYS_IN = [by_session, by_connection, by_transaction]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A PostgreSQL that only these tests use, and its folder."""
    folder = tmp_path_factory.mktemp("own") / "data"
    with embedded(folder) as servers:
        yield servers.database_url, folder


@pytest.fixture
async def private(own: tuple[str, Path]) -> AsyncIterator[Database]:
    database = Database(own[0], "public", pool_size=len(WAYS_IN))
    await asyncio.gather(*(by_connection(database) for _ in WAYS_IN))
    yield database
    await database.aclose()


@pytest.fixture
async def plain(database_url: str) -> AsyncIterator[Database]:
    """The PostgreSQL of all tests."""
    database = Database(database_url, "public", pool_size=SIZE)
    yield database
    await database.aclose()


def postgres(folder: Path) -> list[psutil.Process]:
    """Every process of the PostgreSQL in the folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.name() == "postgres" and process.cwd() == str(folder / "postgres"):
                found.append(process)
    return found


@contextmanager
def frozen(folder: Path) -> Iterator[None]:
    processes = postgres(folder)
    assert len(processes) > len(WAYS_IN)
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # a helper of PostgreSQL's may come and go
            process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()


async def outcome(question: Awaitable[None]) -> tuple[str, float]:
    """What it ended with, and after how many seconds."""
    start = time.monotonic()
    try:
        await question
    except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at
        return f"{type(error).__name__}: {error}", time.monotonic() - start
    return "answered", time.monotonic() - start


@pytest.mark.parametrize("ask", WAYS_IN)
async def test_a_postgresql_that_is_not_there_is_unavailable_at_once(ask: Question, tmp_path: Path) -> None:
    database = Database(f"postgresql://smartfin@/smartfin?host={tmp_path}", "public")
    said, took_s = await outcome(ask(database, deadline_s=60.0))
    assert said == "StoreUnavailable: PostgreSQL cannot be reached; try again."
    assert took_s < 5, "it does not wait for the deadline"
    await database.aclose()


async def test_a_frozen_postgresql_is_unavailable_within_the_deadline_and_whole_again_after(
    private: Database, own: tuple[str, Path]
) -> None:
    with frozen(own[1]):
        # Each way in gets a connection, and then waits for one in vain.
        outcomes = await asyncio.gather(*(outcome(ask(private)) for ask in WAYS_IN * 2))
    thawed = time.monotonic()
    assert {said for said, _ in outcomes} == {"StoreUnavailable: PostgreSQL did not answer within 1.5 s; try again."}
    assert max(took_s for _, took_s in outcomes) < DEADLINE_S + 0.5
    # All of the pool at once, each connection for longer than one question takes.
    await asyncio.gather(*(by_connection(private, "SELECT pg_sleep(0.1)") for _ in WAYS_IN))
    assert time.monotonic() - thawed < 2


async def test_a_postgresql_that_dies_is_unavailable_until_it_is_back(private: Database, own: tuple[str, Path]) -> None:
    sleeping = [
        asyncio.create_task(outcome(ask(private, "SELECT pg_sleep(60)"))) for ask in (by_session, by_connection)
    ]
    watching = await asyncpg.connect(own[0])
    active = "SELECT count(*) = 2 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)' AND state = 'active'"
    await until(lambda: watching.fetchval(active))
    watching.terminate()
    os.kill(int((own[1] / "postgres" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
    unavailable = "StoreUnavailable: PostgreSQL cannot be reached; try again."
    assert {said for said, _ in await asyncio.gather(*sleeping)} == {unavailable}
    said = {unavailable}
    async with asyncio.timeout(15):
        while "answered" not in said:
            said |= {(await outcome(ask(private)))[0] for ask in WAYS_IN}
            await asyncio.sleep(0.02)
    assert said == {unavailable, "answered"}


@pytest.mark.parametrize("ask", [by_session, by_connection])
async def test_a_question_that_postgresql_ends_as_it_stops_is_unavailable(
    plain: Database, ask: Callable[..., Awaitable[None]]
) -> None:
    sleeping = asyncio.create_task(outcome(ask(plain, "SELECT pg_sleep(61)")))
    stop = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(61)'"
    async with plain.connection(20) as connection:
        await until(lambda: connection.fetchval(stop))
    assert (await sleeping)[0] == "StoreUnavailable: PostgreSQL cannot be reached; try again."
    await ask(plain)


@pytest.mark.parametrize("ask", [by_session, by_connection])
@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError("reset"),
        asyncpg.AdminShutdownError("terminating connection"),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_connection_that_has_ended_while_nobody_used_it_is_made_anew(
    plain: Database, monkeypatch: pytest.MonkeyPatch, error: Exception, ask: Callable[..., Awaitable[None]]
) -> None:
    await ask(plain)
    execute, left = asyncpg.Connection.execute, [error]

    async def ended(*arguments: Any, **options: Any) -> Any:
        if left:
            raise left.pop()
        return await execute(*arguments, **options)

    monkeypatch.setattr(asyncpg.Connection, "execute", ended)
    await ask(plain)
    assert left == []


@pytest.mark.parametrize("ask", [by_session, by_connection])
async def test_a_question_that_is_too_slow_leaves_the_pool_usable(
    plain: Database, ask: Callable[..., Awaitable[None]]
) -> None:
    for _ in range(SIZE + 1):
        said, took_s = await outcome(ask(plain, "SELECT pg_sleep(5)", 0.2))
        assert said == "StoreUnavailable: PostgreSQL did not answer within 0.2 s; try again."
        assert took_s < 0.5
        await ask(plain)


async def test_a_pool_that_is_used_up_is_unavailable_within_the_deadline(plain: Database) -> None:
    async with plain.connection(), plain.connection():
        said, took_s = await outcome(by_session(plain, deadline_s=0.2))
    assert said == "StoreUnavailable: PostgreSQL did not answer within 0.2 s; try again."
    assert took_s < 0.5
    await by_session(plain)


async def test_a_connection_whose_user_failed_is_handed_to_nobody_else(plain: Database) -> None:
    async def fail() -> None:
        async with plain.connection() as connection:
            await connection.execute("SET work_mem = '65kB'")
            await connection.execute("SELECT 1 / 0")

    for _ in range(SIZE):
        with pytest.raises(asyncpg.DivisionByZeroError):
            await fail()
    async with plain.connection() as one, plain.connection() as other:
        assert [await connection.fetchval("SHOW work_mem") for connection in (one, other)] == ["4MB", "4MB"]


async def test_a_connection_that_is_still_lent_is_closed_as_everybody_leaves(private: Database) -> None:
    async with private.connection() as connection:
        await private.aclose()
        assert connection.is_closed()


async def test_a_frozen_postgresql_does_not_keep_anybody_from_leaving(private: Database, own: tuple[str, Path]) -> None:
    async with private.connection() as one, private.connection() as two, private.connection() as three:
        pooled = [one, two, three]
    assert not any(connection.is_closed() for connection in pooled)
    with frozen(own[1]):
        start = time.monotonic()
        await private.aclose()
        assert time.monotonic() - start < DEADLINE_S + 0.5
        assert all(connection.is_closed() for connection in pooled)


async def own_failure(_: object = None) -> None:
    os.stat("/nonexistent")


async def own_deadline(_: object = None) -> None:
    async with asyncio.timeout(0):
        await asyncio.sleep(1)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (lambda connection: connection.fetchval("SELECT $1::int + $2::int", 1), asyncpg.InterfaceError),
        (lambda connection: connection.fetchval("SELECT $1::int", "one"), asyncpg.DataError),
        (lambda connection: connection.fetchval("SELECT * FROM nowhere"), asyncpg.UndefinedTableError),
        (own_failure, FileNotFoundError),
        (own_deadline, TimeoutError),
    ],
)
async def test_a_fault_of_ours_on_a_connection_stays_what_it_is(
    plain: Database, fault: Callable[[asyncpg.Connection], Awaitable[None]], error: type[Exception]
) -> None:
    with pytest.raises(error):
        async with plain.connection() as connection:
            await fault(connection)
    await by_connection(plain)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (lambda session: session.execute(text("SELECT :a + 'x'"), {"a": 1}), DBAPIError),
        (lambda session: session.execute(text("SELECT * FROM nowhere")), ProgrammingError),
        (own_failure, FileNotFoundError),
        (own_deadline, TimeoutError),
    ],
)
async def test_a_fault_of_ours_in_a_session_stays_what_it_is(
    plain: Database, fault: Callable[[AsyncSession], Awaitable[None]], error: type[Exception]
) -> None:
    async def at_fault() -> None:
        async with plain.session() as outer, plain.session() as session:
            await outer.execute(text("CREATE TABLE half_made ()"))
            await fault(session)

    with pytest.raises(error):
        await at_fault()
    with pytest.raises(ProgrammingError, match="half_made"):
        await by_session(plain, "SELECT * FROM half_made")
