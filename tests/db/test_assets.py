"""What is kept of assets, and how they are found."""

from dataclasses import replace
from datetime import date

import pytest

from db import assets
from db.asset_index import AssetIndex
from db.assets import AssetStore
from db.database import Database
from market import Asset, AssetType

FULL = Asset(
    symbol="0700.HK",
    name="Tencent",
    type=AssetType.STOCK,
    market_code="XHKG",
    currency="HKD",
    exchange="Hong Kong",
    timezone="Asia/Hong_Kong",
    company_name="Tencent Holdings Ltd",
    sector="Communication",
    industry="Internet",
    market_cap=4.123456789e12,
    tick_size=0.2,
    lot_size=100,
    is_active=False,
    is_tradable=False,
    delisting_date=date(2030, 1, 2),
    trading_hours={"open": "09:30"},
)


def asset(symbol: str, name: str, kind: AssetType = AssetType.STOCK, market: str | None = None) -> Asset:
    return Asset(symbol=symbol, name=name, type=kind, market_code=market, currency="USD")


LISTED = [
    asset("AAPL", "Apple Inc.", market="XNAS"),
    asset("APLE", "Apple Hospitality", market="XNYS"),
    asset("BTC-USD", "Bitcoin", AssetType.CRYPTO, "CRYPTO"),
    asset("MSFT", "Microsoft", market="XNAS"),
    asset("PQX", "100 Pure"),
    asset("PW", "back\\slash"),
    asset("P_X", "100% Pure"),
    asset("SPY", "The apple of all ETFs", AssetType.ETF, "XNAS"),
    asset("ZAPLE", "Pineapple"),
]


@pytest.fixture
def store(database: Database) -> AssetStore:
    return AssetStore(database)


@pytest.fixture
async def listed(store: AssetStore) -> AssetStore:
    await store.save(LISTED)
    return store


async def test_an_asset_comes_back_as_it_was(store: AssetStore) -> None:
    plain = asset("X", "Plain")
    await store.save([FULL, plain])
    await store.save([])
    assert await store.get(["X", "NOSUCH", "0700.HK"]) == {"0700.HK": FULL, "X": plain}
    assert await store.get([]) == {}


async def test_what_is_said_later_replaces_what_was_known(store: AssetStore) -> None:
    await store.save([FULL])
    later = replace(asset("0700.HK", "Other", AssetType.FUND), is_active=True)
    await store.save([later])
    assert await store.get(["0700.HK"]) == {"0700.HK": later}


async def test_names_are_those_of_all_in_the_order_of_symbols(listed: AssetStore) -> None:
    assert await listed.names() == [(asset.symbol, asset.name, asset.type, asset.market_code) for asset in LISTED]


FOUND: list[tuple[str, AssetType | None, str | None, list[str]]] = [
    ("aapl", None, None, ["AAPL"]),
    ("Z", None, None, ["ZAPLE"]),
    ("APPLE", None, None, ["AAPL", "APLE", "SPY"]),  # where a word begins with it; not within Pineapple
    ("apple", AssetType.ETF, None, ["SPY"]),
    ("apple", None, "XNAS", ["AAPL", "SPY"]),
    ("apple", AssetType.STOCK, "XNAS", ["AAPL"]),
    ("apple", None, "xnas", []),
    ("p", None, None, ["PQX", "PW", "P_X", "ZAPLE"]),  # beginnings of symbols before those of names
    ("pw", None, None, ["PW"]),
    ("of all", None, None, ["SPY"]),
    ("100%", None, None, ["P_X"]),
    ("100", None, None, ["PQX", "P_X"]),
    ("p_", None, None, ["P_X"]),
    ("back\\", None, None, ["PW"]),
    ("%", None, None, []),
    ("\\", None, None, []),
    ("(", None, None, []),
    ("microsfot", None, None, ["MSFT"]),  # a slip of the finger
]


async def test_a_search_finds_what_begins_with_it(listed: AssetStore) -> None:
    index = AssetIndex(listed)
    for text, kind, market, found in FOUND:
        assert await index.search(text, kind, market) == found, (text, kind, market)


async def test_a_new_asset_is_found_once_the_index_is_outdated(listed: AssetStore) -> None:
    index = AssetIndex(listed)
    assert await index.search("newcomer", None, None) == []
    await listed.save([asset("NEW", "Newcomer")])
    assert await index.search("newcomer", None, None) == []
    index.outdated()
    assert await index.search("newcomer", None, None) == ["NEW"]


PAGES: list[tuple[AssetType | None, str | None, list[str]]] = [
    (None, None, [asset.symbol for asset in LISTED]),
    (AssetType.CRYPTO, None, ["BTC-USD"]),
    (None, "XNAS", ["AAPL", "MSFT", "SPY"]),
    (AssetType.ETF, "XNAS", ["SPY"]),
    (AssetType.ETF, "XNYS", []),
]


async def test_pages_follow_each_other_in_the_order_of_symbols(listed: AssetStore) -> None:
    for kind, market, found in PAGES:
        seen: list[str] = []
        while True:
            after = seen[-1] if seen else None
            page = await listed.page([kind] if kind else [], [market] if market else [], 2, after)
            assert (page.total, page.has_previous) == (len(found), after is not None)
            seen += [asset.symbol for asset in page.assets]
            if not page.has_next:
                break
            assert len(page.assets) == 2
        assert seen == found
    beyond = await listed.page([], [], 4, "ZZZ")
    assert (beyond.assets, beyond.total, beyond.has_next, beyond.has_previous) == ([], len(LISTED), False, True)


async def test_the_currency_of_what_was_kept_or_read_lately_is_known_at_once(
    store: AssetStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assets, "_REMEMBERED", 2)
    await store.save([FULL, asset("X", "Plain")])
    assert [store.currency(symbol) for symbol in ("0700.HK", "X", "NOSUCH")] == ["HKD", "USD", None]
    later = AssetStore(database)
    assert later.currency("0700.HK") is None
    await later.get(["0700.HK"])
    assert later.currency("0700.HK") == "HKD"
    await store.save([asset("Y", "Third")])
    assert [store.currency(symbol) for symbol in ("0700.HK", "X", "Y")] == [None, "USD", "USD"]
