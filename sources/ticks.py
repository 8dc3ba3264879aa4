"""Trades and the top of the book, which a crypto venue streams apart, joined into quotes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from msgspec import structs

from market import Asset, Provenance, Quote, ServedFrom


@dataclass(frozen=True, slots=True)
class Book:
    """The best bid and ask, and how much waits there; None where nothing does."""

    bid: float | None = None
    ask: float | None = None
    bid_size: float | None = None
    ask_size: float | None = None


@dataclass(slots=True)
class _Followed:
    asset: Asset
    book: Book = field(default_factory=Book)
    last: Quote | None = None


class Ticks:
    """The state of one connection: the pairs that it follows, by the venue's name, and what was last said of each.

    Every trade is a quote, with the book as it stood. A change of the book is one too, with the price and the time
    of the last trade but without its size, which is thus told once; before the first trade there is no price to tell.
    """

    def __init__(self, source: str, delay_seconds: float, clock: Callable[[], datetime]) -> None:
        self._source = source
        self._delay_seconds = delay_seconds
        self._clock = clock
        self._followed: dict[str, _Followed] = {}

    def follow(self, name: str, asset: Asset) -> None:
        """Begin with a pair."""
        self._followed[name] = _Followed(asset)

    def leave(self, name: str) -> None:
        """Forget a pair; what still comes of it is passed over."""
        self._followed.pop(name, None)

    def traded(self, name: str, price: float, size: float, time: datetime) -> Sequence[Quote]:
        """The quote that a trade makes; none of a pair that is not followed."""
        followed = self._followed.get(name)
        if followed is None:
            return ()
        quote = Quote(
            symbol=followed.asset.symbol,
            price=price,
            time=time,
            provenance=self._provenance(),
            last_size=size,
            currency=followed.asset.currency,
        )
        return (self._told(followed, quote),)

    def booked(self, name: str, book: Book) -> Sequence[Quote]:
        """The quote that a change of the book makes; none where nothing changed or nothing was traded yet."""
        followed = self._followed.get(name)
        if followed is None or followed.book == book:
            return ()
        followed.book = book
        if followed.last is None:
            return ()
        return (self._told(followed, structs.replace(followed.last, provenance=self._provenance(), last_size=None)),)

    def _told(self, followed: _Followed, quote: Quote) -> Quote:
        book = followed.book
        followed.last = structs.replace(
            quote, bid=book.bid, ask=book.ask, bid_size=book.bid_size, ask_size=book.ask_size
        )
        return followed.last

    def _provenance(self) -> Provenance:
        return Provenance(
            source=self._source,
            served_from=ServedFrom.LIVE,
            received_at=self._clock(),
            delay_seconds=self._delay_seconds,
        )
