"""Yahoo's chart: one answer read as it is, and several of them made into RAW bars."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import chain
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from market import BAR_SCHEMA, AssetType, Interval
from sources.yahoo_words import KINDS, NOTHING_KNOWN, Unit, trimmed, volume

GRANULARITY: Final = {
    Interval.M1: "1m",
    Interval.M5: "5m",
    Interval.M15: "15m",
    Interval.M30: "15m",  # asked for 30m, it has given hours; so these are joined of two
    Interval.H1: "1h",
    Interval.D1: "1d",
}
"""What to ask for, for each interval that can be had of it."""

_PART_S: Final = {"1m": 60, "5m": 300, "15m": 900, "1h": 3600}
_PRICES: Final = ("open", "high", "low", "close")
_IS_WHOLE: Final = pl.all_horizontal(pl.col(_PRICES).fill_null(0) != 0).alias("is_whole")
_SETTLED_S: Final = 30 * 60  # as late as the latest of its feeds, and time for a day's volume to be counted
_NEVER: Final = 2**62
_NIGHT: Final = 22


@dataclass(frozen=True, slots=True)
class Chart:
    """What Yahoo says of one symbol: everything is adjusted for all splits until now.

    `rows` has `stamp` (its opening, in epoch seconds, or the last trade's in a live row) and open, high, low,
    close and volume, of which any may be null. `sessions` are the regular ones, [start, end), of intraday
    rows; `current` is today's or the next. `printed_at` is the last trade's instant, 0 where it is not told.
    `splits` (new shares for one old) and `cash` (per share) are by the trading date that they take effect on.
    """

    meta: Mapping[str, Any]
    zone: ZoneInfo
    kind: AssetType | None
    unit: Unit
    printed_at: int
    current: tuple[int, int] | None
    rows: pl.DataFrame
    sessions: pl.DataFrame
    splits: Mapping[date, float]
    cash: Mapping[date, float]

    @property
    def is_of_nothing(self) -> bool:
        """Whether this is how Yahoo answers for some symbols that do not exist."""
        return self.meta.get("instrumentType") == NOTHING_KNOWN and self.rows.is_empty()


def parse_chart(payload: Any, granularity: str) -> Chart:
    """One answer. Raises ValueError where it has another granularity than was asked for.

    {"chart":{"result":[{"meta":{"currency":"USD","symbol":"AAPL","exchangeName":"NMS","instrumentType":"EQUITY",
     "regularMarketTime":1739998801,"gmtoffset":-18000,"exchangeTimezoneName":"America/New_York",
     "regularMarketPrice":244.87,"priceHint":2,"currentTradingPeriod":{"regular":{"start":1740061800,
     "end":1740085200,…},…},"tradingPeriods":[[{"start":1739975400,"end":1739998800,…}]],"dataGranularity":"1h",…},
     "timestamp":[1739975400,1739979000],"events":{"dividends":{"1604673000":{"amount":0.205,"date":1604673000}},
     "splits":{"1598880600":{"date":1598880600,"numerator":4,"denominator":1,"splitRatio":"4:1"}}},
     "indicators":{"quote":[{"open":[74.05999755859375,null],"high":[…],"low":[…],"close":[…],"volume":[…]}]}}],
     "error":null}}

    In an empty window there is no "timestamp", and "quote" is [{}]. `gmtoffset` is today's, not that of the rows.
    With extended hours, "tradingPeriods" is {"pre":[[…]],"regular":[[…]],"post":[[…]]}.
    """
    result = payload["chart"]["result"][0]
    meta = result["meta"]
    if meta["dataGranularity"] != granularity:
        raise ValueError(f"asked for {granularity}, got {meta['dataGranularity']}")
    zone = ZoneInfo(meta["exchangeTimezoneName"])
    stamps = np.array(result.get("timestamp", []), np.int64)
    quote = result["indicators"]["quote"][0]
    columns = {name: np.array(quote[name] if len(stamps) else [], np.float64) for name in (*_PRICES, "volume")}
    if any(column.shape != stamps.shape for column in columns.values()):
        raise ValueError("its columns differ in length")
    events = result.get("events") or {}
    current = (meta.get("currentTradingPeriod") or {}).get("regular")
    cash: dict[date, float] = {}
    for paid in chain(events.get("dividends", {}).values(), events.get("capitalGains", {}).values()):
        day = _trading_date(paid["date"], zone)
        cash[day] = cash.get(day, 0.0) + float(paid["amount"])
    return Chart(
        meta=meta,
        zone=zone,
        kind=KINDS.get(meta.get("instrumentType")),
        unit=Unit.of(meta.get("currency"), meta.get("priceHint")),
        printed_at=int(meta.get("regularMarketTime") or 0),
        current=(int(current["start"]), _end(current)) if current else None,
        rows=pl.DataFrame({"stamp": stamps, **columns}).fill_nan(None),
        sessions=_sessions(meta.get("tradingPeriods") or []),
        splits={
            _trading_date(split["date"], zone): float(split["numerator"]) / float(split["denominator"])
            for split in events.get("splits", {}).values()
        },
        cash=cash,
    )


def joined(charts: Sequence[Chart]) -> Chart:
    """The charts of consecutive windows as one."""
    return replace(
        charts[-1],
        rows=pl.concat(chart.rows for chart in charts).sort("stamp", maintain_order=True),
        sessions=pl.concat(chart.sessions for chart in charts).unique("start").sort("start"),
        splits={day: ratio for chart in charts for day, ratio in chart.splits.items()},
        cash={day: amount for chart in charts for day, amount in chart.cash.items()},
    )


def raw_bars(chart: Chart, interval: Interval, now: datetime) -> pl.DataFrame:
    """All bars that the chart holds, by BAR_SCHEMA; vwap and trades are null.

    A split makes of one share `ratio`, and Yahoo divides every price before it by that: here they are multiplied
    again, volumes divided, and dividends treated like prices.
    """
    if chart.rows.is_empty():
        return pl.DataFrame(schema=BAR_SCHEMA)
    rows = _of_intraday(chart, interval, now) if interval.is_intraday else _of_days(chart, now)
    days = rows["day"].to_numpy().astype("datetime64[D]")
    unit = chart.unit
    volumes = np.array([volume(chart.kind, told) for told in rows["volume"]], np.float64)
    shares = np.ones(len(days))
    split_factor = np.ones(len(days))
    dividend = np.zeros(len(days))
    for day, ratio in chart.splits.items():
        effective = np.datetime64(day)
        shares[days < effective] *= ratio
        split_factor[np.searchsorted(days, effective) :][:1] *= ratio  # the first bar since, if there is one
    for day, amount in chart.cash.items():
        later = np.prod([ratio for split_on, ratio in chart.splits.items() if split_on > day])
        paid = trimmed(np.asarray(amount * later / unit.parts), unit.decimals)
        dividend[np.searchsorted(days, np.datetime64(day)) :][:1] += paid
    return pl.DataFrame(
        {
            "time": pl.from_epoch(rows["stamp"]).cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
            **{name: trimmed(rows[name].to_numpy() * shares / unit.parts, unit.decimals) for name in _PRICES},
            "volume": pl.Series(np.where(shares == 1, volumes, np.round(volumes / shares))).fill_nan(None),
            "vwap": pl.repeat(None, len(days), dtype=pl.Float64, eager=True),
            "trades": pl.repeat(None, len(days), dtype=pl.Int64, eager=True),
            "split_factor": split_factor,
            "dividend": dividend,
            "is_final": rows["is_final"],
        },
        schema=BAR_SCHEMA,
    )


def _of_intraday(chart: Chart, interval: Interval, now: datetime) -> pl.DataFrame:
    """Rows with `stamp`, their opening, `day` and `is_final`; those outside of sessions are left out.

    An opening is where Yahoo says, which is seldom on our grid: hours of New York begin at 13:30 or 14:30, those of
    Mumbai at 03:45, and those of Hong Kong anew after lunch.
    """
    sessions = chart.sessions
    if sessions.is_empty():
        sessions = pl.DataFrame({"start": chart.rows["stamp"][:1], "end": [_NEVER]})
    rows = chart.rows.join_asof(sessions, left_on="stamp", right_on="start").filter(pl.col("stamp") < pl.col("end"))
    rows = rows.with_columns(
        stamp=pl.Series(_openings(rows, _PART_S[GRANULARITY[interval]], chart.printed_at), dtype=pl.Int64)
    )
    # Two volumes of one row are one that has grown.
    rows = _merged(rows.filter(_IS_WHOLE), ["stamp", "start", "end"], pl.col("volume").max())
    whole_s = interval.span // timedelta(seconds=1)
    if whole_s != _PART_S[GRANULARITY[interval]]:
        rows = rows.with_columns(stamp=pl.col("stamp") - (pl.col("stamp") - pl.col("start")) % whole_s)
        counted = pl.when(pl.col("volume").is_not_null().all()).then(pl.col("volume").sum())
        rows = _merged(rows, ["stamp", "start", "end"], counted)
    end = pl.min_horizontal(pl.col("stamp") + whole_s, "end")
    present = int(now.timestamp())
    local = pl.from_epoch("stamp").dt.replace_time_zone("UTC").dt.convert_time_zone(chart.zone.key)
    return rows.with_columns(
        day=local.dt.date(),
        # A late feed has filled a bar once it has printed something later.
        is_final=(end <= present) & ((end <= chart.printed_at) | (end + _SETTLED_S <= present)),
    )


def _openings(rows: pl.DataFrame, part_s: int, live: int) -> list[int]:
    """When the bar of each row opens.

    That is its stamp, except where the row is told again within `part_s`, or is the live one, stamped by the last
    trade: those belong to the row before, or else to the grid that begins with the session.
    """
    openings: list[int] = []
    was_whole = False
    for stamp, start, is_whole in rows.select("stamp", "start", _IS_WHOLE).iter_rows():
        if openings and stamp < openings[-1] + part_s and (was_whole or stamp == live):
            openings.append(openings[-1])
        else:
            openings.append(stamp - (stamp - start) % part_s if stamp == live else stamp)
        was_whole = is_whole
    return openings


def _of_days(chart: Chart, now: datetime) -> pl.DataFrame:
    """Rows with `stamp` at 00:00 UTC of their trading `day`, and `is_final`."""
    rows = chart.rows.filter(_IS_WHOLE)
    days = [_trading_date(stamp, chart.zone, is_live=stamp == chart.printed_at) for stamp in rows["stamp"]]
    rows = rows.with_columns(day=pl.Series(days, dtype=pl.Date))
    rows = _merged(rows, ["day"], pl.col("volume").max())
    present = int(now.timestamp())

    def is_final(day: date) -> bool:
        if chart.current is not None:
            opens_at, closes_at = chart.current
            today = _trading_date(opens_at, chart.zone)
            if day <= today:  # once the next session is shown, those before it are over, whatever the hour
                return day < today or closes_at + _SETTLED_S <= present
        midnight = datetime.combine(day + timedelta(days=1), time.min, chart.zone)
        return midnight.timestamp() + _SETTLED_S <= present

    return rows.with_columns(
        stamp=pl.col("day").cast(pl.Datetime).dt.epoch("s"),
        is_final=pl.Series(map(is_final, rows["day"]), dtype=pl.Boolean),
    )


def _merged(rows: pl.DataFrame, by: Sequence[str], known: pl.Expr) -> pl.DataFrame:
    return rows.group_by(by, maintain_order=True).agg(
        pl.col("open").first(), pl.col("high").max(), pl.col("low").min(), pl.col("close").last(), volume=known
    )


def _trading_date(stamp: int, zone: ZoneInfo, *, is_live: bool = False) -> date:
    """The date in the venue's zone of a day's row or event.

    Around a change of clocks Yahoo stamps midnight as 22:00 or 23:00 of the evening before (yfinance mends it so
    too); a live row's stamp is that of a trade.
    """
    local = datetime.fromtimestamp(stamp, UTC).astimezone(zone)
    if local.hour >= _NIGHT and local.minute == local.second == 0 and not is_live:
        local += timedelta(hours=2)
    return local.date()


def _sessions(periods: Any) -> pl.DataFrame:
    """The regular sessions, ascending."""
    regular = periods["regular"] if isinstance(periods, Mapping) else periods
    flat: Iterable[Mapping[str, int]] = chain.from_iterable(regular)
    ends = {int(period["start"]): _end(period) for period in flat}
    frame = pl.DataFrame({"start": list(ends), "end": list(ends.values())}, schema={"start": pl.Int64, "end": pl.Int64})
    return frame.sort("start")


def _end(period: Mapping[str, int]) -> int:
    """The end of a session: a whole day's is told as 23:59, and its last minute is traded in."""
    return -(-period["end"] // 300) * 300
