"""Users: who they are, and what they may do."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from db import tables
from db.database import Database
from people import Tier


@dataclass(frozen=True, slots=True)
class Account:
    """What a user may do, and whether he may at all."""

    id: UUID
    email: str
    tier: Tier
    is_active: bool


class UserStore:
    """The table `users`. E-mail addresses are kept and found in lower case."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, user_id: UUID) -> Account | None:
        """The account of the user; None where there is none."""
        async with self._database.session() as session:
            row = await session.get(tables.User, user_id)
        return None if row is None else _account(row)

    async def enter(self, email: str, tier: Tier) -> tuple[Account, bool]:
        """The account of the address, and whether it was made now, with this tier and without a password."""
        made = insert(tables.User).values(email=email.lower(), tier=tier.value).on_conflict_do_nothing()
        async with self._database.session() as session:
            done: Any = await session.execute(made)
            row = await session.scalars(select(tables.User).where(_column("email") == email.lower()))
            return _account(row.one()), done.rowcount == 1

    async def set_tier(self, user_id: UUID, tier: Tier) -> None:
        """Let the user do what the tier says; old tokens follow within a minute."""
        async with self._database.session() as session:
            row = await session.get_one(tables.User, user_id)
            row.tier = tier.value


def _account(row: tables.User) -> Account:
    return Account(row.id, row.email, Tier(row.tier), row.is_active)


def _column(name: str) -> Any:
    return getattr(tables.User, name)
