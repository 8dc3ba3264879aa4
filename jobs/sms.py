"""SMS through whatever gateway takes them by HTTP."""

from typing import Final

import aiohttp

from db.deliveries import Outgoing
from jobs.deliver import Undeliverable

TIMEOUT_S: Final = 10.0


class Sms:
    """Posts `{"to": …, "text": …}` to the gateway; the header Idempotency-Key tells an SMS that is sent again."""

    def __init__(self, url: str, key: str | None) -> None:
        self._url = url
        self._authorization = {"Authorization": f"Bearer {key}"} if key else {}

    async def send(self, message: Outgoing) -> None:
        """Hand the message to the gateway."""
        if message.phone is None:
            raise Undeliverable("the alert has no phone any more")
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as session,
            session.post(
                self._url,
                json={"to": message.phone, "text": message.message},
                headers={"Idempotency-Key": str(message.id), **self._authorization},
                allow_redirects=False,
            ) as response,
        ):
            if response.status >= 300:
                raise RuntimeError(f"the SMS gateway answered {response.status}")
