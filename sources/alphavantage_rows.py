"""What the answers of Alpha Vantage say, in our words."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import polars as pl

from errors import SymbolNotFound
from market import BAR_SCHEMA, Asset, AssetType, Provenance, Quote, ServedFrom, venue
from sources.alphavantage_words import NAME, our_symbol, usual_close

_LAG: Final = timedelta(minutes=15)  # how late its delayed prices are

_MINOR: Final = {"GBX": "GBP", "GBp": "GBP"}
_TYPES: Final = {"Equity": AssetType.STOCK, "ETF": AssetType.ETF, "Mutual Fund": AssetType.FUND}
# Debian keeps names of this age in a package of their own.
_ZONES: Final = {"US/Eastern": "America/New_York"}


class Unit(NamedTuple):
    """What prices are in: `parts` of them make one of `currency`."""

    currency: str
    parts: int = 1


def unknown(symbol: str) -> SymbolNotFound:
    """The error for a symbol that it does not know."""
    return SymbolNotFound(f'{NAME} does not know "{symbol}".', symbol=symbol)


def share_quote(payload: Any, symbol: str, unit: Unit, now: datetime) -> Quote:
    """The quote of a share. It does not say when the price was printed: the usual close of the day stands in.

        {"Global Quote": {"01. symbol": "IBM", "02. open": "218.2000", "03. high": "220.9100", "04. low": "217.6150",
          "05. price": "219.3000", "06. volume": "6154450", "07. latest trading day": "2026-05-15",
          "08. previous close": "218.3700", "09. change": "0.9300", "10. change percent": "0.4259%"}}

    A plan that is entitled to delayed prices has them under "Global Quote - DATA DELAYED BY 15 MINUTES".
    """
    payload = _known(payload, symbol)
    [title] = [key for key in payload if key.startswith("Global Quote")]
    is_delayed = "DELAYED" in title
    fields = _named(payload[title])
    price = _price(fields.get("price"), unit.parts)
    if price is None:
        raise unknown(symbol)
    flags = (*(() if is_delayed else ("END_OF_DAY",)), *(("MINOR_UNIT",) if unit.parts > 1 else ()))
    return Quote(
        symbol=symbol,
        price=price,
        time=min(
            usual_close(symbol, date.fromisoformat(fields["latest trading day"])), now - _LAG if is_delayed else now
        ),
        open=_price(fields.get("open"), unit.parts),
        high=_price(fields.get("high"), unit.parts),
        low=_price(fields.get("low"), unit.parts),
        previous_close=_price(fields.get("previous close"), unit.parts),
        volume=_number(fields.get("volume")),
        currency=unit.currency,
        provenance=_provenance(now, flags, delay_seconds=_LAG.total_seconds() if is_delayed else None),
    )


def rate_quote(payload: Any, symbol: str, now: datetime) -> Quote:
    """The quote of a pair; a bid or an ask may be "-".

    {"Realtime Currency Exchange Rate": {"1. From_Currency Code": "USD", "2. From_Currency Name":
      "United States Dollar", "3. To_Currency Code": "JPY", "4. To_Currency Name": "Japanese Yen",
      "5. Exchange Rate": "158.73166867", "6. Last Refreshed": "2026-05-17 17:12:44", "7. Time Zone": "UTC",
      "8. Bid Price": "158.72", "9. Ask Price": "158.74"}}
    """
    fields = _rate_fields(payload, symbol)
    price = _price(fields["Exchange Rate"])
    if price is None:
        raise unknown(symbol)
    refreshed = datetime.fromisoformat(fields["Last Refreshed"])
    return Quote(
        symbol=symbol,
        price=price,
        time=refreshed.replace(tzinfo=_zone(fields)).astimezone(UTC),
        bid=_price(fields.get("Bid Price")),
        ask=_price(fields.get("Ask Price")),
        currency=fields["To_Currency Code"],
        provenance=_provenance(now),
    )


def pair_asset(payload: Any, symbol: str) -> Asset:
    """What `rate_quote` reads, for the names."""
    fields = _rate_fields(payload, symbol)
    guess = venue(symbol)
    return Asset(
        symbol=symbol,
        name=f"{fields['From_Currency Name']} / {fields['To_Currency Name']}",
        type=guess.asset_type,
        market_code=guess.market_code,
        currency=fields["To_Currency Code"],
        timezone=guess.timezone,
    )


def _rate_fields(payload: Any, symbol: str) -> dict[str, Any]:
    return _named(_known(payload, symbol)["Realtime Currency Exchange Rate"])


def daily_bars(payload: Any, symbol: str, parts: int, now: datetime) -> pl.DataFrame:
    """All bars of a daily series, ascending; a row without prices stays, as nulls.

        {"Meta Data": {"1. Information": "Daily Prices (open, high, low, close) and Volumes", "2. Symbol": "IBM",
          "3. Last Refreshed": "2026-05-15", "4. Output Size": "Compact", "5. Time Zone": "US/Eastern"},
         "Time Series (Daily)": {"2026-05-15": {"1. open": "218.2000", "2. high": "220.9100", "3. low": "217.6150",
          "4. close": "219.3000", "5. volume": "6154450"}}}

    Rows of currencies have no volume. Rows of coins were once "1a. open (EUR)", "1b. open (USD)", and so on. The
    bar of a day is final once the day is over in the time zone of the series, and delayed prices are in.
    """
    payload = _known(payload, symbol)
    today = (now - _LAG).astimezone(_zone(_named(payload["Meta Data"]))).date()
    [series] = [series for title, series in payload.items() if "Time Series" in title]
    rows = []
    for text, fields in sorted(_object(series).items()):
        day, row = date.fromisoformat(text[:10]), _named(fields)
        prices = [_price(row[word], parts) for word in ("open", "high", "low", "close")]
        rows.append(
            (datetime.combine(day, time(), UTC), *prices, _number(row.get("volume")), None, None, 1.0, 0.0, day < today)
        )
    return pl.DataFrame(rows, schema=BAR_SCHEMA, orient="row")


def matches_of(payload: Any) -> list[tuple[Asset, Unit]]:
    """What a search found and we can spell, the likeliest first, each with what its prices are in.

    {"bestMatches": [{"1. symbol": "TSCO.LON", "2. name": "Tesco PLC", "3. type": "Equity",
      "4. region": "United Kingdom", "5. marketOpen": "08:00", "6. marketClose": "16:30", "7. timezone": "UTC+01",
      "8. currency": "GBX", "9. matchScore": "0.7273"}]}
    """
    found = []
    for match in map(_named, payload["bestMatches"]):
        symbol, kind = our_symbol(match["symbol"]), _TYPES.get(match["type"])
        if symbol is None or kind is None:
            continue
        priced_in = match["currency"]
        unit = Unit(_MINOR[priced_in], 100) if priced_in in _MINOR else Unit(priced_in)
        guess = venue(symbol)
        asset = Asset(
            symbol=symbol,
            name=match["name"],
            type=kind,
            market_code=guess.market_code,
            currency=unit.currency,
            timezone=guess.timezone,
        )
        found.append((asset, unit))
    return found


def _provenance(now: datetime, flags: tuple[str, ...] = (), delay_seconds: float | None = None) -> Provenance:
    return Provenance(
        source=NAME,
        served_from=ServedFrom.LIVE,
        received_at=now,
        delay_seconds=delay_seconds,
        flags=flags,
    )


def _known(payload: Any, symbol: str) -> dict[str, Any]:
    """The payload, unless it is what comes for an unknown symbol. Raises SymbolNotFound.

    {} · {"Global Quote": {}} · {"Error Message": "Invalid API call. Please retry or visit the documentation (…) …"}
    """
    fields = _object(payload)
    if not any(fields.values()) or "Invalid API call" in fields.get("Error Message", ""):
        raise unknown(symbol)
    return fields


def _named(fields: Any) -> dict[str, Any]:
    """The fields by their words, since their numbers shift from function to function: "5. volume", "06. volume".

    Of "1a. open (EUR)" and "1b. open (USD)" the first counts: the price in the currency that was asked for.
    """
    named: dict[str, Any] = {}
    for key, value in _object(fields).items():
        named.setdefault(key.rpartition(". ")[2].partition(" (")[0], value)
    return named


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("an object was expected")
    return value


def _zone(fields: Mapping[str, Any]) -> ZoneInfo:
    name = fields["Time Zone"]
    return ZoneInfo(_ZONES.get(name, name))


def _price(said: str | None, parts: int = 1) -> float | None:
    """A number that cannot be 0."""
    return _number(said, parts) or None


def _number(said: str | int | None, parts: int = 1) -> float | None:
    """The number over `parts`, exact in decimal; None where nothing is said: absent, "-", "None", "NaN"."""
    if said in (None, "", "-", ".", "None"):
        return None
    number = Decimal(said) / parts
    return float(number) if number.is_finite() else None
