"""What is saved of sources in `data_sources`: what admins have chosen, and the keys, which the table has sealed."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from cryptography.fernet import Fernet, InvalidToken

from db.database import Database
from db.sealing import sealer
from settings import Settings

logger = logging.getLogger(__name__)

_SAVE = "UPDATE data_sources SET api_key_encrypted = $2, updated_at = now() WHERE name = $1"


_CHANGE = """
    UPDATE data_sources SET is_active = COALESCE($2, is_active), chosen_priority = COALESCE($3, chosen_priority),
        updated_at = now()
    WHERE name = $1
"""


@dataclass(frozen=True, slots=True)
class SavedSource:
    """What is saved of a source; `priority` is what an admin has chosen, if he has."""

    key: str | None = None
    is_active: bool = True
    priority: int | None = None


class SourceKeys:
    """What is saved of each source, by its name."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._told: set[tuple[str, str]] = set()

    @cached_property
    def _sealer(self) -> Fernet:
        # Not before there is a key to seal: who has none needs no folder for the secret.
        return sealer(self._settings)

    async def save(self, keys: Mapping[str, str | None]) -> None:
        """Keep these keys, of sources that are entered; None forgets one. What is kept already is not written anew."""
        held = await self.get()
        rows = [
            (name, key and self._sealer.encrypt(key.encode()).decode())
            for name, key in keys.items()
            if key != held.get(name)
        ]
        if rows:
            async with self._database.connection() as connection:
                await connection.executemany(_SAVE, rows)

    async def change(self, name: str, is_active: bool | None, priority: int | None) -> None:
        """Keep these choices for a source that is entered; what is None stays as it was."""
        async with self._database.connection() as connection:
            await connection.execute(_CHANGE, name, is_active, priority)

    async def get(self) -> dict[str, str]:
        """The keys that are kept. One that was sealed with another secret is left out, and the log says so."""
        return {name: one.key for name, one in (await self.saved()).items() if one.key is not None}

    async def saved(self) -> dict[str, SavedSource]:
        """What is saved of each source that is entered; its key as `get` has it."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                "SELECT name, api_key_encrypted, is_active, chosen_priority FROM data_sources"
            )
        return {name: SavedSource(self._opened(name, sealed), active, chosen) for name, sealed, active, chosen in rows}

    def _opened(self, name: str, sealed: str | None) -> str | None:
        if sealed is None:
            return None
        try:
            return self._sealer.decrypt(sealed).decode()
        except InvalidToken:
            if (name, sealed) not in self._told:
                logger.warning("the stored key of %s was sealed with another SMARTFIN_SECRET_KEY: set it again", name)
                self._told.add((name, sealed))
            return None
