"""Massive's streams: one connection to each cluster, and the channels that tell a price there."""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from errors import (
    SourceLimited,
    SourceRefused,
    SourceTimeout,
)
from market import Provenance, Quote, venue
from sources.polygon_words import (
    MILLISECOND,
    instant,
    known,
    middle,
    native_symbol,
    provenance_of,
)
from sources.source import Demand

logger = logging.getLogger(__name__)

_CHANNELS: Final = {
    "stocks": ("T", "A", "AM"),
    "indices": ("V", "A", "AM"),
    "forex": ("C", "CAS", "CA"),
    "crypto": ("XT", "XAS", "XA"),
}
"""The channels of a cluster that tell a price, the best first: each print, bars of a second, bars of a minute."""
_REAL_TIME_ONLY: Final = ("forex", "crypto")
_PARAMS_PER_FRAME: Final = 100
_MAX_CONNECTIONS_S: Final = 600.0
_BAR_LENGTHS: Final = {
    **dict.fromkeys(("A", "XAS", "CAS"), timedelta(seconds=1)),
    **dict.fromkeys(("AM", "XA", "CA"), timedelta(minutes=1)),
}


def by_cluster(symbols: Iterable[str]) -> dict[str, dict[str, str]]:
    """By cluster, the topics of the symbols and what we call them."""
    topics: dict[str, dict[str, str]] = {}
    for symbol in symbols:
        if native := native_symbol(symbol):
            topics.setdefault(native.cluster, {})[native.topic] = symbol
    return topics


class Cluster:
    """The dialect of one connection to a cluster; what it subscribes to are channels, `T.AAPL`, not symbols.

    Of each symbol it asks for the best channel that the plan has: a refusal makes it ask for the next one. When none
    is left, the symbol is left out.
    """

    headers: Mapping[str, str] = {}
    messages_per_second = 10.0  # no limit is published

    def __init__(self, name: str, ws_url: str, key: str, clock: Callable[[], datetime]) -> None:
        # Only shares and indices have a delayed feed.
        root = ws_url.rstrip("/").replace("//delayed.", "//socket." if name in _REAL_TIME_ONLY else "//delayed.")
        self.url = f"{root}/{name}"
        self.is_ready = False
        self.channels = Demand()
        self._name = name
        self._key = key
        self._clock = clock
        self._is_delayed = "//delayed." in root
        self._topics: Mapping[str, str] = {}
        self._unanswered: deque[str] = deque()
        self._refused: set[str] = set()
        self._left_out: set[str] = set()
        self._printed: dict[str, Quote] = {}

    def want(self, topics: Mapping[str, str]) -> None:
        """Carry these topics, and what we call them, from now on."""
        self._topics = topics
        channels = set()
        for topic, symbol in topics.items():
            offered = [channel for kind in _CHANNELS[self._name] if (channel := f"{kind}.{topic}") not in self._refused]
            if offered:
                channels.add(offered[0])
                if self._name == "stocks":
                    channels |= {f"Q.{topic}"} - self._refused
            elif symbol not in self._left_out:
                self._left_out.add(symbol)
                logger.warning("polygon: the plan does not stream %s, it is left out", symbol)
        self.channels.set(channels)

    def hello(self) -> Sequence[str]:
        """The key."""
        return [_frame_text("auth", self._key)]

    def subscribe(self, symbols: Sequence[str]) -> Sequence[str]:
        """Frames of a hundred channels each; every channel is answered, in this order."""
        self._unanswered.extend(symbols)
        return _frames("subscribe", symbols)

    def unsubscribe(self, symbols: Sequence[str]) -> Sequence[str]:
        """Frames that give up the channels that we have."""
        return _frames("unsubscribe", [channel for channel in symbols if channel not in self._refused])

    def parse(self, frame: str) -> Sequence[Quote]:
        """The quotes in an array of events.

        [{"ev":"T","sym":"MSFT","x":4,"i":"12345","z":3,"p":114.125,"s":100,"c":[0,12],"t":1536036818784,"q":3681328}]
        [{"ev":"Q","sym":"MSFT","bx":4,"bp":114.125,"bs":100,"ax":7,"ap":114.128,"as":160,"t":1536036818784}]
        [{"ev":"AM","sym":"GTE","v":4110,"av":9470157,"op":0.4372,"vw":0.4488,"o":0.4488,"c":0.4486,"h":0.4489,
        "l":0.4486,"a":0.4352,"z":685,"s":1610144640000,"e":1610144700000}]
        [{"ev":"XT","pair":"BTC-USD","p":33021.9,"t":1610462007425,"s":0.01616617,"c":[2],"r":1610462007576}]
        [{"ev":"C","p":"USD/CNH","x":"44","a":6.83366,"b":6.83363,"t":1536036818784}]
        [{"ev":"V","val":3988.5,"T":"I:SPX","t":1678220098130}]
        [{"ev":"status","status":"auth_success","message":"authenticated"}]
        """
        provenance = provenance_of(self._clock(), is_delayed=self._is_delayed)
        quotes = []
        for event in orjson.loads(frame):
            kind = event["ev"]
            if kind == "status":
                self._heed(event["status"], str(event.get("message")))
            elif symbol := self._topics.get(_topic(event)):
                quote = self._book(event, symbol, provenance) if kind == "Q" else _print(event, symbol, provenance)
                if quote is not None:
                    self._printed[symbol] = quote
                    quotes.append(quote)
        return quotes

    def _book(self, event: Mapping[str, Any], symbol: str, provenance: Provenance) -> Quote | None:
        """The new bid and ask beside the last price; None before there is one."""
        last = self._printed.get(symbol)
        if last is None:
            return None
        return Quote(
            symbol=symbol,
            price=last.price,
            time=last.time,
            provenance=provenance,
            bid=known(event.get("bp")),
            ask=known(event.get("ap")),
            bid_size=known(event.get("bs")),
            ask_size=known(event.get("as")),
            currency=last.currency,
        )

    def _heed(self, status: str, message: str) -> None:
        match status:
            case "auth_success":
                self.is_ready = True
            case "auth_failed":
                raise SourceRefused("The stream of Massive does not accept the key; check POLYGON_API_KEY.")
            case "auth_timeout":
                raise SourceTimeout("The stream of Massive did not wait for the key.")
            case "max_connections":
                raise SourceLimited(
                    "Massive has as many connections of this account as it allows; another process has one.",
                    retry_after_s=_MAX_CONNECTIONS_S,
                )
            case "success":
                channel = message.removeprefix("subscribed to: ")
                if channel in self._unanswered:
                    self._unanswered.remove(channel)
            case "error" if self._unanswered:
                # It does not say which channel; but they are answered in order, and the others by name.
                self._refused.add(self._unanswered.popleft())
                self.want(self._topics)
            case "error":
                logger.warning("polygon: the stream reports an error: %s", message)


def _frame_text(action: str, params: str) -> str:
    return orjson.dumps({"action": action, "params": params}).decode()


def _frames(action: str, channels: Sequence[str]) -> list[str]:
    return [
        _frame_text(action, ",".join(channels[start : start + _PARAMS_PER_FRAME]))
        for start in range(0, len(channels), _PARAMS_PER_FRAME)
    ]


def _topic(event: Mapping[str, Any]) -> str:
    """What an event is about: the same key means different things in different events."""
    match event["ev"]:
        case "C":
            topic = event["p"]
        case "V":
            topic = event["T"]
        case kind:
            topic = event["pair" if kind in ("XT", "XAS", "XA", "CAS", "CA") else "sym"]
    is_currency = event["ev"] in ("C", "CAS", "CA")
    return str(topic).replace("-", "/") if is_currency else str(topic)


def _print(event: Mapping[str, Any], symbol: str, provenance: Provenance) -> Quote | None:
    """The price that an event tells, as a quote; None where it tells none."""
    bid = ask = volume = opening = last_size = None
    kind = event["ev"]
    if length := _BAR_LENGTHS.get(kind):
        price = known(event["c"])
        # The last instant within the bar: its end belongs to the next one.
        start = instant(event["s"])
        printed_at = max(start, (instant(event["e"]) if event.get("e") else start + length) - MILLISECOND)
        opening, volume = known(event.get("op")), known(event.get("av"))
    else:
        printed_at = instant(event["t"])
        if kind == "C":
            bid, ask = known(event["b"]), known(event["a"])
            price = middle(bid, ask)
        elif kind == "V":
            price = known(event["val"])
        else:
            price, last_size = known(event["p"]), known(event.get("s"))
    if price is None:
        return None
    return Quote(
        symbol=symbol,
        price=price,
        time=printed_at,
        provenance=provenance,
        open=opening,
        volume=volume,
        bid=bid,
        ask=ask,
        last_size=last_size,
        currency=venue(symbol).currency,
    )
