"""What each user's webhooks are signed with."""

import base64
import hmac
from functools import cached_property
from uuid import UUID

from db.sealing import webhook_key
from settings import Settings


class WebhookSecrets:
    """A secret for each user, made of the server's: the same in all processes, and kept nowhere."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def _key(self) -> bytes:
        return webhook_key(self._settings)

    def key_of(self, user_id: UUID) -> bytes:
        """The 32 bytes that sign. Raises StartError where the data folder cannot hold the server's secret."""
        return hmac.digest(self._key, user_id.bytes, "sha256")

    def secret_of(self, user_id: UUID) -> str:
        """The same as text, as Standard Webhooks has it: `whsec_` and base64."""
        return f"whsec_{base64.b64encode(self.key_of(user_id)).decode()}"
