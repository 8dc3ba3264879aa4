"""Passwords: hashed with Argon2id (RFC 9106), off the event loop, a few at a time."""

import asyncio
import secrets
import unicodedata
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

AT_ONCE: Final = 2
"""Each takes 64 MiB and a core for a moment; the others wait for their turn."""

Result = TypeVar("Result")


class Passwords:
    """Hashes passwords and compares them, whoever they are said to belong to, in the same time."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="argon2")
        self._of_nobody = _unknown(self._hasher)

    async def hashed(self, password: str) -> str:
        """What is kept of the password."""
        return await self._off_the_loop(lambda: self._hasher.hash(_normal(password)))

    async def match(self, kept: str | None, password: str) -> bool:
        """Whether this was kept of the password; where nothing was, it takes as long to say no."""
        return await self._off_the_loop(lambda: self._is(kept or self._of_nobody, _normal(password)))

    def close(self) -> None:
        """Take no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _is(self, kept: str, password: str) -> bool:
        try:
            return self._hasher.verify(kept, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _off_the_loop(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _unknown(hasher: PasswordHasher) -> str:
    """The hash of no password that anybody knows, which costs as much to compare as any other."""
    salt, digest = (
        b64encode(secrets.token_bytes(size)).decode().rstrip("=") for size in (hasher.salt_len, hasher.hash_len)
    )
    return f"$argon2id$v=19$m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}${salt}${digest}"


def _normal(password: str) -> str:
    # The same letters typed on another keyboard are the same password (NIST SP 800-63B, 3.1.1.2).
    return unicodedata.normalize("NFKC", password)
