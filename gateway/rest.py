"""The REST door, `/api/market/…`: each route a GraphQL document of ours, its answer in an envelope."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from graphql import GraphQLError
from starlette.routing import BaseRoute, Route

from errors import (
    InvalidFromDate,
    InvalidInterval,
    InvalidLimit,
    InvalidParameter,
    InvalidSymbols,
    InvalidToDate,
    NotAcceptable,
    RateLimited,
    RequestError,
    SmartFinError,
)
from gateway.answer import Answer, status_of
from gateway.bar_files import FILES, FileFormat, bar_columns
from gateway.door import Asked, DoorRoute, Nowhere, Parameter, fault_of
from gateway.execution import as_json
from gateway.indicator_list import Wanted, indicator_fields, indicator_values, wanted_indicators
from gateway.negotiation import JSON, best_type
from gateway.running import Runner
from market import Adjustment, Interval, Provenance
from resolvers.history import MAX_BARS, is_settled, load_history
from resolvers.symbols import MAX_SYMBOLS, check_count
from schema.scalars import parse_instant

INTERVALS: Final = {
    "1m": Interval.M1,
    "5m": Interval.M5,
    "15m": Interval.M15,
    "30m": Interval.M30,
    "1h": Interval.H1,
    "4h": Interval.H4,
    "1d": Interval.D1,
    "1w": Interval.W1,
    "1M": Interval.MN1,
}
CHART_BARS: Final = 20
"""The newest bars that come with indicators, for a chart."""

# Without ageSeconds, which changes from one moment to the next: what is over has an answer that stays the same.
_PROVENANCE: Final = "provenance { source servedFrom receivedAt delaySeconds quality flags synthetic }"

REALTIME: Final = f"""query Realtime($symbols: [Symbol!]!) {{
  quotes(symbols: $symbols) {{
    symbol price change changePercent open high low previousClose volume turnover bid ask currency timestamp: time
    {_PROVENANCE}
  }}
}}"""

HISTORICAL: Final = f"""query Historical(
  $symbol: Symbol!, $interval: Interval!, $from: DateTime, $to: DateTime, $limit: Int!
) {{
  history(symbol: $symbol, interval: $interval, from: $from, to: $to, last: $limit) {{
    bars {{ timestamp: time open high low close volume vwap trades isFinal }}
    symbol count currency timezone adjustment {_PROVENANCE}
  }}
}}"""

INDICATORS: Final = f"""query Indicators($symbol: Symbol!, $interval: Interval!, $period: Int!) {{
  history(symbol: $symbol, interval: $interval, last: $period) {{
    columns {{ timestamp: time open high low close volume }}
    indicators {{ %s }}
    symbol count currency timezone adjustment {_PROVENANCE}
  }}
}}"""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A route below `/api`: what it is for, what it takes, the function that answers, and the document that it asks.

    `describe` makes the JSON Schemas of its data, and of each of its metadata, from that of what the document selects.
    """

    path: str
    summary: str
    parameters: Sequence[Parameter]
    respond: Callable[[Asked], Awaitable[Answer]]
    document: str
    describe: Callable[[dict[str, Any]], tuple[dict[str, Any], dict[str, Any]]]
    gives_files: bool = False


def api(runner: Runner, openapi: bytes) -> list[BaseRoute]:
    """The routes below `/api`, the last of which takes all other paths; `openapi` is the document of the others."""

    async def description(asked: Asked) -> Answer:
        return Answer(openapi, JSON)

    return [
        Route("/openapi.json", DoorRoute(runner, (), description, refused)),
        *(
            Route(endpoint.path, DoorRoute(runner, endpoint.parameters, endpoint.respond, refused))
            for endpoint in ENDPOINTS
        ),
        Route("/{path:path}", Nowhere(refused)),
    ]


def refused(error: SmartFinError) -> Answer:
    """The envelope of an error; its details join the code and the message."""
    told = {"message": str(error)} | error.extensions
    if isinstance(error, RateLimited):
        told["code"] = "RATE_LIMIT_EXCEEDED"
    otherwise = 400 if isinstance(error, RequestError) else 502
    return _enveloped({"success": False, "error": told}, status_of(error.code, otherwise))


async def realtime(asked: Asked) -> Answer:
    """The current quotes; the symbols without one are told in the metadata, unless no symbol has one."""
    result, _ = await asked.ask(REALTIME, {"symbols": asked.values["symbols"]})
    faults = [(error, fault_of(error)) for error in result.errors or ()]
    quotes = [quote for quote in (result.data or {}).get("quotes", ()) if quote is not None]
    if not quotes:
        raise faults[0][1]
    metadata: dict[str, Any] = {"count": len(quotes)}
    if faults:
        metadata["errors"] = [
            {"symbol": _symbol_at(error, asked), "code": fault.code, "message": str(fault)} for error, fault in faults
        ]
    return _succeeded(asked, quotes, metadata)


async def historical(asked: Asked) -> Answer:
    """The bars of a window, or the newest; as a file where one is asked for."""
    values = asked.values
    variables = {
        "symbol": values["symbol"],
        "interval": INTERVALS[values["interval"]],
        "from": _text(values["from"]),
        "to": _text(values["to"]),
        "limit": values["limit"],
    }
    file = _file_asked_for(asked)
    if file is not None:
        await asked.prepare(HISTORICAL, variables)
        return await _bars_as_file(asked, file)
    result, is_over = await asked.ask(HISTORICAL, variables)
    history = _found(result.data, result.errors)
    bars = as_json(history.pop("bars"))
    window = {name: variables[name] for name in ("from", "to") if variables[name]}
    answer = _succeeded(asked, orjson.Fragment(bars), {**history, "interval": values["interval"], **window})
    return asked.keep(answer, as_json(history) + bars) if is_over else answer


async def indicators(asked: Asked) -> Answer:
    """Indicators over the newest bars, each value aligned with `timestamps`; the last bars of these for a chart."""
    values = asked.values
    wanted: list[Wanted] = values["indicators"]
    variables = {
        "symbol": values["symbol"],
        "interval": INTERVALS[values["interval"]],
        "period": values["period"],
    }
    result, _ = await asked.ask(INDICATORS % indicator_fields(wanted), variables)
    history = _found(result.data, result.errors)
    columns = history.pop("columns")
    selected = history.pop("indicators")
    chart = zip(*(column[-CHART_BARS:] for column in columns.values()), strict=True)
    data = {
        "symbol": history["symbol"],
        "timestamps": columns["timestamp"],
        "indicators": [
            {"indicator": one.word, "params": one.params, "value": indicator_values(place, one, selected)}
            for place, one in enumerate(wanted)
        ],
        "priceData": [dict(zip(columns, bar, strict=True)) for bar in chart],
    }
    metadata = {**history, "interval": values["interval"], "count": len(wanted), "dataPoints": history["count"]}
    return _succeeded(asked, data, metadata)


async def _bars_as_file(asked: Asked, file: FileFormat) -> Answer:
    values = asked.values
    found = await load_history(
        asked.context.world,
        values["symbol"],
        INTERVALS[values["interval"]],
        values["from"],
        values["to"],
        values["limit"],
        Adjustment.SPLITS,
    )
    body = file.write(bar_columns(found.frame))
    answer = Answer(body, file.content_type, is_compressed=file.is_compressed)
    if values["to"] is not None and is_settled(found, values["to"]):
        answer = asked.keep(answer, body)
    name = f"{found.symbol}-{values['interval']}.{file.suffix}"
    answer.headers += [
        (b"content-disposition", f'attachment; filename="{name}"'.encode()),
        (b"x-provenance", orjson.dumps(_provenance(found.provenance))),
    ]
    return answer


def _provenance(provenance: Provenance) -> dict[str, object]:
    """What a file cannot say of itself, as JSON has it."""
    return {
        "source": provenance.source,
        "servedFrom": provenance.served_from,
        "receivedAt": _text(provenance.received_at),
        "delaySeconds": provenance.delay_seconds,
        "quality": provenance.quality,
        "flags": list(provenance.flags),
        "synthetic": provenance.synthetic,
    }


def _file_asked_for(asked: Asked) -> FileFormat | None:
    """The format that `format` names, else the one that the client takes best; None for JSON."""
    name = asked.values["format"]
    if name is not None:
        return FILES.get(name)
    media_type = best_type(asked.headers.get(b"accept"), _MEDIA_TYPES)
    if media_type is None:
        raise NotAcceptable(f"An answer is {', '.join(_MEDIA_TYPES)}.")
    return next((file for file in FILES.values() if file.media_type == media_type), None)


_Schema = dict[str, Any]
_MEDIA_TYPES: Final = (JSON, *(file.media_type for file in FILES.values()))


def _found(data: dict[str, Any] | None, errors: Sequence[GraphQLError] | None) -> dict[str, Any]:
    """The history, whole. Raises the first reason why it is not."""
    if errors:
        raise fault_of(errors[0])
    assert data is not None
    found: dict[str, Any] = data["history"]
    return found


def _symbol_at(error: GraphQLError, asked: Asked) -> str:
    assert error.path is not None
    symbol: str = asked.values["symbols"][error.path[1]]
    return symbol


def _succeeded(asked: Asked, data: Any, metadata: Mapping[str, Any]) -> Answer:
    spent = asked.context.spent
    told = {
        **metadata,
        "timestamp": _text(datetime.now(UTC)),
        "rateLimitRemaining": spent.remaining if spent is not None else None,
    }
    return _enveloped({"success": True, "data": data, "metadata": told})


def _enveloped(envelope: dict[str, Any], status: int = 200) -> Answer:
    return Answer(as_json(envelope), JSON, status)


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _symbols(text: str) -> list[str]:
    symbols = [symbol.strip() for part in text.split("/") for symbol in part.split(",") if symbol.strip()]
    if not symbols:
        raise InvalidSymbols("Name at least one symbol, such as /api/market/realtime/AAPL,MSFT.")
    check_count(symbols)
    return symbols


def _interval(text: str) -> str:
    if text not in INTERVALS:
        raise InvalidInterval(f'interval is "{text[:40]}"; give one of {", ".join(INTERVALS)}.')
    return text


def _instant(refuse: type[RequestError], name: str) -> Callable[[str], datetime]:
    def read(text: str) -> datetime:
        try:
            return parse_instant(text)
        except GraphQLError as error:
            raise refuse(f"{name}: {error.message}") from None

    return read


def _count(name: str) -> Callable[[str], int]:
    def read(text: str) -> int:
        if text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= MAX_BARS:
            return int(text)
        raise InvalidLimit(
            f'{name} is "{text[:40]}"; give a whole number from 1 to {MAX_BARS}.', minimum=1, maximum=MAX_BARS
        )

    return read


def _format(text: str) -> str:
    if text != "json" and text not in FILES:
        raise InvalidParameter(f'format is "{text[:40]}"; give one of json, {", ".join(FILES)}.', parameter="format")
    return text


_SYMBOL_SCHEMA: Final = {"type": "string", "pattern": "^[A-Za-z0-9._=^-]{1,20}$", "examples": ["AAPL"]}
_COUNT_SCHEMA: Final = {"type": "integer", "minimum": 1, "maximum": MAX_BARS, "default": 100}

SYMBOLS: Final = Parameter(
    "symbols",
    f"Up to {MAX_SYMBOLS} symbols with commas or slashes between them.",
    {"type": "array", "items": _SYMBOL_SCHEMA, "minItems": 1, "maxItems": MAX_SYMBOLS},
    _symbols,
    in_path=True,
    is_required=True,
)
SYMBOL: Final = Parameter("symbol", "A symbol.", _SYMBOL_SCHEMA, str, in_path=True, is_required=True)
INTERVAL: Final = Parameter(
    "interval",
    "The length of a bar: minutes, hours, days, weeks, months.",
    {"type": "string", "enum": list(INTERVALS), "default": "1d"},
    _interval,
    "1d",
)
FROM: Final = Parameter(
    "from",
    "Earliest opening instant, RFC 3339; a date is its midnight in UTC.",
    {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "format": "date"}]},
    _instant(InvalidFromDate, "from"),
)
TO: Final = Parameter(
    "to",
    "Latest opening instant, exclusive; unless given, now.",
    {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "format": "date"}]},
    _instant(InvalidToDate, "to"),
)
LIMIT: Final = Parameter(
    "limit", "How many bars at most, the newest of the window.", _COUNT_SCHEMA, _count("limit"), "100"
)
FORMAT: Final = Parameter(
    "format",
    "What the bars are given as; unless given, what `Accept` says.",
    {"type": "string", "enum": ["json", *FILES]},
    _format,
)
WANTED: Final = Parameter(
    "indicators",
    "Indicators with commas, each with its arguments behind colons in the order of its signature.",
    {"type": "string", "examples": ["sma:20,macd:12:26:9,bb:20:2"]},
    wanted_indicators,
    "",
    is_required=True,
)
PERIOD: Final = Parameter("period", "How many of the newest bars.", _COUNT_SCHEMA, _count("period"), "100")


def _describe_quotes(selected: _Schema) -> tuple[_Schema, _Schema]:
    quotes = selected["properties"]["quotes"]
    quote = {**quotes["items"], "type": "object"}
    fault = {"type": "object", "properties": {name: {"type": "string"} for name in ("symbol", "code", "message")}}
    without = {"type": "array", "items": fault, "description": "Why a symbol that was asked for has no quote."}
    return {**quotes, "items": quote}, {"count": {"type": "integer"}, "errors": without}


def _describe_bars(selected: _Schema) -> tuple[_Schema, _Schema]:
    history = selected["properties"]["history"]["properties"]
    instant = {"type": "string", "format": "date-time"}
    return history.pop("bars"), {**history, "interval": INTERVAL.schema, "from": instant, "to": instant}


def _describe_indicators(selected: _Schema) -> tuple[_Schema, _Schema]:
    history = selected["properties"]["history"]["properties"]
    columns = history.pop("columns")["properties"]
    history.pop("indicators")
    values = {"type": "array", "items": {"type": ["number", "null"]}}
    value = {"anyOf": [values, {"type": "object", "additionalProperties": values}]}
    indicator = {"indicator": {"type": "string"}, "params": {"type": "object"}, "value": value}
    bar = {name: column["items"] for name, column in columns.items()}
    data = {
        "symbol": history["symbol"],
        "timestamps": columns["timestamp"],
        "indicators": {"type": "array", "items": {"type": "object", "properties": indicator}},
        "priceData": {"type": "array", "items": {"type": "object", "properties": bar}},
    }
    metadata = {**history, "interval": INTERVAL.schema, "dataPoints": {"type": "integer"}}
    return {"type": "object", "required": list(data), "properties": data}, metadata


ENDPOINTS: Final = (
    Endpoint(
        "/market/realtime/{symbols:path}",
        "The current quotes of up to 100 symbols.",
        (SYMBOLS,),
        realtime,
        REALTIME,
        _describe_quotes,
    ),
    Endpoint(
        "/market/historical/{symbol}",
        "The bars of a window, or the newest.",
        (SYMBOL, INTERVAL, FROM, TO, LIMIT, FORMAT),
        historical,
        HISTORICAL,
        _describe_bars,
        gives_files=True,
    ),
    Endpoint(
        "/market/indicators/{symbol}",
        "Technical indicators over the newest bars.",
        (SYMBOL, WANTED, PERIOD, INTERVAL),
        indicators,
        INDICATORS % "sma",
        _describe_indicators,
    ),
)
