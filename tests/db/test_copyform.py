from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from db.copyform import HEAD, TAIL, as_binary, as_text
from db.database import Database
from market import INSTANT

AT = datetime(2000, 3, 1, 14, 30, tzinfo=UTC)
SCHEMA: dict[str, pl.DataType] = {
    "line": pl.Int64(),
    "symbol": pl.String(),
    "at": INSTANT,
    "price": pl.Float64(),
    "size": pl.Float64(),
}
NUMBERS = [0.0, -0.0, 1.0, -37.63, 130.31, 0.1, 9999.0, 10_000.0, 10_000.5, 99_999_999.9999, 12_345_678_901.345]


def frame(*rows: tuple[Any, ...]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), SCHEMA, orient="row")


async def copied(database: Database, rows: bytes, written: str) -> list[tuple[Any, ...]]:
    async with database.connection(60) as connection, connection.transaction():
        await connection.execute(
            "CREATE TEMPORARY TABLE rows (line bigint, symbol text, at timestamptz, price numeric, size numeric)"
            " ON COMMIT DROP"
        )
        await connection.copy_to_table("rows", source=memoryview(rows), format=written)
        found = await connection.fetch("SELECT * FROM rows ORDER BY line")
    return [tuple(row) for row in found]


async def test_both_formats_tell_the_rows_exactly(database: Database) -> None:
    symbols = ("AAPL", "F", "0700.HK")
    rows = [(place, symbols[place % 3], AT, number, float(f"{place}e-8")) for place, number in enumerate(NUMBERS)]
    binary = as_binary(frame(*rows))
    assert binary is not None
    exact = [(*row[:3], Decimal(str(row[3])), Decimal(str(row[4]))) for row in rows]
    assert await copied(database, HEAD + binary + TAIL, "binary") == exact
    assert await copied(database, as_text(frame(*rows)), "text") == exact


async def test_binary_numbers_have_no_digits_too_many(database: Database) -> None:
    binary = as_binary(frame(*((place, "F", AT, number, 1.0) for place, number in enumerate(NUMBERS))))
    assert binary is not None
    found = [f"{row[3]:f}" for row in await copied(database, HEAD + binary + TAIL, "binary")]
    assert " ".join(found) == "0 0 1 -37.63 130.31 0.1 9999 10000 10000.5 99999999.9999 12345678901.345"


@pytest.mark.parametrize("price", [1 / 3, 0.1 + 0.2, 1e-9, 1e15, 1e300, 5e-324, 12_345_678_901.123456, None])
async def test_what_binary_cannot_tell_text_does(database: Database, price: float | None) -> None:
    rows = frame((1, "F", AT, 1.0, 1.0), (2, "AAPL", AT, price, 1.0))
    assert as_binary(rows) is None
    [_, row] = await copied(database, as_text(rows), "text")
    assert row == (2, "AAPL", AT, None if price is None else Decimal(repr(price)), Decimal(1))


def numeric(field: bytes) -> Decimal:
    """What numeric_recv makes of it."""
    groups, weight, sign, _ = (int.from_bytes(field[at : at + 2], "big", signed=True) for at in range(0, 8, 2))
    digits = [int.from_bytes(field[8 + 2 * at : 10 + 2 * at], "big") for at in range(groups)]
    assert len(field) == 8 + 2 * groups
    value = sum((Decimal(digit).scaleb(4 * (weight - at)) for at, digit in enumerate(digits)), Decimal(0))
    return -value if sign else value


@given(st.floats(allow_nan=False, allow_infinity=False) | st.decimals(-(10**11), 10**11, places=4).map(float))
@example(4.35)
@example(99999999.99999999)
def test_a_number_is_told_in_binary_as_its_shortest_decimal_or_not_at_all(number: float) -> None:
    told = as_binary(pl.DataFrame({"symbol": ["F"], "price": [number]}))
    if told is not None:
        assert numeric(told[2 + 4 + 1 + 4 :]) == Decimal(repr(number))
    elif number == round(number, 4):
        assert abs(number) >= 10**11
