"""The keys of sources, sealed in `data_sources`: nothing that reads the table alone learns one."""

import logging
from collections.abc import Mapping
from functools import cached_property

from cryptography.fernet import Fernet, InvalidToken

from db.database import Database
from db.sealing import sealer
from settings import Settings

logger = logging.getLogger(__name__)

_SAVE = "UPDATE data_sources SET api_key_encrypted = $2, updated_at = now() WHERE name = $1"


class SourceKeys:
    """The key of each source that needs one, by the source's name."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings

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

    async def get(self) -> dict[str, str]:
        """The keys that are kept. One that was sealed with another secret is left out, and the log says so."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                "SELECT name, api_key_encrypted FROM data_sources WHERE api_key_encrypted IS NOT NULL"
            )
        keys = {}
        for name, sealed in rows:
            try:
                keys[name] = self._sealer.decrypt(sealed).decode()
            except InvalidToken:
                logger.warning("the stored key of %s was sealed with another SMARTFIN_SECRET_KEY: set it again", name)
        return keys
