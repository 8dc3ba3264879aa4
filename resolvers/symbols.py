"""Symbols as callers write them."""

from collections.abc import Sequence

from errors import InvalidSymbol, TooManySymbols
from market import Symbol, parse_symbol

MAX_SYMBOLS = 100


def checked_symbol(text: str) -> Symbol:
    """The symbol in our spelling. Raises InvalidSymbol."""
    try:
        return parse_symbol(text)
    except ValueError as error:
        raise InvalidSymbol(f'"{text[:40]}" is no symbol: {error}.', symbol=text[:40]) from None


def check_count(symbols: Sequence[str]) -> None:
    """Raises TooManySymbols where there are more than 100."""
    if len(symbols) > MAX_SYMBOLS:
        raise TooManySymbols(
            f"{len(symbols)} symbols were asked for; at most {MAX_SYMBOLS} go into one question.", limit=MAX_SYMBOLS
        )
