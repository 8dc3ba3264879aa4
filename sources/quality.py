"""What sources say, weighed: the impossible is set aside and never served, the doubtful loses points by name."""

import math
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
import polars as pl
from msgspec import structs

from market import AssetType, Interval, Quote, Window, venue

AHEAD: Final = timedelta(seconds=60)
"""How far a source's clock may be ahead of ours."""
LATE: Final = timedelta(minutes=30)
"""How old a price may be, beside the known delay, while its market is open."""
CONFIRMED: Final = 0.05
"""A jump is confirmed by a next price that is no further from it than this."""
TOGETHER: Final = timedelta(minutes=2)
"""Prices of two sources are compared if they were printed no further apart than this."""
DISPUTED_FOR: Final = timedelta(minutes=15)
REMEMBERED_SYMBOLS: Final = 10_000
KEPT_FOR_STORING: Final = 1_000

JUMPS: Final = {AssetType.FOREX: 0.1, AssetType.INDEX: 0.15, AssetType.CRYPTO: 0.5}
_JUMP: Final = 0.25
APART: Final = {AssetType.FOREX: 0.005, AssetType.INDEX: 0.005, AssetType.CRYPTO: 0.02}
"""How far apart, as a share of the price, two sources may be that tell the same."""
_APART: Final = 0.01

POINTS: Final = {
    "CROSSED": 20,
    "OUT_OF_RANGE": 20,
    "JUMP": 50,
    "CURRENCY": 30,
    "OLD": 30,
    "EARLIER_THAN_BEFORE": 20,
    "QUARANTINED": 10,
    "DISPUTED": 40,
}
"""What each flag takes from the 100 points.

CROSSED: bid above ask. OUT_OF_RANGE: price outside the session's high and low. JUMP: further from the last price
than is believable, and not confirmed. CURRENCY: not the asset's, nor the venue's where nothing is known of the asset.
OLD: older than an open market allows.
EARLIER_THAN_BEFORE: earlier than a price that was known already. QUARANTINED: other bars of the answer were set aside.
DISPUTED: another source told another price of the symbol, within DISPUTED_FOR.
"""

_PRICES: Final = ("price", "open", "high", "low", "previous_close", "bid", "ask")
_SIZES: Final = ("volume", "turnover", "bid_size", "ask_size", "last_size")
_NUMBERS: Final = tuple(field.name for field in structs.fields(Quote) if field.type in (float, float | None))


@dataclass(frozen=True, slots=True)
class Quarantined:
    """Something impossible that a source said, and why it is."""

    source: str
    symbol: str
    kind: str
    reason: str
    payload: dict[str, Any]
    received_at: datetime


def bar_kind(interval: Interval) -> str:
    """What a bar that was set aside is called."""
    return f"bar {interval}"


class Quality:
    """Weighs quotes and bars; remembers the last price of each symbol, of as many symbols as are in use."""

    def __init__(
        self,
        is_open: Callable[[str], bool] = lambda _symbol: False,
        clock: Callable[[], datetime] | None = None,
        currency_of: Callable[[str], str | None] = lambda _symbol: None,
    ) -> None:
        self._is_open = is_open
        self._currency_of = currency_of
        self._clock = clock or (lambda: datetime.now(UTC))
        self._last: OrderedDict[str, Quote] = OrderedDict()
        self._jumped: dict[str, float] = {}
        self._disputed_until: dict[str, datetime] = {}
        self.disagreements = 0
        """How many comparisons of two sources have failed."""
        self._quarantined: deque[Quarantined] = deque(maxlen=KEPT_FOR_STORING)
        self.set_aside: Counter[str] = Counter()
        """How much each source was set aside of."""

    def quotes(self, source: str, quotes: Sequence[Quote]) -> list[Quote]:
        """The quotes that are possible, each with its points and flags; the others are set aside."""
        kept = []
        for quote in quotes:
            reason = self._impossibility(quote)
            if reason is None:
                kept.append(self._flagged(quote))
            else:
                self._set_aside(source, quote.symbol, "quote", reason, _plain(msgspec.to_builtins(quote)))
        return kept

    def bars(
        self, source: str, symbol: str, interval: Interval, window: Window, frame: pl.DataFrame
    ) -> tuple[pl.DataFrame, int, tuple[str, ...]]:
        """The bars that are possible, ascending and unique, then the points and the flags of the answer."""
        ordered = frame.sort("time", maintain_order=True)
        reasons = ordered.with_columns(reason=_bar_reason(symbol, window, self._clock()))
        good = reasons.filter(pl.col("reason").is_null()).drop("reason")
        for row in reasons.filter(pl.col("reason").is_not_null()).iter_rows(named=True):
            reason = row.pop("reason")
            self._set_aside(source, symbol, bar_kind(interval), reason, _plain(row))
        if good.height == frame.height:
            return good, 100, ()
        return good, 100 - POINTS["QUARANTINED"], ("QUARANTINED",)

    def compare(self, one: Quote, other: Quote) -> bool | None:
        """Whether two sources agree on the price of a symbol; None where the prices are not of the same time.

        Where they do not, the quotes of the symbol are DISPUTED from now on, until two sources agree or for a while.
        """
        if abs(one.time - other.time) > TOGETHER:
            return None
        allowed = APART.get(venue(one.symbol).asset_type, _APART)
        if abs(one.price - other.price) <= allowed * abs(one.price):
            self._disputed_until.pop(one.symbol, None)
            return True
        self.disagreements += 1
        now = self._clock()
        disputed = {symbol: until for symbol, until in self._disputed_until.items() if until > now}
        self._disputed_until = disputed | {one.symbol: now + DISPUTED_FOR}
        return False

    def quarantined(self, symbol: str, interval: Interval) -> list[datetime]:
        """When the bars open that were set aside and not drained yet."""
        kind = bar_kind(interval)
        told = (aside for aside in self._quarantined if (aside.symbol, aside.kind) == (symbol, kind))
        return [datetime.fromisoformat(aside.payload["time"]) for aside in told if aside.payload["time"]]

    def drain(self) -> list[Quarantined]:
        """What was set aside since the last call; the oldest are lost where it is very much."""
        aside = list(self._quarantined)
        self._quarantined.clear()
        return aside

    def _impossibility(self, quote: Quote) -> str | None:
        for name in _NUMBERS:
            value = getattr(quote, name)
            if value is None:
                continue
            if not math.isfinite(value):
                return f"{name} is {value}"
            if value < 0 and name in _SIZES:
                return f"{name} is negative"
            if value <= 0 and name in _PRICES and not _may_sink(quote.symbol):
                return f"{name} is not above 0"
        if quote.high is not None and quote.low is not None and quote.high < quote.low:
            return "high is below low"
        if quote.time > self._clock() + AHEAD:
            return "its time is in the future"
        return None

    def _flagged(self, quote: Quote) -> Quote:
        flags = [*quote.provenance.flags, *self._flags(quote)]
        self._remember(quote)
        if not flags:
            return quote
        lost = sum(POINTS.get(flag, 0) for flag in flags)
        provenance = structs.replace(
            quote.provenance, flags=tuple(dict.fromkeys(flags)), quality=max(0, quote.provenance.quality - lost)
        )
        return structs.replace(quote, provenance=provenance)

    def _flags(self, quote: Quote) -> list[str]:
        flags = []
        last = self._last.get(quote.symbol)
        if quote.bid is not None and quote.ask is not None and quote.bid > quote.ask:
            flags.append("CROSSED")
        above = quote.high is not None and quote.price > quote.high
        if above or (quote.low is not None and quote.price < quote.low):
            flags.append("OUT_OF_RANGE")
        if last is not None and self._is_jump(quote, last):
            flags.append("JUMP")
        if (until := self._disputed_until.get(quote.symbol)) is not None and self._clock() < until:
            flags.append("DISPUTED")
        if quote.currency is not None and quote.currency != (self._expected_currency(quote.symbol) or quote.currency):
            flags.append("CURRENCY")
        if last is not None and quote.time < last.time:
            flags.append("EARLIER_THAN_BEFORE")
        allowed = LATE + timedelta(seconds=quote.provenance.delay_seconds or 0.0)
        if self._clock() - quote.time > allowed and self._is_open(quote.symbol):
            flags.append("OLD")
        return flags

    def _expected_currency(self, symbol: str) -> str | None:
        guess = venue(symbol)
        return self._currency_of(symbol) or (guess.currency if guess.market_code else None)

    def _is_jump(self, quote: Quote, last: Quote) -> bool:
        allowed = JUMPS.get(venue(quote.symbol).asset_type, _JUMP)
        if abs(quote.price - last.price) <= allowed * abs(last.price):
            self._jumped.pop(quote.symbol, None)
            return False
        before = self._jumped.get(quote.symbol)
        if before is not None and abs(quote.price - before) <= CONFIRMED * abs(before):
            del self._jumped[quote.symbol]
            return False
        self._jumped[quote.symbol] = quote.price
        return True

    def _remember(self, quote: Quote) -> None:
        if quote.symbol in self._jumped:
            return  # not before it is confirmed
        self._last[quote.symbol] = quote
        self._last.move_to_end(quote.symbol)
        if len(self._last) > REMEMBERED_SYMBOLS:
            forgotten, _ = self._last.popitem(last=False)
            self._jumped.pop(forgotten, None)

    def _set_aside(self, source: str, symbol: str, kind: str, reason: str, payload: dict[str, Any]) -> None:
        self.set_aside[source] += 1
        self._quarantined.append(Quarantined(source, symbol, kind, reason, payload, self._clock()))


def _bar_reason(symbol: str, window: Window, now: datetime) -> pl.Expr:
    """Why a bar is impossible; null if it is not. The bars must be ascending by time."""
    prices = [pl.col(name) for name in ("open", "high", "low", "close")]
    unknown = pl.any_horizontal(price.is_null() | ~price.is_finite() for price in prices)
    sunk = pl.lit(value=False) if _may_sink(symbol) else pl.min_horizontal(prices) <= 0
    volume = pl.col("volume")
    rules = [
        (unknown, "a price is missing or no number"),
        (sunk, "a price is not above 0"),
        (pl.col("high") < pl.max_horizontal(prices), "high is not the highest"),
        (pl.col("low") > pl.min_horizontal(prices), "low is not the lowest"),
        ((volume < 0) | ~volume.is_finite(), "the volume is negative or no number"),
        (~pl.col("vwap").is_finite(), "the vwap is no number"),
        (pl.col("trades") < 0, "the number of trades is negative"),
        (pl.col("time") > now + AHEAD, "its time is in the future"),
        (~pl.col("time").is_between(window.start, window.end, closed="left"), "it lies outside the window asked for"),
        (pl.col("time") == pl.col("time").shift(1), "there is a bar of this time already"),
        ((pl.col("split_factor") <= 0) | ~pl.col("split_factor").is_finite(), "the split is impossible"),
        ((pl.col("dividend") < 0) | ~pl.col("dividend").is_finite(), "the dividend is impossible"),
    ]
    return pl.coalesce(pl.when(broken).then(pl.lit(text)) for broken, text in rules)


def _may_sink(symbol: str) -> bool:
    """Whether a price may be 0 or less: of oil for delivery it was, in April 2020."""
    return venue(symbol).asset_type in (AssetType.INDEX, AssetType.COMMODITY) or symbol.endswith("=F")


def _plain(fields_: dict[str, Any]) -> dict[str, Any]:
    """The same as JSON can hold it: numbers that are none as text."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return _plain(value)
        if isinstance(value, float) and not math.isfinite(value):
            return str(value)
        if isinstance(value, str | int | float | None):
            return value
        return str(value)

    return {name: plain(value) for name, value in fields_.items()}
