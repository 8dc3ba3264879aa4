"""How Alpha Vantage spells symbols, and the venues that it has."""

import re
from datetime import UTC, date, datetime, time
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from market import venue

NAME: Final = "alphavantage"


class _Venue(NamedTuple):
    suffix: str  # in its spelling
    code: str  # what stands before the suffix, where shares trade in the venue's own currency
    closes: time  # the venue's usual last minute, in its own zone


# By our suffix. Left out: B shares in China (USD, HKD), yuan counters in Hong Kong, units in USD in Toronto.
_VENUES: Final = {
    "HK": _Venue("HKG", r"\d{4}", time(16)),
    "SS": _Venue("SHH", r"[56]\d{5}", time(15)),
    "SZ": _Venue("SHZ", r"[013]\d{5}", time(15)),
    "L": _Venue("LON", r"[A-Z0-9]{1,4}(-[A-Z])?", time(16, 30)),
    "TO": _Venue("TRT", r"[A-Z]{1,5}(-(?!U$)[A-Z]{1,2})?", time(16)),
    "DE": _Venue("DEX", r"[A-Z0-9]{1,5}", time(17, 30)),
    "BO": _Venue("BSE", r"[A-Z0-9-]{1,12}", time(15, 30)),
}
_OUR_SUFFIX: Final = {venue.suffix: ours for ours, venue in _VENUES.items()}
_US_SHARE: Final = re.compile(r"[A-Z]{1,5}(\.[A-Z])?")
_US_CLOSES: Final = time(16)
_FOREX: Final = re.compile(r"([A-Z]{3})?([A-Z]{3})=X")
_CRYPTO: Final = re.compile(r"([A-Z0-9]{1,10})-([A-Z]{3,4})")


def native_symbol(symbol: str) -> str | None:
    """Its spelling of a share: BRK.B is BRK-B, 0700.HK is 0700.HKG, TSCO.L is TSCO.LON; None where it has none."""
    code, dot, suffix = symbol.rpartition(".")
    if dot and (listed := _VENUES.get(suffix)):
        return f"{code}.{listed.suffix}" if re.fullmatch(listed.code, code) else None
    if _US_SHARE.fullmatch(symbol) and venue(symbol).market_code is None:
        return symbol.replace(".", "-")
    return None


def our_symbol(native: str) -> str | None:
    """Our spelling of a share of its, whether it writes BRK-B or BRK.B; None where we do not cover it."""
    code, dot, suffix = native.rpartition(".")
    symbol = f"{code}.{_OUR_SUFFIX[suffix]}" if dot and suffix in _OUR_SUFFIX else native.replace("-", ".")
    return symbol if native_symbol(symbol) in (native, native.replace(".", "-")) else None


def pair(symbol: str) -> tuple[str, str] | None:
    """What is priced, and in what: EURUSD=X is EUR in USD, JPY=X is USD in JPY, BTC-USDT is BTC in USDT; else None."""
    if found := _FOREX.fullmatch(symbol):
        return found[1] or "USD", found[2]
    if found := _CRYPTO.fullmatch(symbol):
        return found[1], found[2]
    return None


def is_coin(symbol: str) -> bool:
    """Whether a pair is one of a coin: BTC-EUR is, EURUSD=X is not."""
    return _CRYPTO.fullmatch(symbol) is not None


def usual_close(symbol: str, day: date) -> datetime:
    """When the symbol's venue usually closes on that day. On a half day it is hours late."""
    _, dot, suffix = symbol.rpartition(".")
    closes = _VENUES[suffix].closes if dot and suffix in _VENUES else _US_CLOSES
    return datetime.combine(day, closes, ZoneInfo(venue(symbol).timezone)).astimezone(UTC)
