import gzip
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from db import tabular
from db.barfile import _EVERY, open_bars
from errors import StartError
from market import Interval

NOW = datetime(2024, 6, 5, 12, 0, tzinfo=UTC)
HEADER = "symbol,date,open,high,low,close,volume,vwap,trades"
PLAIN = f"{HEADER}\nAAPL,2000-03-01,118.56,132.06,118.5,130.31,9616100,125.1,42\nIBM,2000-03-02,1,2,0.5,1.5,,,\n"


def write(folder: Path, content: str | bytes, name: str = "bars.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path: Path, interval: Interval = Interval.D1, symbol: str | None = None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The bars and the rejected rows of the whole file."""
    batches = list(open_bars(path, interval, symbol).batches(NOW))
    return pl.concat(batch.bars for batch in batches), pl.concat(batch.rejected for batch in batches)


def rejected(path: Path, interval: Interval = Interval.D1, symbol: str | None = None) -> list[tuple[Any, ...]]:
    bars, lost = read(path, interval, symbol)
    assert bars.is_empty()
    return lost.select("line", "reason").rows()


def test_a_bar_is_read_as_it_stands(tmp_path: Path) -> None:
    bars, lost = read(write(tmp_path, PLAIN))
    assert bars.rows() == [
        (2, "AAPL", datetime(2000, 3, 1, tzinfo=UTC), 118.56, 132.06, 118.5, 130.31, 9616100.0, 125.1, 42),
        (3, "IBM", datetime(2000, 3, 2, tzinfo=UTC), 1.0, 2.0, 0.5, 1.5, None, None, None),
    ]
    assert lost.is_empty()


@pytest.mark.parametrize(
    "content",
    [
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace("\n", "\r\n"),
        "\ufeff" + PLAIN,
        PLAIN.rstrip("\n"),
        PLAIN.replace("\n", ",\n"),
        PLAIN.replace(HEADER, "Ticker,DATE,Open,<HIGH>,L,c,Vol,VWAP,Count"),
        PLAIN.replace(HEADER, "Symbol,Period Start,o,h,l,c,V,v_wap,Trades"),
        "\n".join(",".join(f'"{field}"' for field in line.split(",")) for line in PLAIN.splitlines()),
        PLAIN.replace(",", " , "),
        PLAIN.replace("AAPL", "aapl"),
        PLAIN.replace("118.56", "1.1856e2"),
    ],
)
def test_the_usual_spellings_mean_the_same(tmp_path: Path, content: str) -> None:
    expected = read(write(tmp_path, PLAIN, "plain.csv"))
    found = read(write(tmp_path, content))
    assert_frame_equal(found[0], expected[0])
    assert_frame_equal(found[1], expected[1])


def test_compressed_files_and_parquet_mean_the_same(tmp_path: Path) -> None:
    expected, _ = read(write(tmp_path, PLAIN))
    frame = pl.read_csv(tmp_path / "bars.csv", try_parse_dates=True)
    frame.write_csv(tmp_path / "bars.csv.zst", compression="zstd")
    frame.write_parquet(tmp_path / "bars.parquet")
    frame.with_columns(
        pl.col("date").cast(pl.Datetime("ns")).dt.replace_time_zone("America/New_York"),
        pl.col("symbol").cast(pl.Categorical),
        pl.col("open", "high", "low").cast(pl.Float32),
        pl.col("close").cast(pl.Decimal(12, 4)),
    ).write_parquet(tmp_path / "typed.parquet")
    assert_frame_equal(read(write(tmp_path, gzip.compress(PLAIN.encode()), "bars.csv.gz"))[0], expected)
    assert_frame_equal(read(tmp_path / "bars.csv.zst")[0], expected)
    rows = expected.with_columns(line=pl.Series([1, 2]))
    assert_frame_equal(read(tmp_path / "bars.parquet")[0], rows)
    assert_frame_equal(read(tmp_path / "typed.parquet")[0], rows)
    assert open_bars(tmp_path / "bars.parquet", Interval.D1).total == 2


def test_an_adjusted_close_is_never_the_close(tmp_path: Path) -> None:
    bars, _ = read(write(tmp_path, "Adj Close,Symbol,Date,Open,High,Low,Close\n4.18,AAPL,2000-03-01,1,2,1,2\n"))
    assert bars["close"].to_list() == [2.0]


@pytest.mark.parametrize(
    ("interval", "written", "time"),
    [
        (Interval.D1, "2000-03-01", "2000-03-01T00:00"),
        (Interval.D1, "20000301", "2000-03-01T00:00"),
        (Interval.D1, "2000/03/01", "2000-03-01T00:00"),
        (Interval.D1, "2000.03.01", "2000-03-01T00:00"),
        (Interval.D1, "2000-03-01 00:00:00-05:00", "2000-03-01T00:00"),
        (Interval.D1, "2000-03-01T23:00:00-05:00", "2000-03-01T00:00"),
        (Interval.D1, "2000-03-01T00:00:00+11:00", "2000-03-01T00:00"),
        (Interval.D1, "951921000", "2000-03-01T00:00"),
        (Interval.D1, "951921000000", "2000-03-01T00:00"),
        (Interval.D1, "-315619200", "1960-01-01T00:00"),
        (Interval.W1, "2000-03-01", "2000-02-28T00:00"),
        (Interval.MN1, "2000-03-31", "2000-03-01T00:00"),
        (Interval.M5, "2000-03-01T14:35:00Z", "2000-03-01T14:35"),
        (Interval.M5, "2000-03-01T14:35:00.000Z", "2000-03-01T14:35"),
        (Interval.M5, "2000-03-01 14:35", "2000-03-01T14:35"),
        (Interval.M5, "20000301 143500", "2000-03-01T14:35"),
        (Interval.M5, "2000-03-01T09:35:00-05:00", "2000-03-01T14:35"),
        (Interval.M5, "2000-03-01 09:35:00-05", "2000-03-01T14:35"),
        (Interval.M5, "2000-03-01T20:05:00+0530", "2000-03-01T14:35"),
        (Interval.M5, "951921300", "2000-03-01T14:35"),
        (Interval.M5, "951921300000", "2000-03-01T14:35"),
        (Interval.H4, "2000-03-01", "2000-03-01T00:00"),
    ],
)
def test_times_are_understood(tmp_path: Path, interval: Interval, written: str, time: str) -> None:
    bars, _ = read(write(tmp_path, f"time,open,high,low,close\n{written},1,1,1,1\n"), interval, "AAPL")
    assert bars["time"].to_list() == [datetime.fromisoformat(time).replace(tzinfo=UTC)]


def test_a_clock_may_stand_beside_the_date(tmp_path: Path) -> None:
    content = (
        "<TICKER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>\nAAPL,20000301,143500,1,1,1,1\nAAPL,20000301,,1,1,1,1\n"
    )
    bars, lost = read(write(tmp_path, content), Interval.M5)
    assert bars["time"].to_list() == [datetime(2000, 3, 1, 14, 35, tzinfo=UTC)]
    assert lost["reason"].to_list() == ["no time"]


def test_the_best_of_several_times_is_taken(tmp_path: Path) -> None:
    content = "date,timestamp,open,high,low,close\n2000-03-01,951921300,1,1,1,1\n"
    bars, _ = read(write(tmp_path, content), Interval.M5, "AAPL")
    assert bars["time"].to_list() == [datetime(2000, 3, 1, 14, 35, tzinfo=UTC)]


@given(
    interval=st.sampled_from(Interval),
    at=st.integers(-5_000_000_000, 7_000_000_000).map(
        lambda second: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
    ),
)
def test_the_grid_of_columns_is_that_of_the_market(interval: Interval, at: datetime) -> None:
    time = pl.Series([at]).dt.truncate(_EVERY[interval])
    assert time.item() == interval.floor(at)
    assert time.dt.offset_by(_EVERY[interval]).item() == interval.end(interval.floor(at))


@pytest.mark.parametrize(
    ("interval", "row", "reason"),
    [
        (Interval.D1, "AAPL,2000-03-01,1,2,1,,,,", "no close"),
        (Interval.D1, "AAPL,2000-03-01,x,2,1,1,,,", 'open "x" is not a number'),
        (Interval.D1, "AAPL,2000-03-01,null,2,1,1,,,", 'open "null" is not a number'),
        (Interval.D1, "AAPL,2000-03-01,1,NaN,1,1,,,", 'high "NaN" is not a number'),
        (Interval.D1, "AAPL,2000-03-01,1,inf,1,1,,,", 'high "inf" is not a number'),
        (Interval.D1, "AAPL,2000-03-01,1,1e999,1,1,,,", 'high "1e999" is not a number'),
        (Interval.D1, 'AAPL,2000-03-01,"1,234.5",2000,1,1,,,', 'open "1,234.5" is not a number'),
        (Interval.D1, "AAPL,2000-03-01,1,234.5,2000,1,1,,,", "more fields than columns"),
        (Interval.D1, "AAPL,2000-03-01,1,2,1,1", "fewer fields than columns"),
        (Interval.D1, 'AAPL,2000-03-01,"1,2,1,1,,,', "a quote is not closed"),
        (Interval.D1, "AAPL,2000-03-01,1,2,3,1.5,,,", "high 2 is below low 3"),
        (Interval.D1, "AAPL,2000-03-01,2.5,2,1,1,,,", "high 2 is below open 2.5"),
        (Interval.D1, "AAPL,2000-03-01,1,2,1,2.5,,,", "high 2 is below close 2.5"),
        (Interval.D1, "AAPL,2000-03-01,0.5,2,1,1,,,", "open 0.5 is below low 1"),
        (Interval.D1, "AAPL,2000-03-01,1,2,1,0.5,,,", "close 0.5 is below low 1"),
        (Interval.D1, "AAPL,2000-03-01,1,2,1,1,-1,,", "volume -1 is negative"),
        (Interval.D1, "AAPL,2000-03-01,1,2,1,1,many,,", 'volume "many" is not a number'),
        (Interval.D1, "AAPL,2000-03-01,1,2,1,1,,?,", 'vwap "?" is not a number'),
        (Interval.D1, "AAPL,2000-03-01,1,2,1,1,,,1.5", "trades 1.5 is not a count"),
        (Interval.D1, "AAPL,2000-03-01,1,2,1,1,,,-1", "trades -1 is not a count"),
        (Interval.D1, ",2000-03-01,1,2,1,1,,,", "no symbol"),
        (Interval.D1, "A PPL,2000-03-01,1,2,1,1,,,", 'symbol "A PPL" is not 1-20 of A-Z 0-9 . _ - = ^'),
        (Interval.D1, "AAPL,,1,2,1,1,,,", "no time"),
        (Interval.D1, "AAPL,soon,1,2,1,1,,,", '"soon" is not a time'),
        (Interval.D1, "AAPL,2000-02-30,1,2,1,1,,,", '"2000-02-30" is not a time'),
        (Interval.D1, "AAPL,2000-03-01T24:00,1,2,1,1,,,", '"2000-03-01T24:00" is not a time'),
        (Interval.D1, "AAPL,200003010930,1,2,1,1,,,", '"200003010930" is not a time'),
        (Interval.D1, "AAPL,0200-03-01,1,2,1,1,,,", '"0200-03-01" is not a time'),
        (Interval.D1, "AAPL,2024-06-06,1,2,1,1,,,", '"2024-06-06" is in the future'),
        (Interval.D1, "AAPL,2024-06-05,1,2,1,1,,,", 'the bar of "2024-06-05" is not over yet'),
        (Interval.M5, "AAPL,2000-03-01 14:36,1,2,1,1,,,", '"2000-03-01 14:36" is not the start of a bar of M5 in UTC'),
        (
            Interval.M5,
            "AAPL,2000-03-01T14:35:00.5Z,1,2,1,1,,,",
            '"2000-03-01T14:35:00.5Z" is not the start of a bar of M5 in UTC',
        ),
    ],
)
def test_a_row_that_is_no_bar_is_rejected_with_its_line(
    tmp_path: Path, interval: Interval, row: str, reason: str
) -> None:
    good = "AAPL,2000-03-02,1,1,1,1,,,"
    bars, lost = read(write(tmp_path, f"{HEADER}\n{good}\n\n  \r\n{row}\n{good}\n"), interval)
    assert bars["line"].to_list() == [2, 6]
    assert lost.select("line", "reason").rows() == [(5, reason)]


def test_a_rejected_row_says_which_bar_is_lost_where_it_can(tmp_path: Path) -> None:
    _, lost = read(
        write(tmp_path, f"{HEADER}\naapl,2000-03-03,?,1,1,1,,,\n?,2000-03-03,1,1,1,1,,,\nIBM,?,1,1,1,1,,,\n")
    )
    assert lost.select("symbol", "time").rows() == [
        ("AAPL", datetime(2000, 3, 3, tzinfo=UTC)),
        (None, datetime(2000, 3, 3, tzinfo=UTC)),
        ("IBM", None),
    ]


def test_a_row_of_another_symbol_than_the_given_one_is_rejected(tmp_path: Path) -> None:
    bars, lost = read(write(tmp_path, PLAIN), symbol="aapl")
    assert bars["symbol"].to_list() == ["AAPL"]
    assert lost.select("line", "reason").rows() == [(3, "symbol IBM is not AAPL")]


def test_lines_are_counted_across_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tabular, "BATCH_ROWS", 10)
    days = [date(2000, 1, 1) + timedelta(days=number) for number in range(95)]
    content = f"{HEADER}\n" + "".join(f"AAPL,{day},1,{0 if day.day == 13 else 1},1,1,,,\n" for day in days)
    batches = list(open_bars(write(tmp_path, content), Interval.D1).batches(NOW))
    assert len(batches) == 10
    assert pl.concat(batch.rejected for batch in batches)["line"].to_list() == [
        2 + place for place, day in enumerate(days) if day.day == 13
    ]


def test_a_file_of_nothing_but_bad_rows_has_no_bars(tmp_path: Path) -> None:
    assert rejected(write(tmp_path, f"{HEADER}\n,,,,,,,,\n?\n")) == [(2, "no symbol"), (3, "fewer fields than columns")]


def test_a_row_of_a_parquet_file_is_rejected_with_its_number(tmp_path: Path) -> None:
    pl.DataFrame(
        {
            "symbol": ["AAPL", "AAPL", None, "AAPL"],
            "time": [datetime(2000, 3, 1, 9, 35, tzinfo=timezone(timedelta(hours=-5)))] * 3 + [None],
            "open": [1.0, float("nan"), 1.0, 1.0],
            "high": [1.0] * 4,
            "low": [1.0] * 4,
            "close": [1.0] * 4,
        }
    ).write_parquet(tmp_path / "bars.parquet")
    bars, lost = read(tmp_path / "bars.parquet", Interval.M5)
    assert bars.select("line", "time").rows() == [(1, datetime(2000, 3, 1, 14, 35, tzinfo=UTC))]
    assert lost.select("line", "reason").rows() == [
        (2, 'open "NaN" is not a number'),
        (3, "no symbol"),
        (4, "no time"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "bars.csv: the file is empty."),
        (b"\n\n", "bars.csv: the file is empty."),
        (b"date,open,low\n", 'bars.csv: no columns for high, close; found "date", "open", "low".'),
        (b"open,high,low,close\n", 'bars.csv: no column for the time; found "open", "high", "low", "close".'),
        (
            b"date,open,high,low,close\n",
            'bars.csv: no column for the symbol; found "date", "open", "high", "low", "close".'
            " Or say which symbol the file is of.",
        ),
        (
            b"symbol,date,open,high,low,Adj Close\n",
            'bars.csv: no column for close; found "symbol", "date", "open", "high", "low", "Adj Close".',
        ),
        (
            b"symbol,date,open,high,low,close,Vol,volume\n",
            'bars.csv: the columns "Vol" and "volume" both mean volume; keep one of them.',
        ),
        (b'symbol,"date\n', "bars.csv: line 1, which names the columns, has a quote that is not closed."),
        (
            b"symbol,date,open,high,low,close\nAAPL,2000-03-01,1,1,1,1\nAAPL,03/01/2000,1,1,1,1\n",
            'bars.csv: line 3: "03/01/2000" does not tell the day from the month; write dates as 2000-12-31.',
        ),
        (
            b"symbol,date,open,high,low,close\nAAPL,2000-03-01,1,1,1,\xe9\n",
            "bars.csv: neither text in UTF-8 nor Parquet, or damaged: invalid utf8.",
        ),
        (b"PK\x03\x04\x80\x81\x82", "bars.csv: neither text in UTF-8 nor Parquet, or damaged: invalid utf8."),
        (gzip.compress(PLAIN.encode() * 50, mtime=0)[:60], "bars.csv: cannot be read: unexpected end of file."),
        (b"\x1f\x8bgarbage", "bars.csv: cannot be read: unexpected end of file."),
    ],
)
def test_a_file_that_cannot_be_understood_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(StartError) as raised:
        read(path)
    assert str(raised.value) == f"{tmp_path}/{message}"


def test_a_damaged_parquet_file_is_refused(tmp_path: Path) -> None:
    pl.DataFrame({"date": ["2000-03-01"] * 1000}).write_parquet(tmp_path / "whole.parquet")
    path = write(tmp_path, (tmp_path / "whole.parquet").read_bytes()[:200], "bars.parquet")
    with pytest.raises(StartError, match=r"bars\.parquet: neither text in UTF-8 nor Parquet, or damaged"):
        read(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"/none\.csv: there is no such file\.$"):
        open_bars(tmp_path / "none.csv", Interval.D1)
    with pytest.raises(StartError, match=r"a folder; name one file\.$"):
        open_bars(tmp_path, Interval.D1)


def test_a_symbol_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r'^"A B" is no symbol: a symbol is 1-20 of'):
        open_bars(write(tmp_path, PLAIN), Interval.D1, "A B")
