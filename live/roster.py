"""Which sources are asked, and in what order: as the settings have them, and as admins have changed that since."""

import asyncio
import logging
from collections.abc import Mapping

import logs
from db.budgets import RedisBudget
from db.source_keys import SavedSource, SourceKeys
from errors import StoreUnavailable
from live.tending import is_ending
from settings import Mode, Settings
from sources.catalog import SOURCES
from sources.router import Router
from sources.source import Source

logger = logging.getLogger(__name__)

LOOK_S = 2.0


class Roster:
    """Has the router of this process ask the sources as they are saved, whichever process has saved them."""

    def __init__(
        self, settings: Settings, saved: SourceKeys, budgets: Mapping[str, RedisBudget], router: Router
    ) -> None:
        self._settings = settings
        self._saved = saved
        self._budgets = budgets
        self._router = router
        self._keys: dict[str, str | None] = dict(settings.api_keys)
        self._looking = asyncio.Lock()

    @property
    def kinds(self) -> list[type[Source]]:
        """The sources that the settings do not leave out."""
        is_sandbox = self._settings.mode is Mode.SANDBOX
        return [kind for kind in SOURCES[self._settings.mode] if is_sandbox or self._settings.allows(kind.name)]

    def takes_no_key(self, name: str) -> str | None:
        """Why no key may be saved for the source; None if one may."""
        if (variable := self._settings.key_variable(name)) is None:
            return f"{name} needs none"
        return f"{variable} is set in the environment, and counts" if name in self._settings.api_keys else None

    async def run(self) -> None:
        """Look every LOOK_S until cancelled."""
        while not is_ending():
            await asyncio.sleep(LOOK_S)
            try:
                await self.look()
            except StoreUnavailable as error:
                logger.warning("changes of sources are seen later: %s", error)

    async def look(self) -> None:
        """See to what has changed since the last time. Raises StoreUnavailable."""
        async with self._looking:
            saved = await self._saved.saved()
            settings = self._settings.with_api_keys({name: one.key for name, one in saved.items() if one.key})
            logs.hide(*settings.secrets)
            off: dict[str, str] = {}
            for kind in self.kinds:
                one = saved.get(kind.name, SavedSource())
                if one.key != self._keys.get(kind.name):
                    if (source := kind.opened(settings, self._budgets[kind.name])) is not None:
                        await self._router.put(source)
                    self._keys[kind.name] = one.key
                if not one.is_active:
                    off[kind.name] = "an admin has switched it off"
                elif settings.key_variable(kind.name) and kind.name not in settings.api_keys:
                    off[kind.name] = "it has no key"
            self._router.arrange(off, {name: one.priority for name, one in saved.items() if one.priority is not None})
