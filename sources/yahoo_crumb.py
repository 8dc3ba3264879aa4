"""Yahoo's crumb: the word that its quotes want beside a cookie."""

import asyncio
import logging
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from errors import SourceBadAnswer, SourceTimeout, SourceUnreachable
from sources.http import Http

logger = logging.getLogger(__name__)

# Some 11 characters, like haT3oykhHqZ. Where Yahoo is asked too often it says so here, in as few words, under 200.
_SANE: Final = re.compile(r"[A-Za-z0-9._~/\\+=-]{1,32}")
_PAUSE: Final = timedelta(minutes=5)


class Crumb:
    """One cookie and its crumb, got at the first use and kept until they are refused.

    Where Yahoo hands out none it is not asked again for five minutes.
    """

    def __init__(self, http: Http, cookie_url: str, clock: Callable[[], datetime]) -> None:
        self._http = http
        self._cookie_url = cookie_url
        self._clock = clock
        self._value: str | None = None
        self._none_until: datetime | None = None
        self._getting = asyncio.Lock()

    async def get(self) -> str | None:
        """The crumb, or None where it cannot be had."""
        async with self._getting:
            if self._none_until is not None and self._clock() < self._none_until:
                return None
            if self._value is None:
                self._value = await self._new()
                if self._value is None:
                    self.give_up()
            return self._value

    def discard(self, refused: str) -> None:
        """Forget a crumb, and its cookie, that was refused, unless somebody has got a newer one since."""
        if self._value == refused:
            self._value = None
            self._http.session.cookie_jar.clear()

    def give_up(self) -> None:
        """Do without for a while."""
        self._none_until = self._clock() + _PAUSE
        logger.warning("yahoo: no crumb can be had; quotes come from the charts until %s", self._none_until)

    async def _new(self) -> str | None:
        try:
            await self._http.fetch(self._cookie_url)  # often a 404, but it sets the cookie
        except (SourceUnreachable, SourceTimeout, SourceBadAnswer):
            return None
        answer = await self._http.fetch("/v1/test/getcrumb")
        if answer.status != 200 or not _SANE.fullmatch(answer.text):
            return None
        self._http.hide(answer.text)
        return answer.text
