"""Yahoo's rows, of quotes, charts' heads and searches, read as quotes and assets."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from market import Asset, AssetType, Provenance, Quote, ServedFrom, venue
from sources.yahoo_chart import parse_chart
from sources.yahoo_words import KINDS, NAME, Unit, in_full, our_symbol, volume

Row = Mapping[str, Any]

_EXCHANGES: Final = {
    "NMS": "XNAS",
    "NGM": "XNAS",
    "NCM": "XNAS",
    "NYQ": "XNYS",
    "ASE": "XASE",
    "PCX": "ARCX",
    "BTS": "BATS",
}


def parse_rows(payload: Any) -> dict[str, Row]:
    """The rows of quotes by native symbol, in full. Any field may be missing, and so may be whole symbols.

    {"quoteResponse":{"result":[{"quoteType":"EQUITY","currency":"USD","shortName":"Apple Inc.","longName":"Apple
     Inc.","regularMarketPrice":244.6,"priceHint":2,"regularMarketDayHigh":245.41,"regularMarketDayLow":241,
     "regularMarketVolume":40896227,"regularMarketPreviousClose":241.53,"bid":244.44,"ask":253.37,"bidSize":2,
     "askSize":1,"fullExchangeName":"NasdaqGS","regularMarketOpen":241.07,"marketCap":3674405863424,
     "exchangeDataDelayedBy":0,"regularMarketTime":1739566800,"marketState":"CLOSED","exchange":"NMS",
     "exchangeTimezoneName":"America/New_York","symbol":"AAPL",…}],"error":null}}
    """
    return {in_full(row["symbol"]): row for row in payload["quoteResponse"]["result"]}


def parse_head(payload: Any) -> Row:
    """The head of a chart of one day, as a row of quotes. Without a bar its previous close is not that of the price."""
    chart = parse_chart(payload, "1d")
    row = {**chart.meta, "quoteType": chart.meta["instrumentType"], "exchange": chart.meta.get("exchangeName")}
    if not chart.rows.is_empty():
        row["regularMarketOpen"] = chart.rows["open"][0]
        row["regularMarketPreviousClose"] = chart.meta.get("chartPreviousClose")
    return row


def parse_found(payload: Any) -> list[Asset]:
    """The assets that a search found, best first; private companies have no symbol.

    {"count":7,"quotes":[{"exchange":"NMS","shortname":"Apple Inc.","quoteType":"EQUITY","symbol":"AAPL",
     "longname":"Apple Inc.","exchDisp":"NASDAQ","isYahooFinance":true},{"isYahooFinance":false,"name":"…"}]}
    """
    found = []
    for row in payload["quotes"]:
        symbol = our_symbol(row.get("symbol", ""))
        names = {"longName": row.get("longname"), "shortName": row.get("shortname")}
        if symbol and (asset := read_asset(symbol, {**row, **names, "fullExchangeName": row.get("exchDisp")})):
            found.append(asset)
    return found


def read_quote(symbol: str, row: Row, now: datetime) -> Quote | None:
    """The quote in a row; None where it has no price or no instant."""
    unit = Unit.of(row.get("currency"), row.get("priceHint"))
    price = unit.price(row.get("regularMarketPrice"))
    if price is None or not row.get("regularMarketTime"):
        return None
    delay_minutes = row.get("exchangeDataDelayedBy")
    return Quote(
        symbol=symbol,
        price=price,
        time=datetime.fromtimestamp(row["regularMarketTime"], UTC),
        provenance=Provenance(
            source=NAME,
            served_from=ServedFrom.LIVE,
            received_at=now,
            delay_seconds=None if delay_minutes is None else delay_minutes * 60.0,
            flags=unit.flags,
        ),
        open=unit.price(row.get("regularMarketOpen")),
        high=unit.price(row.get("regularMarketDayHigh")),
        low=unit.price(row.get("regularMarketDayLow")),
        previous_close=unit.price(row.get("regularMarketPreviousClose")),
        volume=volume(KINDS.get(row["quoteType"]), row.get("regularMarketVolume")),
        bid=unit.price(row.get("bid")),
        ask=unit.price(row.get("ask")),
        currency=unit.currency,
    )


def read_asset(symbol: str, row: Row) -> Asset | None:
    """The asset in a row; None where it is of no kind that we serve."""
    kind = KINDS.get(row["quoteType"])
    if kind is None:
        return None
    place = venue(symbol)
    long_name = row.get("longName")
    return Asset(
        symbol=symbol,
        name=long_name or row.get("shortName") or symbol,
        type=kind,
        market_code=_EXCHANGES.get(row.get("exchange", ""), place.market_code),
        currency=Unit.of(row.get("currency"), None).currency or place.currency,
        exchange=row.get("fullExchangeName"),
        timezone=row.get("exchangeTimezoneName") or place.timezone,
        company_name=long_name if kind is AssetType.STOCK else None,
        market_cap=row.get("marketCap") or None,
    )
