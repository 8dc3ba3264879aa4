"""E-mails by SMTP."""

from email.message import EmailMessage
from typing import Final
from urllib.parse import unquote, urlsplit

import aiosmtplib

from db.deliveries import Outgoing
from jobs.deliver import Undeliverable

TIMEOUT_S: Final = 15.0
_PERMANENT: Final = range(500, 600)


class Mail:
    """A mail server by its URL: `smtps` speaks TLS at once, `smtp` by STARTTLS, always where there is a password."""

    def __init__(self, url: str, sender: str) -> None:
        parts = urlsplit(url)
        is_tls = parts.scheme == "smtps"
        self._sender = sender
        self._host = parts.hostname or "localhost"
        self._port = parts.port or (465 if is_tls else 587)
        self._user = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password) if parts.password else None
        self._is_tls = is_tls
        self._start_tls = False if is_tls else (True if self._user else None)  # None: where the server offers it

    async def send(self, message: Outgoing) -> None:
        """Hand the message to the mail server. Raises Undeliverable where it refuses the address for good."""
        mail = EmailMessage()
        mail["From"] = self._sender
        mail["To"] = message.email
        mail["Subject"] = message.message
        mail["Message-ID"] = f"<{message.id}@smartfin>"
        at = f"{message.fired_at:%Y-%m-%d %H:%M:%S} UTC"
        mail.set_content(f"{message.message}\n\nAt {at}. Event {message.event_id}.\n")
        try:
            await aiosmtplib.send(
                mail,
                hostname=self._host,
                port=self._port,
                username=self._user,
                password=self._password,
                use_tls=self._is_tls,
                start_tls=self._start_tls,
                timeout=TIMEOUT_S,
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            if all(refused.code in _PERMANENT for refused in error.recipients):
                raise Undeliverable(f"the mail server refuses {message.email}: {error.recipients[0].message}") from None
            raise
