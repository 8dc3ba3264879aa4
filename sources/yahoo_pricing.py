"""Yahoo's stream: prices as protobuf, in base64, in JSON."""

import struct
from base64 import b64decode
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import orjson

from market import AssetType, Provenance, Quote, ServedFrom
from sources.yahoo_words import NAME, Unit, covers, in_full, may_be_minor, native_symbol, volume

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SIZES: Final = {_FIXED64: 8, _FIXED32: 4}


def _text(value: bytes) -> str:
    return value.decode()


def _float32(value: bytes) -> float:
    return float(struct.unpack("<f", value)[0])


def _zigzag(value: int) -> int:
    return (value >> 1) ^ -(value & 1)


# The fields of PricingData that we read: name, wire type, what makes a value of it.
_FIELDS: Final[Mapping[int, tuple[str, int, Callable[..., str | int | float]]]] = {
    1: ("id", _BYTES, _text),
    2: ("price", _FIXED32, _float32),
    3: ("time", _VARINT, _zigzag),  # milliseconds
    4: ("currency", _BYTES, _text),
    6: ("quote_type", _VARINT, int),
    7: ("market_hours", _VARINT, int),
    9: ("day_volume", _VARINT, _zigzag),
    10: ("day_high", _FIXED32, _float32),
    11: ("day_low", _FIXED32, _float32),
    15: ("open_price", _FIXED32, _float32),
    16: ("previous_close", _FIXED32, _float32),
    23: ("bid", _FIXED32, _float32),
    25: ("ask", _FIXED32, _float32),
    27: ("price_hint", _VARINT, _zigzag),
}
_KINDS: Final = {
    8: AssetType.STOCK,
    9: AssetType.INDEX,
    11: AssetType.FUND,
    14: AssetType.FOREX,
    18: AssetType.COMMODITY,
    20: AssetType.ETF,
    23: AssetType.COMMODITY,
    41: AssetType.CRYPTO,
}
_AFTER_HOURS: Final = (2, 3)  # POST and EXTENDED. PRE is 0, which proto3 does not send, so it looks like unsaid


def parse_pricing(message: bytes) -> dict[str, str | int | float]:
    """The fields of a PricingData that we read; a field that is absent, or 0, is left out.

    Raises ValueError where it is cut off or no protobuf. A recorded one, in base64:

    CgdCVEMtVVNEFYoMuUcYwLCVgIplIgNVU0QqA0NDQzApOAFFPWrEP0iAgOrxvANVx/25R12csrRHZYD8skR9/7i0R7ABgIDq8bwD2AEE4AGAgOrx
    vAPoAYCA6vG8A/IBA0JUQ4ECAAAAwPrjckGJAgAA2P5ZT3tC

    is BTC-USD at 94745.08 USD, 2025-01-10 11:39:00, of a coin (41), in regular hours (1).
    """
    fields: dict[str, str | int | float] = {}
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        value: int | bytes
        if wire == _VARINT:
            value, at = _varint(message, at)
        else:
            if wire == _BYTES:
                size, at = _varint(message, at)
            elif wire in _SIZES:
                size = _SIZES[wire]
            else:
                raise ValueError(f"no protobuf has the wire type {wire}")
            value = message[at : at + size]
            if len(value) != size:
                raise ValueError("the protobuf is cut off")
            at += size
        name, expected, made = _FIELDS.get(number, ("", -1, int))
        if wire == expected and (told := made(value)):
            fields[name] = told
    return fields


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """The number at a place, and the place after it."""
    value = shift = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise ValueError("the protobuf is cut off")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a varint is longer than 10 bytes")


class YahooDialect:
    """The streamer's second version. It confirms nothing, refuses nothing and has no heartbeats.

    `currencies` are Yahoo's codes by symbol of ours, as far as known: frames often lack it, and a price in London
    may be in pence or in pounds. Until the code of such a symbol is known, its ticks are passed over.
    """

    is_ready = True

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        currencies: MutableMapping[str, str],
        clock: Callable[[], datetime],
    ) -> None:
        self.url = f"{url.rstrip('/')}/?version=2"
        self.headers = {**headers, "Origin": "https://finance.yahoo.com"}
        self.messages_per_second = 5.0  # no limit is known
        self._currencies = currencies
        self._clock = clock
        self._asked: dict[str, set[str]] = {}
        self._newest: dict[str, int] = {}

    def hello(self) -> Sequence[str]:
        """Nothing: it lets anybody in."""
        return ()

    def subscribe(self, symbols: Sequence[str]) -> Sequence[str]:
        """One frame: {"subscribe":["AAPL","BRK-B"]}. It must be well-formed, or the venue hangs up."""
        known = [symbol for symbol in symbols if covers(symbol)]
        for symbol in known:
            self._asked.setdefault(in_full(native_symbol(symbol)), set()).add(symbol)
        return self._frames("subscribe", known)

    def unsubscribe(self, symbols: Sequence[str]) -> Sequence[str]:
        """One frame: {"unsubscribe":["AAPL"]}."""
        known = [symbol for symbol in symbols if covers(symbol)]
        for symbol in known:
            self._asked[in_full(native_symbol(symbol))].discard(symbol)
        return self._frames("unsubscribe", known)

    def parse(self, frame: str) -> Sequence[Quote]:
        """The tick in a frame, if it is of a symbol in demand, in regular hours, and not older than the one before.

        {"type":"pricing","message":"CgRBQVBMFQAAdUMYkJ/…"}

        The first after a subscription is a snapshot, which may be days old by its own time.
        """
        envelope = orjson.loads(frame)
        if envelope["type"] != "pricing":
            return ()
        told = parse_pricing(b64decode(envelope["message"], validate=True))
        native, milliseconds = in_full(str(told.get("id", ""))), int(told.get("time", 0))
        if not milliseconds or told.get("market_hours") in _AFTER_HOURS:
            return ()
        if milliseconds < self._newest.get(native, 0):
            return ()
        try:
            time = _EPOCH + timedelta(milliseconds=milliseconds)
        except OverflowError:
            raise ValueError(f"no calendar has the instant {milliseconds} ms") from None
        self._newest[native] = milliseconds
        quotes = (self._quote(symbol, told, time) for symbol in sorted(self._asked.get(native, ())))
        return [quote for quote in quotes if quote is not None]

    def _quote(self, symbol: str, told: Mapping[str, str | int | float], time: datetime) -> Quote | None:
        currency = told.get("currency") or self._currencies.get(symbol)
        if may_be_minor(symbol):
            if currency is None:
                return None
            self._currencies[symbol] = str(currency)
        unit = Unit.of(str(currency) if currency else None, int(told.get("price_hint", 0)))
        price = unit.price(told.get("price"))
        if price is None:
            return None
        counted = told.get("day_volume")
        return Quote(
            symbol=symbol,
            price=price,
            time=time,
            provenance=Provenance(
                source=NAME, served_from=ServedFrom.LIVE, received_at=self._clock(), flags=unit.flags
            ),
            open=unit.price(told.get("open_price")),
            high=unit.price(told.get("day_high")),
            low=unit.price(told.get("day_low")),
            previous_close=unit.price(told.get("previous_close")),
            volume=volume(_KINDS.get(int(told.get("quote_type", 0))), float(counted) if counted else None),
            bid=unit.price(told.get("bid")),
            ask=unit.price(told.get("ask")),
            currency=unit.currency,
        )

    def _frames(self, verb: str, symbols: Sequence[str]) -> Sequence[str]:
        natives = sorted({native_symbol(symbol) for symbol in symbols})
        return [orjson.dumps({verb: natives}).decode()] if natives else []
