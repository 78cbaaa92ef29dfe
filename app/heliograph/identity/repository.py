"""SQL of users and API keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import Table, bindparam, delete, func, or_, select, update
from sqlalchemy.exc import IntegrityError

from heliograph.store import Database, contains, now_s
from heliograph.store.models import ApiKey, User


class Users:
    """The users of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self, user_id: str, name: str, email: str, password_hash: str | None, role: str
    ) -> User | None:
        """Add an account; the very first becomes ``admin`` whatever ``role`` says.

        :returns: ``None`` when the id or the e-mail address is taken.
        """
        now = now_s()
        user = User(
            id=user_id, name=name, email=email, role=role, password_hash=password_hash,
            created_at=now, updated_at=now, last_active_at=now,
        )  # fmt: skip
        try:
            async with self._database.write() as session:
                if self._database.dialect == "postgresql":
                    # Two first sign-ups at once must not make two administrators.
                    await session.execute(select(func.pg_advisory_xact_lock(0x48454C49)))
                if await session.scalar(select(func.count()).select_from(User)) == 0:
                    user.role = "admin"
                session.add(user)
        except IntegrityError:
            return None
        return user

    async def get(self, user_id: str) -> User | None:
        """The user of an id."""
        async with self._database.read() as session:
            return await session.get(User, user_id)

    async def by_email(self, email: str) -> User | None:
        """The user of an e-mail address (lower case)."""
        async with self._database.read() as session:
            return await session.scalar(select(User).where(User.email == email))

    async def by_key_hash(self, key_hash: str) -> User | None:
        """The owner of an API key."""
        async with self._database.read() as session:
            query = select(User).join(ApiKey, ApiKey.user_id == User.id)
            return await session.scalar(query.where(ApiKey.key_hash == key_hash))

    async def set_key(self, user_id: str, key_hash: str) -> None:
        """Replace the user's API key."""
        async with self._database.write() as session:
            await session.execute(delete(ApiKey).where(ApiKey.user_id == user_id))
            session.add(ApiKey(user_id=user_id, key_hash=key_hash, created_at=now_s()))

    async def page(self, query: str, skip: int, limit: int) -> tuple[Sequence[User], int]:
        """Users whose name or address contains ``query``, and how many there are."""
        where: list[Any] = []
        if query:
            where.append(or_(contains(User.name, query), contains(User.email, query)))
        return await _page(self._database, where, skip, limit)

    async def set_role(self, user_id: str, role: str) -> bool:
        """Change a role; whether there is such a user."""
        async with self._database.write() as session:
            done = await session.execute(
                update(User).where(User.id == user_id).values(role=role, updated_at=now_s())
            )
            return _rows(done) > 0

    async def delete(self, user_id: str) -> bool:
        """Delete a user and all that is theirs; whether there was one."""
        async with self._database.write() as session:
            return _rows(await session.execute(delete(User).where(User.id == user_id))) > 0

    async def touch(self, seen: dict[str, int]) -> None:
        """Move ``last_active_at`` of many users on, in one transaction."""
        users = cast(Table, User.__table__)  # on the table: a user may be gone by now
        later = users.c.last_active_at < bindparam("seen_at")  # as other replicas saw
        statement = update(users).where(users.c.id == bindparam("user_id"), later)
        statement = statement.values(last_active_at=bindparam("seen_at"))
        rows = [{"user_id": user_id, "seen_at": at} for user_id, at in seen.items()]
        async with self._database.write() as session:
            await session.execute(statement, rows)


async def _page(
    database: Database, where: list[Any], skip: int, limit: int
) -> tuple[Sequence[User], int]:
    async with database.read() as session:
        total = await session.scalar(select(func.count()).select_from(User).where(*where))
        order = select(User).where(*where).order_by(User.created_at, User.id)
        users = await session.scalars(order.offset(skip).limit(limit))
        return users.all(), total or 0


def _rows(result: Any) -> int:
    return int(result.rowcount)
