"""SQL of access to documents: owners and grants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from sqlalchemy import Select, delete, insert, select

from heliograph.documents.ids import note_document, note_of
from heliograph.principal import Principal
from heliograph.store import Database
from heliograph.store.models import AccessGrant, Document, Note, User

Permission = Literal["read", "write"]


@dataclass(frozen=True, slots=True)
class Rights:
    """Who may do what with a document: its owner, and a permission by user."""

    owner_id: str
    grants: Mapping[str, Permission]

    def manages(self, user: Principal) -> bool:
        """Whether the user may delete it and say who else may use it."""
        return user.is_admin or user.id == self.owner_id

    def may_read(self, user: Principal) -> bool:
        """Whether the user may see it."""
        return self.manages(user) or user.id in self.grants

    def may_write(self, user: Principal) -> bool:
        """Whether the user may change it."""
        return self.manages(user) or self.grants.get(user.id) == "write"


class Grants:
    """Owners and grants of a database's documents."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def rights(self, document_id: str) -> Rights | None:
        """The rights of a document, or ``None`` when there is no such thing."""
        kind, resource_id = _resource(document_id)
        owner: Select[Any]
        if kind == "note":
            owner = select(Note.user_id).where(Note.id == resource_id)
        else:
            owner = select(Document.user_id).where(Document.id == resource_id)
        async with self._database.read() as session:
            owner_id = await session.scalar(owner)
            if owner_id is None:
                return None
            rows = await session.execute(
                select(AccessGrant.user_id, AccessGrant.permission).where(
                    AccessGrant.resource_type == kind, AccessGrant.resource_id == resource_id
                )
            )
            return Rights(owner_id, {row.user_id: cast(Permission, row.permission) for row in rows})

    async def replace(self, document_id: str, grants: Mapping[str, Permission]) -> set[str]:
        """Put ``grants`` (permission by user) in place of all there were; whose those were.

        Of several at once, each sees what the one before it made.
        """
        kind, resource_id = _resource(document_id)
        of = (AccessGrant.resource_type == kind, AccessGrant.resource_id == resource_id)
        owner = (
            select(Note.id).where(Note.id == resource_id)
            if kind == "note"
            else select(Document.id).where(Document.id == resource_id)
        )
        async with self._database.write() as session:
            await session.execute(owner.with_for_update())  # no effect on SQLite: it has one writer
            before = set(await session.scalars(select(AccessGrant.user_id).where(*of)))
            await session.execute(delete(AccessGrant).where(*of))
            rows = [
                {
                    "resource_type": kind,
                    "resource_id": resource_id,
                    "user_id": user_id,
                    "permission": permission,
                }
                for user_id, permission in grants.items()
            ]
            if rows:
                await session.execute(insert(AccessGrant), rows)
        return before

    async def owned_by(self, user_id: str) -> list[str]:
        """The documents of a user, those of their notes among them."""
        async with self._database.read() as session:
            notes = await session.scalars(select(Note.id).where(Note.user_id == user_id))
            documents = await session.scalars(
                select(Document.id).where(Document.user_id == user_id)
            )
            return sorted({*map(note_document, notes), *documents})

    async def unknown_users(self, user_ids: Iterable[str]) -> list[str]:
        """Those of the ids that are nobody's."""
        wanted = list(user_ids)
        async with self._database.read() as session:
            known = set(await session.scalars(select(User.id).where(User.id.in_(wanted))))
        return [user_id for user_id in wanted if user_id not in known]

    async def admins(self, user_ids: Iterable[str]) -> set[str]:
        """Those of the users who need no grant."""
        wanted = select(User.id).where(User.id.in_(list(user_ids)), User.role == "admin")
        async with self._database.read() as session:
            return set(await session.scalars(wanted))


def _resource(document_id: str) -> tuple[str, str]:
    note_id = note_of(document_id)
    return ("note", note_id) if note_id else ("document", document_id)
