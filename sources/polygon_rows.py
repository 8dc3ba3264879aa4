"""Massive's rows, of bars, actions, snapshots and reference data, read as ours."""

import logging
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from market import BAR_SCHEMA, INSTANT, Asset, AssetType, Interval, Provenance, Quote, venue
from sources import calendar
from sources.polygon_words import (
    DELAY,
    EPOCH,
    FUNDS,
    MILLISECOND,
    NEW_YORK,
    instant,
    known,
    middle,
    our_symbol,
    provenance_of,
)

logger = logging.getLogger(__name__)


def path_of(interval: Interval, first: datetime, end: datetime) -> str:
    """The two ends of a request for bars, both inclusive: dates of the venue for days, milliseconds for the others."""
    last = interval.floor(end - timedelta(microseconds=1))
    if interval is Interval.D1:
        return f"{first:%Y-%m-%d}/{last:%Y-%m-%d}"
    return f"{(first - EPOCH) // MILLISECOND}/{(last - EPOCH) // MILLISECOND}"


def _rows(payload: Any, key: str = "results") -> list[Any]:
    """The rows of an answer; where there are none, the key is missing or null."""
    if payload["status"] not in ("OK", "DELAYED"):
        raise ValueError(f"status {payload['status']!r}")
    rows = payload.get(key) or []
    if not isinstance(rows, list):
        raise TypeError(f"{key} is no list")
    return rows


def parse_bars(payload: Any, *, interval: Interval, now: datetime, is_traded: bool) -> list[tuple[Any, ...]]:
    """Bars as rows: milliseconds, four prices, volume, vwap, trades, is_final.

    {"ticker":"AAPL","adjusted":false,"queryCount":2,"resultsCount":2,"status":"OK","results":[{"v":642646396.0,
    "vw":1.469,"o":1.5032,"c":1.4604,"h":1.5064,"l":1.4489,"t":1112331600000,"n":82132}],"next_url":"https://…"}

    The day of shares begins at 00:00 in New York, that of indices an hour later, that of currencies and coins at
    00:00 UTC, in some samples at 04:00: the date in UTC is the trading date whichever it is. What currencies
    have as volume counts quotes, so it is left out.
    """
    length = interval.span // MILLISECOND
    delay = DELAY if payload["status"] == "DELAYED" else timedelta()
    newest_final = (now - delay - interval.span - EPOCH) // MILLISECOND
    bars = []
    for row in _rows(payload):
        at = int(row["t"])
        if at % length and interval.is_intraday:
            raise ValueError(f"a bar of {interval} opens at {at}, off the grid")
        if all(row.get(price) for price in "ohlc"):
            bars.append(
                (
                    at - at % length,
                    *(float(row[price]) for price in "ohlc"),
                    known(row.get("v")) if is_traded else None,
                    known(row.get("vw")) if is_traded else None,
                    int(row["n"]) if is_traded and row.get("n") else None,
                    at <= newest_final,
                )
            )
    return bars


def frame_of(rows: Iterable[tuple[Any, ...]]) -> pl.DataFrame:
    """Rows of `parse_bars` as BAR_SCHEMA, without splits and dividends."""
    columns = [name for name in BAR_SCHEMA if name not in ("split_factor", "dividend")]
    return (
        pl.DataFrame(rows, schema={**{name: BAR_SCHEMA[name] for name in columns}, "time": pl.Int64}, orient="row")
        .unique("time", keep="last")
        .sort("time")
        .with_columns(
            time=pl.col("time").cast(pl.Datetime("ms", "UTC")).cast(INSTANT),
            split_factor=1.0,
            dividend=0.0,
        )
        .select(*BAR_SCHEMA)
    )


def parse_splits(payload: Any) -> list[tuple[date, float]]:
    """Days and new shares per old.

    {"results":[{"execution_date":"2020-08-31","id":"…","split_from":1,"split_to":4,"ticker":"AAPL"}],"status":"OK"}
    """
    return [(date.fromisoformat(row["execution_date"]), row["split_to"] / row["split_from"]) for row in _rows(payload)]


def parse_dividends(payload: Any) -> list[tuple[date, float]]:
    """Ex days and dollars per share of that day: Massive does not adjust them for later splits.

    {"results":[{"cash_amount":0.22,"currency":"USD","dividend_type":"CD","ex_dividend_date":"2021-11-05",
    "frequency":4,"pay_date":"2021-11-11","ticker":"AAPL"}],"status":"OK"}
    """
    dividends = []
    for row in _rows(payload):
        day, amount = date.fromisoformat(row["ex_dividend_date"]), float(row["cash_amount"])
        if (currency := row.get("currency") or "USD") == "USD":
            dividends.append((day, amount))
        else:
            logger.warning("polygon: left out a dividend in %s, the share trades in USD: %s", currency, row)
    return dividends


def parse_quotes(payload: Any, *, cluster: str, symbols: Mapping[str, str], now: datetime) -> list[Quote]:
    """The quotes of a snapshot of shares, currencies or coins.

    {"status":"OK","tickers":[{"ticker":"AAPL","updated":1651251948294080343,
    "day":{"o":161.84,"h":166.2,"l":159.8,"c":160.315,"v":68840127,"vw":162.7124},
    "lastQuote":{"P":159.99,"S":5,"p":159.98,"s":3,"t":1651251948407646487},
    "lastTrade":{"c":null,"i":"121351","p":159.99,"s":200,"t":1651251948294080343,"x":12},
    "min":{"av":68834255,"c":160.3,"h":160.71,"l":160.3,"o":160.71,"v":197226,"t":1684428600000,"n":5},
    "prevDay":{"c":163.64,"h":164.515,"l":158.93,"o":159.25,"v":130149192,"vw":161.8622}}]}

    Currencies have "lastQuote":{"a":0.6953,"b":0.6952,"t":1652193694000,"x":48}, and their price is the middle.
    What the plan leaves out is missing; before the open `day` and `min` are zero, and `updated` may be.
    """
    provenance = provenance_of(now, is_delayed=payload["status"] == "DELAYED")
    quotes = (
        _quote(row, cluster, symbols[row["ticker"]], provenance)
        for row in _rows(payload, "tickers")
        if row["ticker"] in symbols
    )
    return [quote for quote in quotes if quote is not None]


def _quote(row: Mapping[str, Any], cluster: str, symbol: str, provenance: Provenance) -> Quote | None:
    day, minute, before = (dict(row.get(key) or {}) for key in ("day", "min", "prevDay"))
    trade, book = (dict(row.get(key) or {}) for key in ("lastTrade", "lastQuote"))
    bid_key, ask_key = ("b", "a") if cluster == "forex" else ("p", "P")
    bid, ask = known(book.get(bid_key)), known(book.get(ask_key))
    updated = row.get("updated")
    prints = [
        (known(trade.get("p")), trade.get("t")),
        (middle(bid, ask) if cluster == "forex" else None, book.get("t")),
        (known(minute.get("c")), updated or minute.get("t")),
        (known(day.get("c")), updated),
    ]
    price, printed_at = next(((price, instant(at)) for price, at in prints if price and at), (None, None))
    previous_close = known(before.get("c"))
    if price is None and cluster == "stocks":
        price, previous_close = previous_close, None
        printed_at = _closed_at(provenance.received_at.astimezone(NEW_YORK).replace(hour=0, minute=0))
    if price is None or printed_at is None:
        return None
    return Quote(
        symbol=symbol,
        price=price,
        time=printed_at,
        provenance=provenance,
        open=known(day.get("o")),
        high=known(day.get("h")),
        low=known(day.get("l")),
        previous_close=previous_close,
        volume=None if cluster == "forex" else known(day.get("v")),
        bid=bid,
        ask=ask,
        bid_size=known(book.get("s")),
        ask_size=known(book.get("S")),
        last_size=known(trade.get("s")),
        currency=venue(symbol).currency,
    )


def parse_index_quotes(payload: Any, *, symbols: Mapping[str, str], now: datetime) -> list[Quote]:
    """The quotes of a snapshot of indices.

    {"status":"OK","results":[{"ticker":"I:SPX","value":3822.39,"name":"S&P 500","type":"indices",
    "market_status":"closed","session":{"open":3827.38,"high":3834.41,"low":3827.11,"close":3822.39,
    "previous_close":3812.19,"change":-50.01}},{"ticker":"APx","error":"NOT_FOUND","message":"Ticker not found."}]}

    Newer answers add `last_updated` in nanoseconds and `timeframe`. Without it the value is as old as the delay, or
    of the close.
    """
    quotes = []
    for row in _rows(payload):
        symbol, value = symbols.get(row["ticker"]), known(row.get("value"))
        if symbol is None or value is None:
            continue
        is_delayed = "DELAYED" in (payload["status"], row.get("timeframe"))
        session = dict(row.get("session") or {})
        updated = row.get("last_updated")
        seen_at = now - DELAY if is_delayed else now
        quotes.append(
            Quote(
                symbol=symbol,
                price=value,
                time=instant(updated) if updated else min(seen_at, _closed_at(now)),
                provenance=provenance_of(now, is_delayed=is_delayed),
                open=known(session.get("open")),
                high=known(session.get("high")),
                low=known(session.get("low")),
                previous_close=known(session.get("previous_close")),
                currency=venue(symbol).currency,
            )
        )
    return quotes


def parse_assets(payload: Any) -> list[Asset]:
    """The assets of reference data that our spelling can name.

    {"results":[{"ticker":"AAPL","name":"Apple Inc.","market":"stocks","locale":"us","primary_exchange":"XNAS",
    "type":"CS","active":true,"currency_name":"usd"},{"ticker":"X:BTCUSD","name":"Bitcoin - United States dollar",
    "market":"crypto","active":true,"currency_symbol":"USD","base_currency_symbol":"BTC"}],"status":"OK","count":2}

    A delisted share has "active":false and "delisted_utc":"2023-05-02T04:00:00Z".
    """
    return [_asset(row, symbol) for row in _rows(payload) if (symbol := our_symbol(row))]


def _asset(row: Mapping[str, Any], symbol: str) -> Asset:
    place = venue(symbol)
    is_share = place.asset_type is AssetType.STOCK
    is_active = bool(row.get("active", True))
    delisted = row.get("delisted_utc")
    return Asset(
        symbol=symbol,
        name=row["name"],
        type=FUNDS.get(row.get("type") or "", AssetType.STOCK) if is_share else place.asset_type,
        market_code=row.get("primary_exchange") if is_share else place.market_code,
        currency=str(row.get("currency_name") or "usd").upper() if is_share else place.currency,
        timezone=place.timezone,
        company_name=row["name"] if row.get("type") == "CS" else None,
        is_active=is_active,
        is_tradable=is_active and place.asset_type is not AssetType.INDEX,
        delisting_date=datetime.fromisoformat(delisted).astimezone(NEW_YORK).date() if delisted else None,
    )


def _closed_at(at: datetime) -> datetime:
    """When the newest session of New York that has begun at the instant closes."""
    session = calendar.last_session("XNYS", at)
    assert session is not None  # there were some before any quote
    return session.close
