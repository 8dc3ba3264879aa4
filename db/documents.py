"""Texts of GraphQL documents, shared by all processes: what the operator published, and what clients sent by hash."""

from collections.abc import Awaitable, Mapping
from hashlib import sha256
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from db.redis import Keys
from errors import StoreUnavailable

MAX_PERSISTED = 1000
"""Texts that clients may have sent; one more drops any other, which is then sent again when it is wanted."""


def document_hash(text: str) -> str:
    """SHA-256 of the text in UTF-8, 64 hexadecimal digits, as Apollo's clients compute it."""
    return sha256(text.encode()).hexdigest()


class DocumentStore:
    """Documents by id and by hash. Every call raises StoreUnavailable when Redis does not answer."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def published(self, document_id: str) -> str | None:
        """The text that was published under the id, or under `sha256:` and its hash."""
        return _text(await _answered(self._redis.hget(self._keys.published, document_id)))

    async def publish(self, texts: Mapping[str, str]) -> None:
        """Keep the texts by id, for good, beside what was published before."""
        mapping: dict[Any, Any] = dict(texts)
        mapping |= {f"sha256:{document_hash(text)}": text for text in texts.values()}
        await _answered(self._redis.hset(self._keys.published, mapping=mapping))

    async def persisted(self, sha256_hash: str) -> str | None:
        """The text that a client sent with its hash."""
        return _text(await _answered(self._redis.hget(self._keys.persisted, sha256_hash)))

    async def persist(self, sha256_hash: str, text: str) -> None:
        """Keep a client's text; never more than 1000 of them."""
        await _answered(self._redis.hset(self._keys.persisted, sha256_hash, text))
        while await _answered(self._redis.hlen(self._keys.persisted)) > MAX_PERSISTED:
            dropped = await _answered(self._redis.hrandfield(self._keys.persisted))
            if dropped is not None:
                await _answered(self._redis.hdel(self._keys.persisted, dropped))


async def _answered(command: Awaitable[Any]) -> Any:
    try:
        return await command
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreUnavailable("Redis does not answer; try again.") from error


def _text(stored: bytes | None) -> str | None:
    return None if stored is None else stored.decode()
