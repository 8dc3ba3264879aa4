"""The TradingView door, `/udf/…`: the HTTP protocol that the Charting Library's UDF adapter speaks.

As tradingview.com/charting-library-docs/latest/connecting_data/UDF has it; each answer is made of a GraphQL document.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from starlette.routing import BaseRoute, Route

from errors import InvalidInterval, InvalidLimit, InvalidSymbol, InvalidWindow, NoData, RequestError, SmartFinError
from gateway.answer import Answer, status_of
from gateway.door import Asked, DoorRoute, Nowhere, Parameter, fault_of
from gateway.execution import as_json
from gateway.negotiation import JSON
from gateway.running import Runner
from gateway.udf_words import KINDS, RESOLUTIONS, SPELLINGS, hours, step, zone
from live.markets import Markets
from market import AssetType, Interval
from resolvers.assets import MAX_PAGE
from resolvers.history import MAX_BARS
from resolvers.symbols import check_count

LOOK: Final = timedelta(days=366)
"""How far back and ahead holidays and other hours are told."""

SYMBOL: Final = """query UdfSymbol($symbol: Symbol!) {
  asset(symbol: $symbol) {
    symbol name type currency exchange timezone sector industry tickSize market { code timezone } quote { price }
  }
}"""

SEARCH: Final = """query UdfSearch($query: String!, $type: AssetType, $exchange: String, $limit: Int!) {
  assets(search: $query, type: $type, market: $exchange, first: $limit) {
    edges { node { symbol name type exchange } }
  }
}"""

HISTORY: Final = """query UdfHistory(
  $symbol: Symbol!, $interval: Interval!, $from: DateTime, $to: DateTime, $last: Int!
) {
  history(symbol: $symbol, interval: $interval, from: $from, to: $to, last: $last) {
    columns { t: epoch o: open h: high l: low c: close v: volume }
  }
}"""

ACTIONS: Final = """query UdfActions($symbol: Symbol!, $interval: Interval!, $from: DateTime!, $to: DateTime) {
  history(symbol: $symbol, interval: $interval, from: $from, to: $to) {
    splits { time numerator denominator } dividends { time amount currency }
  }
}"""

QUOTES: Final = """query UdfQuotes($symbols: [Symbol!]!) {
  quotes(symbols: $symbols) {
    symbol price change changePercent open high low previousClose volume bid ask
  }
}"""


def udf(runner: Runner) -> list[BaseRoute]:
    """The routes below `/udf`, the last of which takes all other paths."""
    routes = [
        Route(f"/{respond.__name__}", DoorRoute(runner, parameters, respond, refused, ignores_others=True))
        for respond, parameters in _ROUTES
    ]
    return [*routes, Route("/{path:path}", Nowhere(refused))]


def refused(error: SmartFinError) -> Answer:
    """An error in the words of the protocol."""
    otherwise = 400 if isinstance(error, RequestError) else 502
    return _told({"s": "error", "errmsg": str(error)}, status_of(error.code, otherwise))


async def config(asked: Asked) -> Answer:
    """What the door can do."""
    exchanges = [{"value": code, "name": code, "desc": name} for code, name in Markets.names.items()]
    types = [{"value": kind.value.lower(), "name": kind.value.capitalize()} for kind in AssetType]
    return _told(
        {
            "supports_search": True,
            "supports_group_request": False,
            "supports_marks": True,
            "supports_timescale_marks": True,
            "supports_time": True,
            "supported_resolutions": list(RESOLUTIONS),
            "exchanges": [{"value": "", "name": "All exchanges", "desc": ""}, *exchanges],
            "symbols_types": [{"value": "", "name": "All types"}, *types],
        }
    )


async def time(asked: Asked) -> Answer:
    """The server's time in seconds."""
    return Answer(str(int(datetime.now(UTC).timestamp())).encode(), "text/plain; charset=utf-8")


async def symbols(asked: Asked) -> Answer:
    """What the library must know of a symbol to draw it."""
    result, _ = await asked.ask(SYMBOL, {"symbol": asked.values["symbol"]})
    asset = (result.data or {}).get("asset")
    if asset is None:
        raise fault_of((result.errors or [])[0])
    kind, market = AssetType(asset["type"]), asset["market"]
    today = datetime.now(UTC).date()
    span = (today - LOOK, today + LOOK)
    sessions = await asked.context.world.markets.sessions(market["code"], *span) if market else None
    timezone = market["timezone"] if sessions is not None else asset["timezone"]
    open_hours = hours(sessions, timezone, *span)
    price = step(asset["tickSize"], kind, asset["quote"]["price"] if asset["quote"] else None)
    exchange = asset["exchange"] or (market["code"] if market else "")
    intraday = [resolution for resolution, interval in RESOLUTIONS.items() if interval.is_intraday]
    return _told(
        {
            "name": asset["symbol"],
            "ticker": asset["symbol"],
            "description": asset["name"],
            "type": KINDS[kind],
            "exchange": exchange,
            "listed_exchange": exchange,
            "timezone": zone(timezone),
            "session": open_hours.session,
            "session_holidays": open_hours.holidays,
            "corrections": open_hours.corrections,
            "minmov": price.minmov,
            "pricescale": price.pricescale,
            "minmov2": 0,
            "pointvalue": 1,
            "format": "price",
            "currency_code": asset["currency"],
            "sector": asset["sector"] or "",
            "industry": asset["industry"] or "",
            "has_intraday": True,
            "intraday_multipliers": intraday,
            "has_daily": True,
            "has_weekly_and_monthly": True,
            "supported_resolutions": list(RESOLUTIONS),
            "volume_precision": 0 if kind is AssetType.STOCK else 2,
            "data_status": "streaming",
        }
    )


async def search(asked: Asked) -> Answer:
    """The assets that are like the text."""
    values = asked.values
    variables = {name: values[name] for name in ("query", "type", "exchange", "limit")}
    result, _ = await asked.ask(SEARCH, variables)
    found = _answered(result, "assets")
    nodes = [edge["node"] for edge in found["edges"]]
    return _told(
        [
            {
                "symbol": node["symbol"],
                "ticker": node["symbol"],
                "full_name": node["symbol"],
                "description": node["name"],
                "exchange": node["exchange"] or "",
                "type": KINDS[AssetType(node["type"])],
            }
            for node in nodes
        ]
    )


async def history(asked: Asked) -> Answer:
    """The bars of [from, to), or `countback` of them before `to`, as columns; or where the last one before lies."""
    values = asked.values
    countback = values["countback"]
    variables = {
        "symbol": values["symbol"],
        "interval": values["resolution"],
        "from": None if countback else _text(values["from"]),
        "to": _text(values["to"]),
        "last": min(countback or MAX_BARS, MAX_BARS),
    }
    columns = await _columns(asked, variables)
    if columns is not None:
        return _told({"s": "ok", **columns})
    if countback or values["from"] is None:
        return _told({"s": "no_data"})
    before = await _columns(asked, {**variables, "from": None, "to": variables["from"], "last": 1})
    return _told({"s": "no_data", **({"nextTime": before["t"][0]} if before else {})})


async def _columns(asked: Asked, variables: Mapping[str, Any]) -> dict[str, Any] | None:
    """The columns; None where there are no bars."""
    result, _ = await asked.ask(HISTORY, variables)
    if result.errors and isinstance(fault_of(result.errors[0]), NoData):
        return None
    columns: dict[str, Any] = _answered(result, "history")["columns"]
    if None in columns["v"]:  # the protocol knows no volume that is not known
        del columns["v"]
    return columns


async def marks(asked: Asked) -> Answer:
    """Splits and dividends, on the bars."""
    found = await _actions(asked)
    return _told(
        {
            "id": [one["id"] for one in found],
            "time": [one["time"] for one in found],
            "color": [one["color"] for one in found],
            "text": [one["text"] for one in found],
            "label": [one["label"] for one in found],
            "labelFontColor": ["white"] * len(found),
            "minSize": [14] * len(found),
        }
    )


async def timescale_marks(asked: Asked) -> Answer:
    """Splits and dividends, on the axis of time."""
    found = await _actions(asked)
    return _told([{**one, "tooltip": [one["text"]]} for one in found])


async def _actions(asked: Asked) -> list[dict[str, Any]]:
    values = asked.values
    variables = {
        "symbol": values["symbol"],
        "interval": values["resolution"],
        "from": _text(values["from"]),
        "to": _text(values["to"]),
    }
    result, _ = await asked.ask(ACTIONS, variables)
    if result.errors and isinstance(fault_of(result.errors[0]), NoData):
        return []
    found = _answered(result, "history")
    splits = [
        (one["time"], "S", "blue", f"Split {one['numerator']:g}:{one['denominator']:g}") for one in found["splits"]
    ]
    dividends = [
        (one["time"], "D", "green", f"Dividend {one['amount']:g} {one['currency'] or ''}".strip())
        for one in found["dividends"]
    ]
    return [
        {"id": f"{label}{at}", "time": _epoch(at), "color": color, "label": label, "text": text}
        for at, label, color, text in sorted(splits + dividends)
    ]


async def quotes(asked: Asked) -> Answer:
    """The current quotes, in the order asked."""
    names: list[str] = asked.values["symbols"]
    result, _ = await asked.ask(QUOTES, {"symbols": [_ticker(name) for name in names]})
    if result.data is None:
        raise fault_of((result.errors or [])[0])
    faults = {error.path[1]: error.message for error in result.errors or () if error.path}
    return _told(
        {
            "s": "ok",
            "d": [
                {"s": "error", "n": name, "v": {}, "errmsg": faults.get(place, "")}
                if quote is None
                else {"s": "ok", "n": name, "v": _quote(quote)}
                for place, (name, quote) in enumerate(zip(names, result.data["quotes"], strict=True))
            ],
        }
    )


def _quote(quote: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a quote that are known, by the protocol's names."""
    bid, ask = quote["bid"], quote["ask"]
    told = {
        "short_name": quote["symbol"],
        "lp": quote["price"],
        "ch": quote["change"],
        "chp": quote["changePercent"],
        "open_price": quote["open"],
        "high_price": quote["high"],
        "low_price": quote["low"],
        "prev_close_price": quote["previousClose"],
        "volume": quote["volume"],
        "bid": bid,
        "ask": ask,
        "spread": None if bid is None or ask is None else round(ask - bid, 10),
    }
    return {name: value for name, value in told.items() if value is not None}


def _answered(result: Any, field: str) -> Any:
    """The field of a result. Raises why there is none."""
    if result.errors:
        raise fault_of(result.errors[0])
    return result.data[field]


def _told(answer: object, status: int = 200) -> Answer:
    return Answer(as_json(answer), JSON, status)


def _ticker(text: str) -> str:
    """The symbol of a name that may have its exchange in front."""
    return text.rpartition(":")[2]


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _epoch(at: str) -> int:
    return int(datetime.fromisoformat(at).timestamp())


def _named(text: str) -> str:
    if not text:
        raise InvalidSymbol("Name a symbol: symbol=AAPL.")
    return _ticker(text)


def _names(text: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    if not names:
        raise InvalidSymbol("Name the symbols: symbols=AAPL,MSFT.")
    check_count(names)
    return names


def _resolution(text: str) -> Interval:
    if text not in SPELLINGS:
        raise InvalidInterval(f'resolution is "{text[:40]}"; give one of {", ".join(RESOLUTIONS)}.')
    return SPELLINGS[text]


def _instant(name: str) -> Callable[[str], datetime]:
    def read(text: str) -> datetime:
        if not _SECONDS.fullmatch(text):
            raise InvalidWindow(f'{name} is "{text[:40]}"; give seconds since 1970.')
        return max(_EARLIEST, min(_LATEST, _EPOCH + timedelta(seconds=int(text))))

    return read


def _whole(name: str, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not _COUNT.fullmatch(text):
            raise InvalidLimit(f'{name} is "{text[:40]}"; give a whole number from 1 on.')
        return min(int(text), most)

    return read


def _kind(text: str) -> str | None:
    """The type of asset that is searched for; None: any."""
    if text.upper() in AssetType.__members__:
        return text.upper()
    return None


_SECONDS: Final = re.compile(r"-?\d{1,11}", re.ASCII)
_COUNT: Final = re.compile(r"0*[1-9]\d{0,8}", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST: Final = datetime(1800, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2999, 1, 1, tzinfo=UTC)

_SYMBOL: Final = Parameter("symbol", "A symbol, or EXCHANGE:SYMBOL.", {}, _named, "")
_RESOLUTION: Final = Parameter("resolution", "The length of a bar.", {}, _resolution, "1D")
_FROM: Final = Parameter("from", "Earliest opening instant, in seconds.", {}, _instant("from"))
_TO: Final = Parameter("to", "Latest opening instant, exclusive, in seconds; unless given, now.", {}, _instant("to"))
_WINDOW: Final = (
    _SYMBOL,
    Parameter("from", "Earliest opening instant, in seconds.", {}, _instant("from"), "0"),
    _TO,
    _RESOLUTION,
)
_COUNTBACK: Final = Parameter(
    "countback", "So many bars before `to`, whatever `from` is.", {}, _whole("countback", MAX_BARS)
)
_SEARCHED: Final = (
    Parameter("query", "What is typed.", {}, str, ""),
    Parameter("type", "A value of `symbols_types`.", {}, _kind),
    Parameter("exchange", "A value of `exchanges`.", {}, lambda text: text or None),
    Parameter("limit", "How many at most.", {}, _whole("limit", MAX_PAGE), "30"),
)
_ROUTES: Final = (
    (config, ()),
    (time, ()),
    (symbols, (_SYMBOL,)),
    (search, _SEARCHED),
    (history, (_SYMBOL, _FROM, _TO, _RESOLUTION, _COUNTBACK)),
    (marks, _WINDOW),
    (timescale_marks, _WINDOW),
    (quotes, (Parameter("symbols", "Symbols with commas.", {}, _names, ""),)),
)
