import asyncio
import hashlib
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec import structs

from errors import SymbolNotFound
from market import BAR_SCHEMA, AssetType, Interval, Provenance, Quote, ServedFrom, Window, parse_symbol
from sources.listing import LISTINGS
from sources.sandbox import LISTED_AT, Sandbox
from sources.source import Demand, Source
from sources.tape import TickGrid

NOW = datetime(2026, 1, 15, 10, 20, 30, 500_000, tzinfo=UTC)  # a Thursday
SYMBOLS = [symbol for symbol in LISTINGS if not symbol.startswith("SIM")]
DAY = timedelta(days=1)

type_of = {symbol: LISTINGS[symbol].asset.type for symbol in SYMBOLS}


def sandbox(at: datetime = NOW, *, seed: int = 1, rate: float = 1) -> Sandbox:
    return Sandbox(seed, rate, lambda: at)


async def bars(
    symbol: str, interval: Interval, start: datetime, end: datetime, source: Sandbox | None = None
) -> pl.DataFrame:
    return await (source or sandbox()).history(symbol, interval, Window(start, end))


def joined(symbol: str, frame: pl.DataFrame) -> dict[str, object]:
    """Open, high, low, close and volume of the frame as one bar; sums of floats are made exact again."""
    volume = None
    if LISTINGS[symbol].has_volume:
        units = LISTINGS[symbol].volume_parts
        volume = round(frame["volume"].sum() * units) / units
    return {
        "open": frame["open"][0],
        "high": frame["high"].max(),
        "low": frame["low"].min(),
        "close": frame["close"][-1],
        "volume": volume,
    }


class SteppingClock:
    """A clock that goes on by `step` whenever it is read, so that a stream has hardly to sleep."""

    def __init__(self, at: datetime, step: timedelta) -> None:
        self.at = at
        self.step = step

    def __call__(self) -> datetime:
        at = self.at
        self.at += self.step
        return at


async def streamed(source: Sandbox, demand: Demand, until: datetime) -> list[Quote]:
    """The quotes of the stream that fall before `until`."""
    quotes: list[Quote] = []
    async with aclosing(source.stream(demand)) as batches:
        async for batch in batches:
            quotes += [quote for quote in batch if quote.time < until]
            if batch[-1].time >= until:
                break
    return quotes


def test_it_is_a_source_that_serves_every_interval_back_to_the_listing() -> None:
    source: Source = sandbox()
    assert (source.name, source.synthetic) == ("sandbox", True)
    assert source.reach == dict.fromkeys(Interval)
    assert source.asset_types == {
        AssetType.STOCK,
        AssetType.ETF,
        AssetType.INDEX,
        AssetType.FOREX,
        AssetType.CRYPTO,
    }


# History.

NESTED = [
    (finer, coarser)
    for position, finer in enumerate(Interval)
    for coarser in list(Interval)[position + 1 :]
    if (finer, coarser) != (Interval.W1, Interval.MN1)
]


@pytest.mark.parametrize(("finer", "coarser"), NESTED)
@settings(max_examples=8)
@given(symbol=st.sampled_from(SYMBOLS), at=st.datetimes(LISTED_AT.replace(tzinfo=None), NOW.replace(tzinfo=None)))
async def test_finer_bars_add_up_to_coarser_ones(finer: Interval, coarser: Interval, symbol: str, at: datetime) -> None:
    start = coarser.floor(at.replace(tzinfo=UTC))
    assume(start >= LISTED_AT)
    parts = await bars(symbol, finer, start, coarser.end(start))
    whole = await bars(symbol, coarser, start, coarser.end(start))
    assert whole.select("time", "open", "high", "low", "close", "volume").to_dicts() == [
        {"time": start, **joined(symbol, parts)}
    ]


@pytest.mark.parametrize(("finer", "coarser"), NESTED)
async def test_forming_bars_add_up_too(finer: Interval, coarser: Interval) -> None:
    start = coarser.floor(NOW)
    parts = await bars("BTC-USD", finer, start, NOW + DAY)
    [whole] = (await bars("BTC-USD", coarser, start, NOW + DAY)).to_dicts()
    assert {name: whole[name] for name in ("open", "high", "low", "close", "volume")} == joined("BTC-USD", parts)
    assert not whole["is_final"]


@pytest.mark.parametrize("interval", Interval)
async def test_a_window_shows_the_bars_that_open_within_it_and_no_others(interval: Interval) -> None:
    everything = await bars("ETH-USD", interval, NOW - 40 * interval.span, NOW + DAY)
    times = everything["time"].to_list()
    assert times == sorted(set(times))
    assert all(interval.floor(time) == time for time in times)
    assert all(interval.end(time) == following for time, following in pairwise(times))
    first, last = times[3], times[9]
    tick = timedelta(microseconds=1)
    for start, end, shown in [
        (first, last, times[3:9]),
        (first + tick, last, times[4:9]),
        (first, last + tick, times[3:10]),
        (first, first, []),
        (last, first, []),
    ]:
        part = await bars("ETH-USD", interval, start, end)
        assert part.equals(everything.filter(pl.col("time").is_in(shown)))
        assert part["time"].to_list() == shown


@pytest.mark.parametrize(
    ("interval", "days"),
    [(Interval.M5, 40), (Interval.M15, 40), (Interval.M30, 40), (Interval.H1, 2000), (Interval.H4, 2000)],
)
async def test_a_long_history_has_every_bar_once(interval: Interval, days: int) -> None:
    start = interval.floor(NOW - DAY * days)
    times = (await bars("EURUSD=X", interval, start, NOW))["time"].to_list()
    assert times == [start + position * interval.span for position in range((NOW - start) // interval.span + 1)]


@pytest.mark.parametrize(
    ("interval", "first"),
    [(interval, LISTED_AT) for interval in Interval if interval is not Interval.W1]
    + [(Interval.W1, datetime(2000, 1, 3, tzinfo=UTC))],
)
async def test_history_begins_with_the_listing(interval: Interval, first: datetime) -> None:
    beginning = datetime.min.replace(tzinfo=UTC)
    assert (await bars("AAPL", interval, beginning, LISTED_AT)).height == 0
    assert (await bars("AAPL", interval, beginning, first + 2 * interval.span))["time"][0] == first


@pytest.mark.parametrize("interval", Interval)
async def test_history_ends_with_the_forming_bar(interval: Interval) -> None:
    frame = await bars("AAPL", interval, NOW - 3 * interval.span, datetime.max.replace(tzinfo=UTC))
    assert frame["time"][-1] == interval.floor(NOW)
    assert frame["is_final"].to_list() == [True] * (frame.height - 1) + [False]
    assert (await bars("AAPL", interval, NOW + DAY * 31, NOW + DAY * 99)).schema == BAR_SCHEMA


async def test_a_bar_is_final_from_the_instant_at_which_the_next_one_opens() -> None:
    noon = datetime(2026, 1, 15, 12, tzinfo=UTC)
    tick = timedelta(microseconds=1)
    before = await bars("AAPL", Interval.H1, noon - timedelta(hours=1), noon + DAY, sandbox(noon - tick))
    after = await bars("AAPL", Interval.H1, noon - timedelta(hours=1), noon + DAY, sandbox(noon))
    assert before["is_final"].to_list() == [False]
    assert after["is_final"].to_list() == [True, False]
    # Its last tick has fallen, so the hour is as it will remain; the new one has had its first.
    assert before.drop("is_final").equals(after.drop("is_final").head(1))
    assert after["open"][1] == after["close"][1] == after["close"][0]


@pytest.mark.parametrize("symbol", [*SYMBOLS, "SIM001", "SIM999"])
async def test_bars_are_well_formed(symbol: str) -> None:
    for interval, start in [(Interval.D1, LISTED_AT), (Interval.H1, NOW - DAY * 30), (Interval.M1, NOW - DAY)]:
        frame = await bars(symbol, interval, start, NOW)
        assert frame.schema == BAR_SCHEMA
        assert frame.height == (interval.floor(NOW) - interval.ceil(start)) // interval.span + 1
        assert frame.select("open", "high", "low", "close").null_count().row(0) == (0, 0, 0, 0)
        assert frame.select((pl.col("low") > 0).all()).item()
        assert frame.select((pl.col("low") <= pl.min_horizontal("open", "close")).all()).item()
        assert frame.select((pl.col("high") >= pl.max_horizontal("open", "close")).all()).item()
        assert frame.select(pl.col("split_factor", "dividend").n_unique()).row(0) == (1, 1)
        if type_of.get(symbol) is AssetType.INDEX:
            assert frame["volume"].null_count() == frame.height
        else:
            assert frame["volume"].null_count() == 0
            assert frame.select((pl.col("volume") >= 0).all()).item()


@pytest.mark.parametrize("symbol", [*SYMBOLS, "SIM001", "SIM999"])
async def test_prices_are_whole_ticks_and_stay_near_the_listed_one(symbol: str) -> None:
    listing = LISTINGS[symbol]
    frame = await bars(symbol, Interval.D1, LISTED_AT, NOW)
    closes = frame["close"].to_list()
    assert all(listing.price_of(round(close * listing.price_parts / listing.step)) == close for close in closes)
    assert listing.price_of(listing.price) / 12 < min(closes)
    assert max(closes) < listing.price_of(listing.price) * 12


async def test_volatility_grows_from_forex_to_crypto_and_is_the_same_at_every_interval() -> None:
    bands = {
        AssetType.FOREX: (0.07, 0.10),
        AssetType.INDEX: (0.13, 0.18),
        AssetType.ETF: (0.15, 0.20),
        AssetType.STOCK: (0.27, 0.36),
        AssetType.CRYPTO: (0.58, 0.78),
    }
    for symbol, asset_type in type_of.items():
        least, most = bands[asset_type]
        for interval, start in [(Interval.D1, LISTED_AT), (Interval.H1, NOW - DAY * 100)]:
            frame = await bars(symbol, interval, start, NOW)
            a_year = timedelta(days=365) / interval.span
            deviation = frame.select(pl.col("close").log().diff().std() * a_year**0.5).item()
            assert least < deviation < most, (symbol, interval)


async def test_sessions_open_with_a_gap() -> None:
    frame = await bars("AAPL", Interval.D1, LISTED_AT, NOW)
    gap = (pl.col("open") / pl.col("close").shift(1) - 1).abs()
    none, typical = frame.select((gap == 0).mean(), gap.mean().alias("typical")).row(0)
    assert none < 0.02
    assert 0.002 < typical < 0.006


async def test_volume_of_stocks_is_u_shaped_over_the_day() -> None:
    hours = await bars("AAPL", Interval.H1, NOW - DAY * 101, Interval.D1.floor(NOW))
    by_hour = hours.group_by(pl.col("time").dt.hour().alias("hour")).agg(pl.col("volume").mean()).sort("hour")
    assert by_hour["volume"][0] > 2 * by_hour["volume"][12] < by_hour["volume"][23]


# One seed, one market.

FINGERPRINT = """
import asyncio
from tests.sources.test_sandbox import fingerprint
for seed in (1, 2):
    print(asyncio.run(fingerprint(seed)))
"""


async def fingerprint(seed: int) -> str:
    """A hash of a few frames of every interval, and of quotes."""
    source = sandbox(seed=seed)
    digest = hashlib.sha256()
    for symbol in ("AAPL", "0700.HK", "^GSPC", "USDJPY=X", "BTC-USD", "SIM042"):
        for interval in Interval:
            digest.update((await bars(symbol, interval, NOW - 50 * interval.span, NOW, source)).write_csv().encode())
    digest.update(repr(await source.quotes(SYMBOLS)).encode())
    return digest.hexdigest()


async def test_a_seed_gives_the_same_market_in_every_process() -> None:
    other = subprocess.run(  # noqa: ASYNC221 - nothing else runs here
        [sys.executable, "-c", FINGERPRINT], cwd=Path(__file__).parents[2], check=True, capture_output=True, text=True
    )
    prints = other.stdout.split()
    assert prints == [await fingerprint(1), await fingerprint(2)]
    assert prints[0] != prints[1]


@pytest.mark.parametrize(
    ("symbol", "interval", "golden"),
    [
        ("AAPL", Interval.D1, (191.06, 202.26, 188.03, 200.0, 115031433.0)),
        ("AAPL", Interval.H1, (191.06, 193.58, 190.76, 193.31, 5713278.0)),
        ("BTC-USD", Interval.M1, (79928.53, 80087.57, 79885.0, 80083.84, 15.836)),
        ("0700.HK", Interval.M15, (380.0, 380.4, 380.0, 380.4, 233850.0)),
        ("^GSPC", Interval.MN1, (6197.11, 6465.01, 5984.43, 6259.16, None)),
    ],
)
async def test_the_market_of_seed_1_is_what_it_always_was(
    symbol: str, interval: Interval, golden: tuple[float | None, ...]
) -> None:
    start = datetime(2024, 3, 1, tzinfo=UTC)
    frame = await bars(symbol, interval, start, interval.end(start))
    assert frame.select("open", "high", "low", "close", "volume").rows() == [golden]


async def test_the_ticks_of_seed_1_are_what_they_always_were() -> None:
    quote = (await sandbox().quotes(["AAPL"]))["AAPL"]
    assert quote == Quote(
        symbol="AAPL",
        price=233.06,
        time=NOW.replace(microsecond=0),
        provenance=Provenance(
            source="sandbox", served_from=ServedFrom.LIVE, received_at=NOW, delay_seconds=0, synthetic=True
        ),
        open=233.04,
        high=233.87,
        low=232.9,
        previous_close=235.83,
        volume=23709588.0,
        turnover=5529704594.613334,
        bid=233.06,
        ask=233.07,
        bid_size=1200.0,
        ask_size=300.0,
        last_size=879.0,
        currency="USD",
    )


@pytest.mark.parametrize("rate", [0.1, 7.3, 16, 17, 1000])
@pytest.mark.parametrize("interval", [Interval.M1, Interval.M5, Interval.H1, Interval.D1])
async def test_the_tick_rate_changes_no_final_bar(rate: float, interval: Interval) -> None:
    window = (NOW - 20 * interval.span, NOW)
    usual = await bars("AAPL", interval, *window)
    other = await bars("AAPL", interval, *window, sandbox(rate=rate))
    assert other.filter("is_final").equals(usual.filter("is_final"))
    assert other.height == usual.height == 20


def test_a_rate_that_cannot_draw_a_bar_is_refused() -> None:
    with pytest.raises(ValueError, match=r"0\.05 ticks per second are too few; ask for 0\.067 or more"):
        sandbox(rate=0.05)


@pytest.mark.parametrize("rate", [0.1, 1, 7.3, 16, 17, 300, 1000])
def test_the_newest_tick_is_the_last_one_that_has_fallen(rate: float) -> None:
    grid = TickGrid.of_rate(rate)
    noon_us = 1_768_478_400_000_000
    first = grid.newest(noon_us)
    assert grid.time_us(first) == noon_us
    assert grid.newest(noon_us + 60_000_000) - first == pytest.approx(rate * 60)
    for number in range(first, first + 500):
        assert grid.newest(grid.time_us(number)) == number
        assert grid.newest(grid.time_us(number) - 1) == number - 1


# Quotes.


@pytest.mark.parametrize("rate", [0.1, 1, 50])
@pytest.mark.parametrize(
    "at",
    [
        NOW,
        datetime(2026, 1, 15, tzinfo=UTC),
        datetime(2026, 1, 15, 0, 0, 59, 999_999, tzinfo=UTC),
        datetime(2026, 1, 15, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2026, 3, 1, 13, 0, 0, tzinfo=UTC),
    ],
)
async def test_a_quote_says_what_the_forming_day_says(at: datetime, rate: float) -> None:
    source = sandbox(at, rate=rate)
    quotes = await source.quotes(SYMBOLS)
    assert list(quotes) == SYMBOLS
    for symbol, quote in quotes.items():
        yesterday, today = (await bars(symbol, Interval.D1, Interval.D1.floor(at) - DAY, at + DAY, source)).to_dicts()
        assert (quote.open, quote.high, quote.low, quote.price) == tuple(
            today[name] for name in ("open", "high", "low", "close")
        )
        assert quote.volume == today["volume"]
        assert quote.previous_close == yesterday["close"]
        assert quote.provenance.received_at == at
        assert at - timedelta(seconds=1 / rate) < quote.time <= at


@pytest.mark.parametrize("symbol", ["AAPL", "0700.HK", "EURUSD=X", "BTC-USD"])
async def test_turnover_is_what_the_minutes_of_the_day_traded_at_their_typical_price(symbol: str) -> None:
    minutes = await bars(symbol, Interval.M1, Interval.D1.floor(NOW), NOW)
    assert minutes.height == 10 * 60 + 21
    traded = minutes.select((pl.col("volume") * (pl.col("high") + pl.col("low") + pl.col("close")) / 3).sum()).item()
    assert (await sandbox().quotes([symbol]))[symbol].turnover == pytest.approx(traded, rel=1e-12)


async def test_bid_and_ask_stand_around_the_price_a_tick_or_two_apart() -> None:
    spreads: Counter[int] = Counter()
    for second in range(60):
        for symbol, quote in (await sandbox(NOW + timedelta(seconds=second)).quotes(SYMBOLS)).items():
            if type_of[symbol] is AssetType.INDEX:
                assert (quote.bid, quote.ask, quote.bid_size, quote.ask_size) == (None,) * 4
                assert (quote.volume, quote.turnover, quote.last_size) == (None,) * 3
                continue
            assert quote.bid is not None
            assert quote.ask is not None
            assert quote.price in (quote.bid, quote.ask)
            assert quote.bid_size
            assert quote.ask_size
            listing = LISTINGS[symbol]
            spreads[round((quote.ask - quote.bid) * listing.price_parts / listing.step)] += 1
    assert set(spreads) == {1, 2}


async def test_an_unknown_symbol_is_left_out_or_not_found() -> None:
    assert list(await sandbox().quotes(["NOPE", "AAPL", "SIM000", "AAPL"])) == ["AAPL"]
    assert await sandbox().quotes(["NOPE"]) == {}
    assert await sandbox().asset("NOPE") is None
    with pytest.raises(SymbolNotFound, match='The sandbox does not list "NOPE"') as caught:
        await bars("NOPE", Interval.D1, LISTED_AT, NOW)
    assert caught.value.extensions == {"code": "SYMBOL_NOT_FOUND", "symbol": "NOPE"}


# Stream.


@pytest.mark.parametrize("rate", [1, 7.3, 50])
async def test_a_minute_is_made_of_exactly_the_ticks_that_were_streamed(rate: float) -> None:
    symbols = ["AAPL", "BTC-USD", "^GSPC", "601398.SS"]
    # The 23:58 of a Sunday that ends a month: day, week and month turn while it streams.
    start = datetime(2026, 5, 31, 23, 58, tzinfo=UTC)
    end = start + timedelta(minutes=3)
    clock = SteppingClock(start - timedelta(milliseconds=1), timedelta(seconds=1))
    quotes = await streamed(Sandbox(1, rate, clock), Demand(symbols), end)
    for symbol in symbols:
        mine = [quote for quote in quotes if quote.symbol == symbol]
        assert len({quote.time for quote in mine}) == len(mine) == round(rate * 180)
        minutes = await bars(symbol, Interval.M1, start, end, sandbox(end, rate=rate))
        assert minutes["is_final"].all()
        made = [
            joined(symbol, ticks_as_bars(quote for quote in mine if Interval.M1.floor(quote.time) == time))
            for time in minutes["time"]
        ]
        assert minutes.select("open", "high", "low", "close", "volume").to_dicts() == made


def ticks_as_bars(quotes: Iterable[Quote]) -> pl.DataFrame:
    rows = [(quote.price, quote.price, quote.price, quote.price, quote.last_size) for quote in quotes]
    return pl.DataFrame(rows, schema=["open", "high", "low", "close", "volume"], orient="row")


@pytest.mark.parametrize("rate", [1, 50])
async def test_what_was_streamed_is_what_quotes_and_forming_bars_say_at_that_instant(rate: float) -> None:
    start = datetime(2026, 1, 15, 9, 59, 50, tzinfo=UTC)
    clock = SteppingClock(start, timedelta(seconds=1))
    quotes = await streamed(Sandbox(1, rate, clock), Demand(["AAPL", "^GSPC"]), start + timedelta(seconds=20))
    assert len(quotes) >= 18 * rate * 2
    for quote in quotes[:: len(quotes) // 30]:
        then = sandbox(quote.time, rate=rate)
        said = (await then.quotes([quote.symbol]))[quote.symbol]
        assert structs.replace(said, provenance=quote.provenance) == quote
        so_far = [each for each in quotes if each.symbol == quote.symbol and each.time <= quote.time]
        opened = Interval.M1.floor(quote.time)
        if opened > so_far[0].time:
            [bar] = (await bars(quote.symbol, Interval.M1, opened, quote.time + DAY, then)).to_dicts()
            ticks = ticks_as_bars(each for each in so_far if each.time >= opened)
            assert {name: bar[name] for name in ("open", "high", "low", "close", "volume")} == joined(
                quote.symbol, ticks
            )
            assert not bar["is_final"]


async def test_a_real_clock_brings_every_tick_once_and_on_time() -> None:
    times: list[datetime] = []
    async with aclosing(Sandbox(1, 100).stream(Demand(["AAPL"]))) as batches:
        async for batch in batches:
            times += [quote.time for quote in batch]
            assert all(quote.time <= quote.provenance.received_at for quote in batch)
            if len(times) >= 100:
                break
    assert [later - earlier for earlier, later in pairwise(times)] == [timedelta(milliseconds=10)] * (len(times) - 1)


async def test_a_stream_that_was_held_up_catches_up_on_the_last_five_seconds() -> None:
    clock = SteppingClock(NOW.replace(microsecond=0), timedelta(seconds=1))
    seconds = []
    async with aclosing(Sandbox(1, 1, clock).stream(Demand(["AAPL"]))) as batches:
        for hold_up in (0, 3, 60, 0):
            clock.at += timedelta(seconds=hold_up)
            woken_at = clock.at
            seconds.append([(quote.time - woken_at).total_seconds() for quote in await anext(batches)])
    assert seconds == [[1, 2], [-3, -2, -1, 0, 1], [-3, -2, -1, 0, 1], [0, 1]]


async def test_demand_may_change_in_mid_stream() -> None:
    clock = SteppingClock(NOW.replace(microsecond=0), timedelta(seconds=1))
    demand = Demand(["MSFT", "AAPL", "NOPE"])
    told: list[Quote] = []
    async with aclosing(Sandbox(1, 1, clock).stream(demand)) as batches:
        for wanted in (["AAPL"], ["AAPL", "BTC-USD"], ["NOPE"]):
            told += await anext(batches)
            demand.set(wanted)
        nothing = asyncio.ensure_future(anext(batches))
        await asyncio.sleep(0.05)
        assert not nothing.done()
        demand.set(["EURUSD=X"])
        told += await nothing
    symbols = {time: [quote.symbol for quote in told if quote.time == time] for time in sorted({q.time for q in told})}
    assert (
        list(symbols.values())
        == [["AAPL", "MSFT"]] * 2 + [["AAPL"]] * 2 + [["AAPL", "BTC-USD"]] * 2 + [["EURUSD=X"]] * 2
    )


async def test_a_cancelled_stream_leaves_nothing_behind() -> None:
    before = asyncio.all_tasks()
    for wanted in ([], ["AAPL"]):
        stream = Sandbox(1, 0.1).stream(Demand(wanted))
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0.02)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
    assert asyncio.all_tasks() == before


# Assets.


async def test_assets_are_about_sixty_known_names_and_999_for_load() -> None:
    assets = await sandbox().assets()
    symbols = [asset.symbol for asset in assets]
    assert len(set(symbols)) == len(symbols) == 62 + 999
    assert [parse_symbol(symbol) for symbol in symbols] == symbols
    assert {f"SIM{number:03}" for number in range(1, 1000)} < set(symbols)
    assert {asset.market_code for asset in assets} == sandbox().markets
    assert Counter(type_of.values()) == {
        AssetType.STOCK: 32,
        AssetType.ETF: 8,
        AssetType.INDEX: 8,
        AssetType.FOREX: 7,
        AssetType.CRYPTO: 7,
    }


@pytest.mark.parametrize(
    ("symbol", "facts"),
    [
        ("AAPL", ("Apple Inc.", AssetType.STOCK, "XNAS", "USD", "NASDAQ", "UTC", 0.01, 1)),
        ("0700.HK", ("Tencent Holdings Limited", AssetType.STOCK, "XHKG", "HKD", "HKEX", "UTC", 0.2, 100)),
        ("SPY", ("SPDR S&P 500 ETF Trust", AssetType.ETF, "ARCX", "USD", "NYSE Arca", "UTC", 0.01, 1)),
        ("^HSI", ("Hang Seng Index", AssetType.INDEX, "XHKG", "HKD", "HKEX", "UTC", 0.01, 100)),
        ("USDJPY=X", ("USD/JPY", AssetType.FOREX, "FOREX", "JPY", "Forex", "UTC", 0.001, 1000)),
        ("DOGE-USD", ("Dogecoin", AssetType.CRYPTO, "CRYPTO", "USD", "Crypto", "UTC", 0.00001, 1)),
    ],
)
async def test_an_asset_says_what_is_known_of_it(symbol: str, facts: tuple[object, ...]) -> None:
    asset = await sandbox().asset(symbol)
    assert asset is not None
    assert (
        asset.name,
        asset.type,
        asset.market_code,
        asset.currency,
        asset.exchange,
        asset.timezone,
        asset.tick_size,
        asset.lot_size,
    ) == facts
