"""The viewer's own account; signing up, in and out."""

from dataclasses import replace
from typing import Final

from strawberry.types import Info

from db.sessions import Session
from db.spending import Spent
from db.users import Account
from errors import EmailTaken, Forbidden, InvalidEmail, InvalidPassword, Unauthenticated, WrongCredentials
from people import parse_email
from resolvers.arguments import Email, Password, RefreshToken
from resolvers.world import Context

LEAST_CHARACTERS: Final = 12
MOST_CHARACTERS: Final = 256


async def me(info: Info[Context, None]) -> Account | None:
    """The account of the viewer, with the tier that counts; None for a guest."""
    viewer = info.context.viewer
    account = None if viewer.user_id is None else await info.context.world.users.get(viewer.user_id)
    return account and replace(account, tier=viewer.tier)


async def rate_limit(info: Info[Context, None]) -> Spent | None:
    """What this request has cost, and what is left of the viewer's budget; None where nobody has one."""
    return info.context.spent


async def sign_up(info: Info[Context, None], email: Email, password: Password) -> Session:
    """A session of a new account. Raises Forbidden, InvalidEmail, InvalidPassword, EmailTaken, TooManyAttempts."""
    world = info.context.world
    if not world.accounts.may_sign_up:
        raise Forbidden("Accounts are made by who runs this server.")
    address = _checked_email(email)
    if not LEAST_CHARACTERS <= len(password) <= MOST_CHARACTERS:
        raise InvalidPassword(f"A password has {LEAST_CHARACTERS} to {MOST_CHARACTERS} characters.")
    await world.accounts.attempts.sign_up(info.context.address)
    account = await world.users.sign_up(address, await world.accounts.passwords.hashed(password))
    if account is None:
        raise EmailTaken(f"{address} has an account; sign in.")
    return await world.accounts.sessions.begin(account)


async def sign_in(info: Info[Context, None], email: Email, password: Password) -> Session:
    """A new session. Raises InvalidEmail, WrongCredentials and TooManyAttempts."""
    world = info.context.world
    address = _checked_email(email)
    await world.accounts.attempts.sign_in(address, info.context.address)
    account, kept = await world.users.credentials(address) or (None, None)
    # Compared in any case: how long it takes does not tell who has an account.
    is_good = len(password) <= MOST_CHARACTERS and await world.accounts.passwords.match(kept, password)
    if account is None or not is_good or not account.is_active:
        raise WrongCredentials("No account has this e-mail address and this password.")
    await world.accounts.attempts.signed_in(address)
    return await world.accounts.sessions.begin(account)


async def refresh_session(info: Info[Context, None], refresh_token: RefreshToken) -> Session:
    """The session with new tokens. Raises Unauthenticated, in the same words whatever is wrong with the token."""
    session = await info.context.world.accounts.sessions.refresh(refresh_token)
    if session is None:
        raise Unauthenticated("The refresh token is not good: sign in again.")
    return session


async def sign_out(info: Info[Context, None], refresh_token: RefreshToken) -> bool:
    """Whether there was such a session; there is none now."""
    return await info.context.world.accounts.sessions.end(refresh_token)


def _checked_email(text: str) -> str:
    try:
        return parse_email(text.strip())
    except ValueError as error:
        raise InvalidEmail(f"{error}.") from None
