"""Markets: what phase each is in, now and as it changes."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from strawberry.types import Info

from errors import MarketNotFound
from market import Asset, Market
from resolvers.arguments import MarketCode
from resolvers.world import Context
from sources.calendar import MARKETS


async def market(info: Info[Context, None], code: MarketCode) -> Market:
    """The state of a market."""
    return await info.context.markets.load(checked_code(code))


async def markets(info: Info[Context, None]) -> Sequence[Market]:
    """The state of every market."""
    return await info.context.markets.load_many(MARKETS)


async def asset_market(root: Asset, info: Info[Context, None]) -> Market | None:
    """The state of the market that an asset trades on; None where nobody says which, or it has no calendar."""
    code = root.market_code
    if code is None or code not in MARKETS:
        return None
    return await info.context.markets.load(code)


async def live_market(info: Info[Context, None], code: MarketCode) -> AsyncGenerator[Market, None]:
    """The state of a market at once, then each that follows."""
    async with aclosing(await info.context.world.markets.changes(checked_code(code))) as states:
        async for state in states:
            yield state


def checked_code(code: str) -> str:
    """The code in our spelling. Raises MarketNotFound."""
    if (known := code.upper()) in MARKETS:
        return known
    raise MarketNotFound(f'There is no market "{code[:40]}"; {{ markets {{ code }} }} has all.', market=code[:40])
