"""Webhooks: signed as Standard Webhooks has it, and sent to nothing that is not on the public internet."""

import asyncio
import base64
import hmac
import ipaddress
import socket
import time
from collections.abc import Callable, Collection
from typing import Final
from uuid import UUID

import aiohttp
import orjson
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from db.deliveries import Outgoing
from jobs.deliver import Undeliverable

TIMEOUT_S: Final = 10.0
_GONE: Final = 410

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Addresses of IPv6 that lead to one of IPv4: NAT64 (RFC 6052, 8215), 6to4, Teredo.
_GATEWAYS: Final = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")))

# What the registries keep for themselves and Python 3.11 takes for public in part.
_RESERVED: Final = tuple(map(ipaddress.IPv4Network, ("192.0.0.0/24", "192.88.99.0/24")))


def is_public(address: _Address) -> bool:
    """Whether a webhook may be sent there: not to us, not into our networks, not to a cloud's metadata."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if any(address in network for network in _GATEWAYS) or address.is_site_local:
            return False
    elif any(address in network for network in _RESERVED):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


class PublicResolver(AbstractResolver):
    """Resolves a name once, and gives only what was vetted: the connection is made to that very address."""

    def __init__(self, allowed: Collection[str]) -> None:
        self._allowed = allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of the host. Raises Undeliverable where one of them is not public, OSError without any."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        results: list[ResolveResult] = []
        for kind, _, protocol, _, place in found:
            address = str(place[0])
            check(host, address, self._allowed)
            results.append(
                ResolveResult(
                    hostname=host, host=address, port=port, family=kind, proto=protocol, flags=socket.AI_NUMERICHOST
                )
            )
        return results

    async def close(self) -> None:
        """Nothing is held."""


def check(host: str, address: str, allowed: Collection[str]) -> None:
    """Raises Undeliverable unless the address of the host is public, or the host is one of the allowed."""
    if host.lower().rstrip(".") not in allowed and not is_public(ipaddress.ip_address(address.partition("%")[0])):
        raise Undeliverable(f"{host} is not on the public internet; nothing is sent there")


class Webhooks:
    """Posts messages to the URLs of alerts; redirects are not followed."""

    def __init__(self, key_of: Callable[[UUID], bytes], allowed: Collection[str] = ()) -> None:
        self._key_of = key_of
        self._allowed = frozenset(allowed)

    async def send(self, message: Outgoing) -> None:
        """Post the message. Raises Undeliverable where nothing is sent to, or it is gone (410)."""
        if message.webhook_url is None:
            raise Undeliverable("the alert has no webhookUrl any more")
        url = URL(message.webhook_url)
        host = url.host or ""
        try:
            ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            pass  # a name, or a number that the system reads as an address: the resolver sees what becomes of it
        else:
            check(host, host, self._allowed)  # which no resolver is asked about
        body = _body(message)
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    resolver=PublicResolver(self._allowed), use_dns_cache=False, force_close=True
                ),
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            ) as session,
            session.post(url, data=body, headers=self._headers(message, body), allow_redirects=False) as response,
        ):
            if response.status == _GONE:
                raise Undeliverable("it answered 410: gone")
            if not response.ok or response.status >= 300:
                raise RuntimeError(f"it answered {response.status}")

    def _headers(self, message: Outgoing, body: bytes) -> dict[str, str]:
        told = str(int(time.time()))
        signed = b".".join((str(message.id).encode(), told.encode(), body))
        signature = base64.b64encode(hmac.digest(self._key_of(message.user_id), signed, "sha256")).decode()
        return {
            "Content-Type": "application/json",
            "User-Agent": "SmartFin",
            "webhook-id": str(message.id),
            "webhook-timestamp": told,
            "webhook-signature": f"v1,{signature}",
        }


def _body(message: Outgoing) -> bytes:
    return orjson.dumps(
        {
            "type": "alert.fired",
            "timestamp": message.fired_at,
            "data": {
                "eventId": str(message.event_id),  # those of asyncpg are of a type of its own
                "alertId": str(message.alert_id) if message.alert_id else None,
                "symbol": message.symbol,
                "value": message.value,
                "message": message.message,
            },
        },
        option=orjson.OPT_UTC_Z,
    )
