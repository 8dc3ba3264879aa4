"""What the sandbox lists: some sixty well-known symbols, and SIM001 to SIM999 for load tests."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from market import Asset, AssetType

VOLATILITY: Final = {
    AssetType.FOREX: 8,
    AssetType.INDEX: 15,
    AssetType.ETF: 17,
    AssetType.STOCK: 30,
    AssetType.CRYPTO: 65,
}
"""How much a price moves in a year, as the standard deviation of its returns in percent."""


# Compared and hashed by identity: a cache looks listings up on every tick.
@dataclass(frozen=True, slots=True, eq=False)
class Listing:
    """An asset with all that its make-believe trading needs.

    Prices count in ticks: one is `step` / `price_parts`. Volumes count in units: one is 1 / `volume_parts`.
    """

    asset: Asset
    price: int
    step: int
    price_parts: int
    daily_volume: int
    volume_parts: int
    lot: int

    def price_of(self, ticks: int) -> float:
        """A price as a number."""
        return ticks * self.step / self.price_parts

    @property
    def depth(self) -> int:
        """The least volume that waits at a bid or an ask: whole lots."""
        return max(self.lot, self.daily_volume // 500_000 // self.lot * self.lot)

    @property
    def volatility(self) -> int:
        """The percent of VOLATILITY."""
        return VOLATILITY[self.asset.type]

    @property
    def has_volume(self) -> bool:
        """False for an index: it has a level, but nothing trades, so it has no volume, bid or ask."""
        return self.daily_volume > 0


# Market code: exchange, currency, lot.
_VENUES: Final = {
    "XNAS": ("NASDAQ", "USD", 1),
    "XNYS": ("NYSE", "USD", 1),
    "ARCX": ("NYSE Arca", "USD", 1),
    "XHKG": ("HKEX", "HKD", 100),
    "XSHG": ("SSE", "CNY", 100),
    "XTKS": ("TSE", "JPY", 100),
    "XLON": ("LSE", "GBP", 1),
    "CRYPTO": ("Crypto", "USD", 1),
    "FOREX": ("Forex", "USD", 1000),
}

MARKETS: Final = frozenset(_VENUES)

# Symbol, name, market, price, tick size, shares of a day in thousands, market cap in billions, sector, industry.
_STOCKS: Final = (
    ("AAPL", "Apple Inc.", "XNAS", "230", "0.01", 50_000, 3_500, "Technology", "Consumer Electronics"),
    ("MSFT", "Microsoft Corporation", "XNAS", "420", "0.01", 20_000, 3_100, "Technology", "Software"),
    ("NVDA", "NVIDIA Corporation", "XNAS", "135", "0.01", 250_000, 3_300, "Technology", "Semiconductors"),
    ("AMZN", "Amazon.com, Inc.", "XNAS", "190", "0.01", 38_000, 2_000, "Consumer Cyclical", "Internet Retail"),
    ("GOOGL", "Alphabet Inc.", "XNAS", "168", "0.01", 25_000, 2_050, "Communication Services", "Internet Content"),
    (
        "META",
        "Meta Platforms, Inc.",
        "XNAS",
        "570",
        "0.01",
        13_000,
        1_450,
        "Communication Services",
        "Internet Content",
    ),
    ("TSLA", "Tesla, Inc.", "XNAS", "250", "0.01", 85_000, 800, "Consumer Cyclical", "Auto Manufacturers"),
    ("AVGO", "Broadcom Inc.", "XNAS", "175", "0.01", 22_000, 820, "Technology", "Semiconductors"),
    ("AMD", "Advanced Micro Devices, Inc.", "XNAS", "150", "0.01", 42_000, 243, "Technology", "Semiconductors"),
    ("INTC", "Intel Corporation", "XNAS", "23", "0.01", 70_000, 98, "Technology", "Semiconductors"),
    ("NFLX", "Netflix, Inc.", "XNAS", "720", "0.01", 3_500, 308, "Communication Services", "Entertainment"),
    ("BRK.B", "Berkshire Hathaway Inc.", "XNYS", "455", "0.01", 3_700, 980, "Financial Services", "Insurance"),
    ("JPM", "JPMorgan Chase & Co.", "XNYS", "222", "0.01", 9_000, 625, "Financial Services", "Banks"),
    ("V", "Visa Inc.", "XNYS", "290", "0.01", 6_500, 565, "Financial Services", "Credit Services"),
    ("JNJ", "Johnson & Johnson", "XNYS", "160", "0.01", 7_000, 385, "Healthcare", "Drug Manufacturers"),
    ("WMT", "Walmart Inc.", "XNYS", "82", "0.01", 15_000, 660, "Consumer Defensive", "Discount Stores"),
    ("KO", "The Coca-Cola Company", "XNYS", "66", "0.01", 14_000, 285, "Consumer Defensive", "Beverages"),
    ("XOM", "Exxon Mobil Corporation", "XNYS", "118", "0.01", 15_000, 520, "Energy", "Oil & Gas"),
    ("DIS", "The Walt Disney Company", "XNYS", "97", "0.01", 9_500, 176, "Communication Services", "Entertainment"),
    ("BA", "The Boeing Company", "XNYS", "155", "0.01", 9_000, 116, "Industrials", "Aerospace & Defense"),
    ("IBM", "International Business Machines", "XNYS", "215", "0.01", 4_000, 198, "Technology", "IT Services"),
    ("0700.HK", "Tencent Holdings Limited", "XHKG", "415", "0.2", 18_000, 3_850, "Communication Services", "Internet"),
    ("9988.HK", "Alibaba Group Holding Limited", "XHKG", "98", "0.05", 60_000, 1_860, "Consumer Cyclical", "Retail"),
    ("0005.HK", "HSBC Holdings plc", "XHKG", "69", "0.05", 20_000, 1_270, "Financial Services", "Banks"),
    ("600519.SS", "Kweichow Moutai Co., Ltd.", "XSHG", "1550", "0.01", 3_500, 1_950, "Consumer Defensive", "Beverages"),
    ("601318.SS", "Ping An Insurance Company", "XSHG", "55", "0.01", 75_000, 950, "Financial Services", "Insurance"),
    (
        "601398.SS",
        "Industrial and Commercial Bank",
        "XSHG",
        "6.1",
        "0.01",
        300_000,
        1_980,
        "Financial Services",
        "Banks",
    ),
    (
        "7203.T",
        "Toyota Motor Corporation",
        "XTKS",
        "2650",
        "1",
        25_000,
        36_000,
        "Consumer Cyclical",
        "Auto Manufacturers",
    ),
    ("6758.T", "Sony Group Corporation", "XTKS", "2800", "1", 14_000, 17_000, "Technology", "Consumer Electronics"),
    ("SHEL.L", "Shell plc", "XLON", "25.5", "0.005", 12_000, 158, "Energy", "Oil & Gas"),
    ("AZN.L", "AstraZeneca PLC", "XLON", "112", "0.01", 2_200, 174, "Healthcare", "Drug Manufacturers"),
    ("HSBA.L", "HSBC Holdings plc", "XLON", "6.9", "0.001", 25_000, 124, "Financial Services", "Banks"),
)

# Symbol, name, price, shares of a day in thousands, net assets in billions.
_ETFS: Final = (
    ("SPY", "SPDR S&P 500 ETF Trust", "575", 45_000, 590),
    ("QQQ", "Invesco QQQ Trust", "495", 32_000, 300),
    ("VTI", "Vanguard Total Stock Market ETF", "284", 3_000, 430),
    ("DIA", "SPDR Dow Jones Industrial Average ETF Trust", "425", 3_200, 37),
    ("IWM", "iShares Russell 2000 ETF", "222", 26_000, 68),
    ("EEM", "iShares MSCI Emerging Markets ETF", "45", 27_000, 18),
    ("GLD", "SPDR Gold Shares", "248", 7_000, 75),
    ("TLT", "iShares 20+ Year Treasury Bond ETF", "95", 38_000, 60),
)

# Symbol, name, market, level.
_INDICES: Final = (
    ("^GSPC", "S&P 500", "XNYS", "5750"),
    ("^DJI", "Dow Jones Industrial Average", "XNYS", "42500"),
    ("^IXIC", "NASDAQ Composite", "XNAS", "18300"),
    ("^RUT", "Russell 2000", "XNYS", "2220"),
    ("^HSI", "Hang Seng Index", "XHKG", "20600"),
    ("000001.SS", "SSE Composite Index", "XSHG", "3280"),
    ("^N225", "Nikkei 225", "XTKS", "39000"),
    ("^FTSE", "FTSE 100", "XLON", "8250"),
)

# Symbol, name, price, tick size, quote currency, units of the base currency in a day, in millions.
_FOREX: Final = (
    ("EURUSD=X", "EUR/USD", "1.085", "0.00001", "USD", 80_000),
    ("GBPUSD=X", "GBP/USD", "1.3", "0.00001", "USD", 45_000),
    ("AUDUSD=X", "AUD/USD", "0.66", "0.00001", "USD", 25_000),
    ("USDJPY=X", "USD/JPY", "150", "0.001", "JPY", 70_000),
    ("USDCAD=X", "USD/CAD", "1.38", "0.00001", "CAD", 26_000),
    ("USDCHF=X", "USD/CHF", "0.865", "0.00001", "CHF", 18_000),
    ("USDCNY=X", "USD/CNY", "7.12", "0.0001", "CNY", 30_000),
)

# Symbol, name, price, tick size, coins in a day, decimals of a coin, market cap in billions.
_CRYPTO: Final = (
    ("BTC-USD", "Bitcoin", "67000", "0.01", 30_000, 4, 1_320),
    ("ETH-USD", "Ethereum", "2650", "0.01", 500_000, 3, 320),
    ("BNB-USD", "BNB", "590", "0.01", 1_500_000, 3, 85),
    ("SOL-USD", "Solana", "168", "0.01", 6_000_000, 2, 79),
    ("XRP-USD", "XRP", "0.53", "0.0001", 1_200_000_000, 0, 30),
    ("ADA-USD", "Cardano", "0.35", "0.0001", 800_000_000, 0, 12),
    ("DOGE-USD", "Dogecoin", "0.14", "0.00001", 9_000_000_000, 0, 20),
)


def _listing(
    symbol: str,
    name: str,
    asset_type: AssetType,
    market: str,
    price: str,
    tick_size: str,
    *,
    daily_volume: int = 0,
    volume_decimals: int = 0,
    currency: str | None = None,
    market_cap_billions: int | None = None,
    sector: str | None = None,
    industry: str | None = None,
) -> Listing:
    exchange, venue_currency, lot = _VENUES[market]
    tick = Decimal(tick_size)
    decimals = len(tick_size.partition(".")[2])
    asset = Asset(
        symbol=symbol,
        name=name,
        type=asset_type,
        market_code=market,
        currency=currency or venue_currency,
        exchange=exchange,
        timezone="UTC",  # its sessions are the days of UTC, wherever the asset is at home
        company_name=name if asset_type is AssetType.STOCK else None,
        sector=sector,
        industry=industry,
        market_cap=None if market_cap_billions is None else market_cap_billions * 1e9,
        tick_size=float(tick),
        lot_size=lot,
        is_tradable=asset_type is not AssetType.INDEX,
    )
    return Listing(
        asset=asset,
        price=int(Decimal(price) / tick),
        step=int(tick.scaleb(decimals)),
        price_parts=10**decimals,
        daily_volume=daily_volume * 10**volume_decimals,
        volume_parts=10**volume_decimals,
        lot=lot,
    )


def _listings() -> list[Listing]:
    stocks = [
        _listing(
            symbol,
            name,
            AssetType.STOCK,
            market,
            price,
            tick,
            daily_volume=thousands * 1000,
            market_cap_billions=cap,
            sector=sector,
            industry=industry,
        )
        for symbol, name, market, price, tick, thousands, cap, sector, industry in _STOCKS
    ]
    etfs = [
        _listing(
            symbol,
            name,
            AssetType.ETF,
            "XNAS" if symbol == "QQQ" else "ARCX",
            price,
            "0.01",
            daily_volume=thousands * 1000,
            market_cap_billions=assets,
        )
        for symbol, name, price, thousands, assets in _ETFS
    ]
    indices = [
        _listing(symbol, name, AssetType.INDEX, market, level, "0.01") for symbol, name, market, level in _INDICES
    ]
    forex = [
        _listing(
            symbol,
            name,
            AssetType.FOREX,
            "FOREX",
            price,
            tick,
            daily_volume=millions * 1_000_000,
            currency=currency,
        )
        for symbol, name, price, tick, currency, millions in _FOREX
    ]
    crypto = [
        _listing(
            symbol,
            name,
            AssetType.CRYPTO,
            "CRYPTO",
            price,
            tick,
            daily_volume=coins,
            volume_decimals=decimals,
            market_cap_billions=cap,
        )
        for symbol, name, price, tick, coins, decimals, cap in _CRYPTO
    ]
    simulated = [
        _listing(
            f"SIM{number:03}",
            f"Simulated {number:03}",
            AssetType.STOCK,
            "XNAS",
            str(10 + number * 37 % 490),
            "0.01",
            daily_volume=1_000_000 + number * 7919 % 20_000_000,
            market_cap_billions=1 + number % 100,
        )
        for number in range(1, 1000)
    ]
    return [*stocks, *etfs, *indices, *forex, *crypto, *simulated]


LISTINGS: Final = {listing.asset.symbol: listing for listing in _listings()}
