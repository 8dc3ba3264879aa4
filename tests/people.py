"""People, and the tokens that they show."""

import secrets
from datetime import timedelta

from db.database import Database
from db.sealing import token_key
from db.tokens import AccessTokens
from db.users import Account, UserStore
from gateway.auth import Authenticator
from people import Tier
from settings import Mode, load_settings

SECRET = "what the servers of the tests seal and sign with"


def tokens(mode: Mode = Mode.SANDBOX) -> AccessTokens:
    """What signs as the servers of the tests do."""
    return AccessTokens(token_key(load_settings(secret_key=SECRET, mode=mode)), mode)


def authenticator(database: Database) -> Authenticator:
    """What lets in whom a server on this database lets in."""
    return Authenticator(tokens(), UserStore(database))


async def person(database: Database, tier: Tier = Tier.REGISTERED) -> Account:
    """Somebody new."""
    return (await UserStore(database).enter(f"{secrets.token_hex(6)}@example.org", tier))[0]


def bearer(account: Account, lifetime_s: float = 3600) -> str:
    """What the person shows."""
    return f"Bearer {tokens().signed(account.id, timedelta(seconds=lifetime_s)).text}"
