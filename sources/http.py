"""The HTTP of a source: asks within the budget, and is the only place that turns a status into an error."""

import asyncio
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import aiohttp
import orjson

from errors import (
    SmartFinError,
    SourceBadAnswer,
    SourceCannot,
    SourceError,
    SourceFault,
    SourceLimited,
    SourceRefused,
    SourceTimeout,
    SourceUnreachable,
)
from sources.source import Budget

logger = logging.getLogger(__name__)

TIMEOUT_S: Final = 10.0
MAX_BYTES: Final = 64 * 1024 * 1024
LOGGED_CHARS: Final = 500

Parsed = TypeVar("Parsed")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever its status: `json` is the decoded body, None where it is not JSON."""

    status: int
    headers: Mapping[str, str]
    text: str
    json: Any

    @property
    def retry_after_s(self) -> float | None:
        """What the header Retry-After says in seconds, where it does."""
        said = self.headers.get("Retry-After", "")
        return float(said) if said.isdecimal() else None


Judge = Callable[[Answer], SmartFinError | None]
"""A source's own reading of an answer: the error that it means, or None to go on by the status."""


class Http:
    """One source's connection pool, cookies, headers, budget and secrets.

    `judge` is asked first about every answer, whatever its status, since errors come under 200 and successes
    can look like errors. What it lets pass is judged by status, then must be JSON, then must suit the parser.
    """

    def __init__(
        self,
        source: str,
        base_url: str,
        budget: Budget,
        *,
        judge: Judge = lambda _answer: None,
        headers: Mapping[str, str] | None = None,
        secrets: Sequence[str] = (),
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.source = source
        self._base_url = base_url.rstrip("/")
        self._budget = budget
        self._judge = judge
        self._headers = dict(headers or {})
        self._hidden: tuple[re.Pattern[str], ...] = ()
        self.hide(*secrets)
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def get(
        self,
        path: str,
        parse: Callable[[Any], Parsed],
        params: Mapping[str, str | int | float] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        cost: int = 1,
    ) -> Parsed:
        """What `parse` makes of the JSON at a path (or, for another host, at a whole URL).

        Raises SourceError; where the parser stumbles over the shape, SourceBadAnswer, with the payload in the log.
        """
        answer = await self.fetch(path, params, headers=headers, cost=cost)
        error = self._judge(answer) or self._by_status(answer)
        if error is not None:
            raise error
        if answer.json is None:
            raise self.bad_answer(path, answer.text, "is not JSON")
        try:
            return parse(answer.json)
        except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as fault:
            what = f"has another shape ({type(fault).__name__}: {fault})"
            raise self.bad_answer(path, answer.text, what) from None  # the fault's own text may hold a key

    async def fetch(
        self,
        path: str,
        params: Mapping[str, str | int | float] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        cost: int = 1,
    ) -> Answer:
        """What comes back, whatever it is. Raises SourceLimited, SourceTimeout, SourceUnreachable, SourceBadAnswer."""
        await self._budget.take(cost)
        url = path if path.startswith(("http://", "https://")) else self._base_url + path
        try:
            async with asyncio.timeout(self._timeout_s):
                async with self.session.get(
                    url, params=params, headers={**self._headers, **(headers or {})}
                ) as response:
                    body = await response.content.read(MAX_BYTES + 1)
                    while len(body) <= MAX_BYTES and (more := await response.content.read(MAX_BYTES + 1 - len(body))):
                        body += more
        except TimeoutError:
            raise SourceTimeout(f"{self.source} did not answer within {self._timeout_s:g} s") from None
        except aiohttp.ClientPayloadError as error:
            raise SourceBadAnswer(f"{self.source} broke its answer off") from error
        except (aiohttp.ClientError, OSError) as error:
            # The text of aiohttp's errors may hold the URL, and with it a key.
            raise SourceUnreachable(f"{self.source} cannot be reached ({type(error).__name__})") from None
        if len(body) > MAX_BYTES:
            raise SourceBadAnswer(f"{self.source} answered more than {MAX_BYTES // 1024 // 1024} MiB")
        text = body.decode("utf-8", "replace")
        return Answer(response.status, response.headers, text, _json(body))

    def bad_answer(self, path: str, text: str, what: str) -> SourceBadAnswer:
        """The error for an answer that is not what it should be; logs the payload, without secrets."""
        path, what = path.partition("?")[0], self.scrubbed(what)
        logger.warning("%s: the answer of %s %s: %s", self.source, path, what, self.scrubbed(text)[:LOGGED_CHARS])
        return SourceBadAnswer(f"the answer of {self.source} {what}")

    def hide(self, *secrets: str) -> None:
        """Scrub these from now on, and no others."""
        self._hidden = tuple(_spellings(secret) for secret in secrets if secret)

    def scrubbed(self, text: str) -> str:
        """The text without our secrets."""
        for secret in self._hidden:
            text = secret.sub("***", text)
        return text

    @property
    def session(self) -> aiohttp.ClientSession:
        """The session, opened at the first use: it must be made within the running loop."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.CookieJar(unsafe=True),  # a base URL may be an address
                timeout=aiohttp.ClientTimeout(total=None),  # one outer deadline, see fetch
            )
        return self._session

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    def _by_status(self, answer: Answer) -> SourceError | None:
        status, source = answer.status, self.source
        if status in _LIMITED:
            return SourceLimited(f"{source} was asked too often (status {status})", retry_after_s=answer.retry_after_s)
        if status in _REFUSED:
            return SourceRefused(f"{source} refuses to answer (status {status})")
        if status >= _FAULT or status in _LATER:
            return SourceFault(f"{source} has a fault of its own (status {status})")
        if status >= _CALLER:
            return SourceCannot(f"{source} does not have that (status {status})")
        return None


_LIMITED: Final = (418, 429)
_REFUSED: Final = (401, 402, 403, 451)
_LATER: Final = (408, 413, 425, 499)
_CALLER: Final = 400
_FAULT: Final = 500


def _spellings(secret: str) -> re.Pattern[str]:
    """What matches the secret as it is, and as it may stand in a URL: an upstream may show us what we asked."""
    characters = (char if char.isalnum() else f"(?:{re.escape(char)}|%{ord(char):02X})" for char in secret)
    return re.compile("".join(characters), re.IGNORECASE)


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
