"""What all of Yahoo's parts share: its symbols, kinds of asset, currencies and numbers, in our words."""

import re
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from market import AssetType, parse_symbol, venue

NAME: Final = "yahoo"
"""What the source is called."""

KINDS: Final = {
    "EQUITY": AssetType.STOCK,
    "ETF": AssetType.ETF,
    "MUTUALFUND": AssetType.FUND,
    "INDEX": AssetType.INDEX,
    "CURRENCY": AssetType.FOREX,
    "CRYPTOCURRENCY": AssetType.CRYPTO,
    "FUTURE": AssetType.COMMODITY,
    "COMMODITY": AssetType.COMMODITY,
}
"""Its `quoteType` or `instrumentType`; a kind that is not here is none that we serve."""

NOTHING_KNOWN: Final = "ECNQUOTE"
"""The kind that it gives to some symbols that do not exist, instead of saying so."""

# One letter after a dot is an exchange where it is one of these (Tokyo, London, Frankfurt, Toronto's Venture), and
# else a class of share, which Yahoo sets off by a hyphen.
_CLASS: Final = "[A-EG-KM-SUW-Z]"
_OUR_CLASS: Final = re.compile(rf"([A-Z0-9]+)\.({_CLASS})")
_NATIVE_CLASS: Final = re.compile(rf"([A-Z0-9]+)-({_CLASS})")
_SHORT_PAIR: Final = re.compile(r"[A-Z]{3}=X")

_MINOR: Final = {"GBp": "GBP", "GBX": "GBP", "ZAc": "ZAR", "ILA": "ILS"}
# London (both of its boards), Johannesburg and Tel Aviv, where some prices are in hundredths.
_MINOR_SUFFIXES: Final = ("L", "IL", "JO", "TA")


def covers(symbol: str) -> bool:
    """Whether a symbol of ours is one that Yahoo could know.

    BRK-B is none of ours, since BRK.B is. Nor is BTC-USDT one of Yahoo's, where coins trade in currencies only.
    """
    if "_" in symbol or _NATIVE_CLASS.fullmatch(symbol):
        return False
    place = venue(symbol)
    return place.asset_type is not AssetType.CRYPTO or len(place.currency) == 3


def native_symbol(symbol: str) -> str:
    """Yahoo's spelling of a covered symbol: BRK.B is BRK-B there; the rest is spelt alike."""
    return _OUR_CLASS.sub(r"\1-\2", symbol) if _OUR_CLASS.fullmatch(symbol) else symbol


def our_symbol(native: str) -> str | None:
    """Our spelling of a symbol of Yahoo's; None where it has none (M&M.NS)."""
    spelt = _NATIVE_CLASS.sub(r"\1.\2", native) if _NATIVE_CLASS.fullmatch(native) else native
    try:
        symbol = parse_symbol(spelt)
    except ValueError:
        return None
    return symbol if covers(symbol) else None


def in_full(native: str) -> str:
    """The long form of a native symbol: Yahoo may answer a question for USDJPY=X as JPY=X, or the other way."""
    return f"USD{native}" if _SHORT_PAIR.fullmatch(native) else native


def may_be_minor(symbol: str) -> bool:
    """Whether the symbol's prices may be in hundredths of a currency, which only its currency code tells."""
    return "." in symbol and symbol.rpartition(".")[2] in _MINOR_SUFFIXES


@dataclass(frozen=True, slots=True)
class Unit:
    """What Yahoo's prices of a symbol count: `parts` of them make one of the `currency`.

    `decimals` are how many a price has in that currency.
    """

    currency: str | None
    parts: int
    decimals: int

    @classmethod
    def of(cls, currency: str | None, price_hint: int | None) -> Self:
        """The unit by Yahoo's currency code, which may be absent, and its `priceHint`."""
        if currency in _MINOR:
            return cls(_MINOR[currency], 100, (price_hint or 0) + 2)
        return cls(currency or None, 1, price_hint or 0)

    @property
    def flags(self) -> tuple[str, ...]:
        """What a provenance says about it."""
        return ("MINOR_UNIT",) if self.parts != 1 else ()

    def price(self, value: Any) -> float | None:
        """A price in the currency; None for what is absent, 0 (Yahoo's way to say unknown) or no number."""
        if not value or not isfinite(value):
            return None
        return float(trimmed(np.asarray(value, float) / self.parts, self.decimals))


def trimmed(prices: NDArray[np.float64], decimals: int) -> NDArray[np.float64]:
    """Prices without the tail that a float32 leaves: 7 significant digits, but never fewer than `decimals`.

    74.05999755859375 is 74.06. NaN stays NaN.
    """
    magnitude = np.floor(np.log10(np.where(prices == 0, 1.0, np.abs(prices))))
    scale = 10.0 ** np.maximum(decimals, 6 - magnitude)
    return np.asarray(np.round(prices * scale) / scale)


def volume(kind: AssetType | None, value: float | None) -> float | None:
    """A volume in units of the asset; None where Yahoo counts otherwise or not at all.

    A coin's volume is money, over all venues. A pair, an index or a fund has 0 where nobody counts.
    """
    if value is None or kind is AssetType.CRYPTO or (value == 0 and kind in UNCOUNTED):
        return None
    return float(value)


UNCOUNTED: Final = (AssetType.FOREX, AssetType.INDEX, AssetType.FUND)
