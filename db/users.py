"""Users: who they are, and what they may do."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import cast, select, update
from sqlalchemy.dialects.postgresql import JSONB, insert

from db import tables
from db.database import Database
from errors import Unauthenticated
from market import AssetType
from people import NotificationMethod, Tier


@dataclass(frozen=True, slots=True)
class Account:
    """What a user may do, and whether he may at all."""

    id: UUID
    email: str
    tier: Tier
    is_active: bool


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a user would like to see and how he would like to be told. No markets or asset types: all of them.

    `is_paced`: he has chosen the frequency himself.
    """

    notification_methods: tuple[NotificationMethod, ...] = (NotificationMethod.WEB,)
    update_frequency_seconds: int = 60
    markets: tuple[str, ...] = ()
    asset_types: tuple[AssetType, ...] = ()
    is_paced: bool = False

    def has(self, asset_type: str, market: str | None) -> bool:
        """Whether an asset is of a type and on a market that are named here, where any are."""
        is_of_type = not self.asset_types or asset_type in self.asset_types
        return is_of_type and (not self.markets or market in self.markets)


class UserStore:
    """The table `users`. E-mail addresses are as `people.parse_email` gives them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, user_id: UUID) -> Account | None:
        """The account of the user; None where there is none."""
        async with self._database.session() as session:
            row = await session.get(tables.User, user_id)
        return None if row is None else account_of(row)

    async def credentials(self, email: str) -> tuple[Account, str | None] | None:
        """The account of the address and what is kept of its password; None where there is none."""
        async with self._database.session() as session:
            rows = await session.scalars(select(tables.User).where(_column("email") == email))
            row = rows.one_or_none()
        return None if row is None else (account_of(row), row.password_hash)

    async def sign_up(self, email: str, password_hash: str) -> Account | None:
        """A new account; None where the address has one."""
        made = (
            insert(tables.User)
            .values(email=email, password_hash=password_hash)
            .on_conflict_do_nothing()
            .returning(tables.User)
        )
        async with self._database.session() as session:
            row = await session.scalar(made)
        return None if row is None else account_of(row)

    async def enter(self, email: str, tier: Tier) -> tuple[Account, bool]:
        """The account of the address, and whether it was made now, with this tier and without a password."""
        made = insert(tables.User).values(email=email, tier=tier.value).on_conflict_do_nothing()
        async with self._database.session() as session:
            done: Any = await session.execute(made)
            row = await session.scalars(select(tables.User).where(_column("email") == email))
            return account_of(row.one()), done.rowcount == 1

    async def admit(self, user_id: UUID, email: str) -> Account:
        """The account of somebody whom an identity provider knows, made where there is none.

        Where the address is another's already, the account has one of its own that no mail gets to (RFC 2606).
        """
        async with self._database.session() as session:
            for address in (email, f"{user_id}@users.invalid"):
                if row := await session.get(tables.User, user_id):
                    return account_of(row)
                await session.execute(insert(tables.User).values(id=user_id, email=address).on_conflict_do_nothing())
            return account_of(await session.get_one(tables.User, user_id))

    async def preferences(self, user_id: UUID) -> Preferences:
        """What the user has chosen, and the defaults of the rest. Raises Unauthenticated without such a user."""
        async with self._database.session() as session:
            return _preferences(await session.scalar(select(_column("preferences")).where(_column("id") == user_id)))

    async def save_preferences(self, user_id: UUID, changes: dict[str, Any]) -> Preferences:
        """The user's preferences with these fields changed. Raises Unauthenticated without such a user."""
        changed = (
            update(tables.User)
            .where(_column("id") == user_id)
            .values(preferences=_column("preferences").op("||")(cast(changes, JSONB)))
            .returning(_column("preferences"))
        )
        async with self._database.session() as session:
            return _preferences(await session.scalar(changed))

    async def set_tier(self, user_id: UUID, tier: Tier) -> None:
        """Let the user do what the tier says; old tokens follow within a minute."""
        async with self._database.session() as session:
            row = await session.get_one(tables.User, user_id)
            row.tier = tier.value


def account_of(row: tables.User) -> Account:
    """The account of a row."""
    return Account(row.id, row.email, Tier(row.tier), row.is_active)


def _preferences(kept: dict[str, Any] | None) -> Preferences:
    if kept is None:
        raise Unauthenticated("This user is not known here any more; sign in again.")
    return msgspec.convert({**kept, "is_paced": "update_frequency_seconds" in kept}, Preferences)


def _column(name: str) -> Any:
    return getattr(tables.User, name)
