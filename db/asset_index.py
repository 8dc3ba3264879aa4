"""Assets by what people type: symbols, beginnings of words of names, and either with typing mistakes."""

import re
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rapidfuzz import fuzz, process

from db.assets import AssetStore
from market import AssetType

FRESH_S: Final = 30.0
MOST_FOUND: Final = 200
_WORD: Final = re.compile(r"\w{3,}")
_LEAST_LIKENESS: Final = 70
"""Of 100, by letters in common order: `aple` is 89 like `apple`, `tesler` 73 like `tesla`, `zebra` 40."""


@dataclass(frozen=True, slots=True)
class _Entry:
    symbol: str
    name: str
    asset_type: str
    market: str | None


class AssetIndex:
    """Symbols and names of all known assets in memory, read anew when they may have changed.

    PostgreSQL could do this with pg_trgm, but the one that SmartFin runs itself does not have it.
    """

    def __init__(self, store: AssetStore) -> None:
        self._store = store
        self._entries: Sequence[_Entry] = ()
        self._read_at = -FRESH_S

    async def search(
        self,
        text: str,
        asset_type: AssetType | None,
        market: str | None,
        is_preferred: Callable[[str, str | None], bool] = lambda _type, _market: False,
    ) -> list[str]:
        """The symbols that are like the text, the likeliest first; MOST_FOUND at most.

        First the symbol itself, then symbols that begin so, then names with a word that begins so, each in the order of
        symbols; then what is alike though misspelt. Of what is equally like it, that of preferred types and markets
        comes first.
        """
        entries = [
            entry
            for entry in await self._current()
            if (asset_type is None or entry.asset_type == asset_type) and (market is None or entry.market == market)
        ]
        wanted = text.casefold()
        ranked: tuple[list[str], list[str], list[str]] = ([], [], [])
        for entry in entries:
            if entry.symbol.casefold() == wanted:
                ranked[0].append(entry.symbol)
            elif entry.symbol.casefold().startswith(wanted):
                ranked[1].append(entry.symbol)
            elif f" {wanted}" in f" {entry.name}":
                ranked[2].append(entry.symbol)
        alike = () if any(ranked) else _alike(wanted, entries)
        preferred = {entry.symbol for entry in entries if is_preferred(entry.asset_type, entry.market)}
        found = [
            symbol for rank in (*ranked, alike) for symbol in sorted(rank, key=lambda symbol: symbol not in preferred)
        ]
        return found[:MOST_FOUND]

    def outdated(self) -> None:
        """Have the next search read the assets anew."""
        self._read_at = -FRESH_S

    async def _current(self) -> Sequence[_Entry]:
        if time.monotonic() - self._read_at > FRESH_S:
            rows = await self._store.names()
            self._entries = [_Entry(symbol, name.casefold(), kind, market) for symbol, name, kind, market in rows]
            self._read_at = time.monotonic()
        return self._entries


def _alike(wanted: str, entries: Sequence[_Entry]) -> list[str]:
    """The symbols of which the symbol, the name, or a word of the name is like the text; the likeliest first."""
    meant: defaultdict[str, list[str]] = defaultdict(list)
    for entry in entries:
        for phrase in {entry.symbol.casefold(), entry.name, *_WORD.findall(entry.name)}:
            meant[phrase].append(entry.symbol)
    alike = process.extract(wanted, meant.keys(), scorer=fuzz.ratio, score_cutoff=_LEAST_LIKENESS, limit=MOST_FOUND)
    return list(dict.fromkeys(symbol for phrase, _, _ in alike for symbol in meant[phrase]))
