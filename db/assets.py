"""What is known of each symbol: kept, looked up, and searched by symbol and name."""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.dialects.postgresql import insert

from db import tables
from db.database import Database
from market import Asset, AssetType


@dataclass(frozen=True, slots=True)
class AssetPage:
    """A stretch of a longer list, ordered by symbol."""

    assets: Sequence[Asset]
    total: int
    has_next: bool
    has_previous: bool


_REMEMBERED = 10_000


class AssetStore:
    """The table `assets`; the currencies of those that were read or kept lately are in memory."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._currencies: OrderedDict[str, str] = OrderedDict()

    def currency(self, symbol: str) -> str | None:
        """That of an asset which was read or kept lately; None of another."""
        return self._currencies.get(symbol)

    async def save(self, assets: Iterable[Asset]) -> None:
        """Keep what is said of each asset, in place of what was known."""
        rows = [_row(asset) for asset in self._remembered(assets)]
        if not rows:
            return
        statement = insert(tables.Asset)
        replaced = {name: statement.excluded[name] for name in rows[0] if name != "symbol"}
        async with self._database.session() as session:
            await session.execute(
                statement.on_conflict_do_update(index_elements=["symbol"], set_={**replaced, "updated_at": func.now()}),
                rows,
            )

    async def get(self, symbols: Sequence[str]) -> dict[str, Asset]:
        """The known ones of the symbols."""
        async with self._database.session() as session:
            rows = await session.scalars(select(tables.Asset).where(_column("symbol").in_(symbols)))
            return {asset.symbol: asset for asset in self._remembered(map(_asset, rows))}

    async def names(self) -> Sequence[tuple[str, str, str, str | None]]:
        """Symbol, name, type and market of every asset, ordered by symbol."""
        columns = [_column(name) for name in ("symbol", "name", "asset_type", "market")]
        async with self._database.session() as session:
            rows = await session.execute(select(*columns).order_by(columns[0]))
            return [(row[0], row[1], row[2], row[3]) for row in rows]

    async def page(
        self, asset_types: Collection[AssetType], markets: Collection[str], first: int, after: str | None
    ) -> AssetPage:
        """The first `first` assets of these types on these markets (none: any) after `after`, ordered by symbol."""
        filters: list[ColumnElement[bool]] = []
        if asset_types:
            filters.append(_column("asset_type").in_([asset_type.value for asset_type in asset_types]))
        if markets:
            filters.append(_column("market").in_(markets))
        symbol = _column("symbol")
        beyond = [symbol > after] if after else []
        async with self._database.session() as session:
            total = await session.scalar(select(func.count()).select_from(tables.Asset).where(*filters))
            rows = list(
                await session.scalars(select(tables.Asset).where(*filters, *beyond).order_by(symbol).limit(first + 1))
            )
        return AssetPage(
            assets=[_asset(row) for row in rows[:first]],
            total=total or 0,
            has_next=len(rows) > first,
            has_previous=after is not None,
        )

    def _remembered(self, assets: Iterable[Asset]) -> Iterator[Asset]:
        for asset in assets:
            self._currencies[asset.symbol] = asset.currency
            self._currencies.move_to_end(asset.symbol)
            if len(self._currencies) > _REMEMBERED:
                self._currencies.popitem(last=False)
            yield asset


def _column(name: str) -> ColumnElement[str]:
    column: ColumnElement[str] = tables.Asset.__table__.c[name]  # type: ignore[attr-defined]
    return column


def _row(asset: Asset) -> dict[str, object]:
    return {
        "symbol": asset.symbol,
        "name": asset.name,
        "market": asset.market_code,
        "asset_type": asset.type.value,
        "currency": asset.currency,
        "exchange": asset.exchange,
        "timezone": asset.timezone,
        "company_name": asset.company_name,
        "sector": asset.sector,
        "industry": asset.industry,
        "market_cap": _decimal(asset.market_cap),
        "trading_hours": asset.trading_hours,
        "tick_size": _decimal(asset.tick_size),
        "lot_size": asset.lot_size,
        "is_active": asset.is_active,
        "is_tradable": asset.is_tradable,
        "delisting_date": asset.delisting_date,
    }


def _asset(row: tables.Asset) -> Asset:
    return Asset(
        symbol=row.symbol,
        name=row.name,
        type=AssetType(row.asset_type),
        market_code=row.market,
        currency=row.currency,
        exchange=row.exchange,
        timezone=row.timezone,
        company_name=row.company_name,
        sector=row.sector,
        industry=row.industry,
        market_cap=_number(row.market_cap),
        tick_size=_number(row.tick_size),
        lot_size=row.lot_size,
        is_active=row.is_active,
        is_tradable=row.is_tradable,
        delisting_date=row.delisting_date,
        trading_hours=row.trading_hours,
    )


def _decimal(number: float | None) -> Decimal | None:
    return None if number is None else Decimal(repr(number))


def _number(number: Decimal | None) -> float | None:
    return None if number is None else float(number)
