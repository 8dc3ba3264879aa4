import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from errors import SourceCannot, SourceFault
from market import Asset, AssetType, Provenance, Quote, ServedFrom
from sources.pairs import Pair, Pairs

NOW = datetime(2026, 1, 15, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)


def pair(symbol: str, *, named: str = "", tradable: bool = True) -> Pair:
    currency = symbol.partition("-")[2]
    asset = Asset(
        symbol=symbol,
        name=symbol,
        type=AssetType.CRYPTO,
        market_code="CRYPTO",
        currency=currency,
        is_tradable=tradable,
    )
    name = named or symbol.replace("-", "")
    return Pair(asset, asked_as=name, answered_as=name, streamed_as=name)


def quote(symbol: str) -> Quote:
    told = Provenance(source="venue", served_from=ServedFrom.LIVE, received_at=NOW)
    return Quote(symbol=symbol, price=1.0, time=NOW, provenance=told)


class Venue:
    """Lists what a test says, and counts how often it is asked."""

    def __init__(self, *listed: Pair) -> None:
        self.listed = listed
        self.asked = 0
        self.now = NOW
        self.open = asyncio.Event()
        self.open.set()
        self.pairs = Pairs(self.list, lambda: self.now)

    async def list(self) -> tuple[Pair, ...]:
        self.asked += 1
        await self.open.wait()
        if not self.listed:
            raise SourceFault("out of order")
        return self.listed


async def test_a_listing_is_good_for_an_hour() -> None:
    venue = Venue(pair("BTC-USD"))
    assert list(await venue.pairs.listed()) == ["BTC-USD"]
    venue.listed = (pair("ETH-USD"),)
    venue.now = NOW + HOUR - timedelta(microseconds=1)
    assert list(await venue.pairs.listed()) == ["BTC-USD"]
    venue.now = NOW + HOUR
    assert list(await venue.pairs.listed()) == ["ETH-USD"]
    assert venue.asked == 2


async def test_a_pair_that_left_costs_the_others_one_more_question() -> None:
    stays, leaves, late = pair("BTC-USD"), pair("ETH-USD"), pair("ADA-USD")
    venue = Venue(stays, leaves, late)
    questions: list[list[str]] = []

    async def ask(pairs: Sequence[Pair]) -> dict[str, Quote]:
        symbols = [one.asset.symbol for one in pairs]
        questions.append(symbols)
        if "ETH-USD" in symbols:
            venue.listed = (stays, late)
            raise SourceCannot("there is no such pair")
        return {symbol: quote(symbol) for symbol in symbols}

    wanted = ["BTC-USD", "ETH-USD", "ADA-USD", "BTC-USD", "NONE-USD"]
    assert await venue.pairs.quotes(wanted, 2, ask) == {symbol: quote(symbol) for symbol in ("BTC-USD", "ADA-USD")}
    assert questions == [["BTC-USD", "ETH-USD"], ["ADA-USD"], ["BTC-USD", "ADA-USD"]]
    assert venue.asked == 2


async def test_what_no_listing_mends_is_raised() -> None:
    venue = Venue(pair("BTC-USD"))

    async def ask(pairs: Sequence[Pair]) -> dict[str, Quote]:
        raise SourceCannot("there is no such pair")

    with pytest.raises(SourceCannot):
        await venue.pairs.quotes(["BTC-USD"], 2, ask)
    assert venue.asked == 2


async def test_many_who_ask_at_once_share_one_listing() -> None:
    venue = Venue(pair("BTC-USD"))
    venue.open.clear()
    asking = [asyncio.create_task(venue.pairs.listed()) for _ in range(5)]
    await asyncio.sleep(0)
    asking[0].cancel()
    await asyncio.sleep(0)
    venue.open.set()
    assert [list(listed) for listed in await asyncio.gather(*asking[1:])] == [["BTC-USD"]] * 4
    assert venue.asked == 1


async def test_a_listing_that_fails_is_an_error_and_tried_again() -> None:
    venue = Venue()
    for _ in range(2):
        with pytest.raises(SourceFault):
            await venue.pairs.listed()
    assert venue.asked == 2


async def test_of_two_pairs_of_one_symbol_the_first_counts() -> None:
    venue = Venue(pair("BTC-USD", named="first"), pair("BTC-USD", named="second"))
    assert (await venue.pairs.listed())["BTC-USD"].asked_as == "first"


async def test_symbols_that_are_no_pairs_are_not_kept() -> None:
    spelled = ["BTC-USD", "BTC-U", "ÄTH-USD", "btc-usd", "A-B-USD", "ABCDEFGHIJKLMNOPQ-USD", "BTCUSD", "BTC-USD\n"]
    venue = Venue(*map(pair, spelled))
    assert list(await venue.pairs.listed()) == ["BTC-USD"]


async def test_the_likeliest_is_found_first() -> None:
    venue = Venue(
        pair("SOLV-USD"),
        pair("SOL-BTC"),
        pair("SOL-USD", named="XSOLZUSD"),
        pair("SOL-USDC", tradable=False),
        pair("SOL-USDT"),
        pair("WSOL-USD"),
    )
    search = venue.pairs.search
    ranked = ["SOL-USD", "SOL-USDT", "SOL-BTC", "SOL-USDC", "SOLV-USD"]
    assert [asset.symbol for asset in await search(" sol ", 10)] == ranked
    assert [asset.symbol for asset in await search("sol", 2)] == ranked[:2]
    assert [asset.symbol for asset in await search("sol/btc", 10)] == ["SOL-BTC"]
    assert [asset.symbol for asset in await search("xsolzusd", 10)] == ["SOL-USD"]
    assert await search("sol", 0) == []
