"""What all of Massive's parts share: its symbols, instants and numbers, in our words."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from market import AssetType, Provenance, ServedFrom, venue

NAME: Final = "polygon"
"""What the source is called."""
NEW_YORK: Final = ZoneInfo("America/New_York")
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND: Final = timedelta(milliseconds=1)
DELAY: Final = timedelta(minutes=15)
CLUSTERS: Final = {
    AssetType.STOCK: "stocks",
    AssetType.INDEX: "indices",
    AssetType.FOREX: "forex",
    AssetType.CRYPTO: "crypto",
}
FUNDS: Final = {
    "ETF": AssetType.ETF,
    "ETN": AssetType.ETF,
    "ETS": AssetType.ETF,
    "ETV": AssetType.ETF,
    "FUND": AssetType.FUND,
}
_INDICES: Final = {
    "^GSPC": "I:SPX",
    "^DJI": "I:DJI",
    "^IXIC": "I:COMP",
    "^NDX": "I:NDX",
    "^RUT": "I:RUT",
    "^VIX": "I:VIX",
}
_INDEX_SYMBOLS: Final = {ticker: symbol for symbol, ticker in _INDICES.items()}
_SHARE: Final = re.compile(r"[A-Z]{1,5}(\.([A-Z]|WS))?")
_PREFERRED: Final = re.compile(r"([A-Z]{1,5})-P([A-Z]?)")
_NATIVE_PREFERRED: Final = re.compile(r"([A-Z]{1,5})p([A-Z]?)")
_CURRENCIES: Final = re.compile(r"([A-Z]{3})([A-Z]{3})=X")
_COIN: Final = re.compile(r"([A-Z0-9]+)-([A-Z]{3})")


@dataclass(frozen=True, slots=True)
class Native:
    """A symbol in their spellings: `ticker` in requests, `topic` in a stream of the cluster."""

    cluster: str
    ticker: str
    topic: str


def native_symbol(symbol: str) -> Native | None:
    """Their spelling of a symbol; None where it is none that they could know. No two symbols share one.

    AAPL, BRK.B → same; KIM-PL → KIMpL; EURUSD=X → C:EURUSD, EUR/USD; BTC-USD → X:BTCUSD, BTC-USD; ^GSPC → I:SPX.
    """
    place = venue(symbol)
    cluster = CLUSTERS[place.asset_type]
    if cluster == "indices":
        ticker = _INDICES.get(symbol)
        return Native(cluster, ticker, ticker) if ticker else None
    if cluster == "forex":
        pair = _CURRENCIES.fullmatch(symbol)
        return Native(cluster, f"C:{pair[1]}{pair[2]}", f"{pair[1]}/{pair[2]}") if pair else None
    if cluster == "crypto":
        pair = _COIN.fullmatch(symbol)
        return Native(cluster, f"X:{pair[1]}{pair[2]}", symbol) if pair else None
    if place.market_code is not None:
        return None
    if preferred := _PREFERRED.fullmatch(symbol):
        ticker = f"{preferred[1]}p{preferred[2]}"
        return Native(cluster, ticker, ticker)
    return Native(cluster, symbol, symbol) if _SHARE.fullmatch(symbol) else None


def our_symbol(row: Mapping[str, Any]) -> str | None:
    """Our spelling of a row of reference data; None where it has none that leads back to its ticker."""
    ticker = str(row["ticker"])
    match row["market"]:
        case "stocks" | "otc":
            preferred = _NATIVE_PREFERRED.fullmatch(ticker)
            symbol = f"{preferred[1]}-P{preferred[2]}" if preferred else ticker
        case "fx":
            symbol = f"{ticker.removeprefix('C:')}=X"
        case "crypto":
            symbol = f"{row.get('base_currency_symbol')}-{row.get('currency_symbol')}"
        case "indices":
            symbol = _INDEX_SYMBOLS.get(ticker, "")
        case _:
            return None
    native = native_symbol(symbol)
    return symbol if native and native.ticker == ticker else None


def known(number: Any) -> float | None:
    """The number; None for 0, which is how they say unknown."""
    return float(number) if number else None


def middle(bid: float | None, ask: float | None) -> float | None:
    """The middle of two prices, exact in decimal."""
    if bid is None or ask is None:
        return None
    return float((Decimal(repr(bid)) + Decimal(repr(ask))) / 2)


def instant(at: float) -> datetime:
    """The instant of Unix milliseconds, or of nanoseconds (told by their size), to the microsecond before."""
    count = int(at)
    return EPOCH + timedelta(microseconds=count // 1000 if count >= 10**16 else count * 1000)


def provenance_of(now: datetime, *, is_delayed: bool) -> Provenance:
    """Where a quote of this plan comes from; a delayed one says so."""
    return Provenance(
        source=NAME,
        served_from=ServedFrom.LIVE,
        received_at=now,
        delay_seconds=DELAY.total_seconds() if is_delayed else 0.0,
        flags=("DELAYED",) if is_delayed else (),
    )
