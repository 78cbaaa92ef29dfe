"""SQL of notes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import case, delete, exists, func, or_, select, update

from heliograph.documents.ids import note_document
from heliograph.documents.richtext import NoteContent
from heliograph.documents.settling import Text
from heliograph.store import Database, now_ns
from heliograph.store.models import AccessGrant, Document, Note, User

PREVIEW = 10_000
"""Characters of a note's text that lists show."""


class NotesTable:
    """The notes of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self,
        note_id: str,
        user_id: str,
        title: str,
        content: NoteContent,
        meta: dict[str, Any] | None,
    ) -> None:
        """Store a new note; its document begins with the same content."""
        now = now_ns()
        async with self._database.write() as session:
            session.add(
                Note(
                    id=note_id,
                    user_id=user_id,
                    title=title,
                    content_md=_storable(content.md),
                    content_html=_storable(content.html),
                    content_json=content.json,
                    content_seq=0,
                    meta=meta,
                    created_at=now,
                    updated_at=now,
                )
            )

    async def get(self, note_id: str) -> tuple[Note, str] | None:
        """A note and its owner's name."""
        query = select(Note, User.name).join(User, User.id == Note.user_id)
        async with self._database.read() as session:
            row = (await session.execute(query.where(Note.id == note_id))).first()
            return (row[0], row[1]) if row is not None else None

    async def page(self, user_id: str, skip: int, limit: int) -> Sequence[Any]:
        """The notes a user owns or has a grant for, the latest first.

        Rows of ``id, user_id, title, md, length, content_seq, meta, created_at, updated_at,
        owner``; ``md`` is the beginning of the text, ``length`` the number of characters
        of all of it.
        """
        granted = exists().where(
            AccessGrant.resource_type == "note",
            AccessGrant.resource_id == Note.id,
            AccessGrant.user_id == user_id,
        )
        query = (
            select(
                Note.id,
                Note.user_id,
                Note.title,
                func.substr(Note.content_md, 1, PREVIEW).label("md"),
                func.length(Note.content_md).label("length"),
                Note.content_seq,
                Note.meta,
                Note.created_at,
                Note.updated_at,
                User.name.label("owner"),
            )
            .join(User, User.id == Note.user_id)
            .where(or_(Note.user_id == user_id, granted))
            .order_by(Note.updated_at.desc(), Note.id)
            .offset(skip)
            .limit(limit)
        )
        async with self._database.read() as session:
            return (await session.execute(query)).all()

    async def grants(self, note_ids: Sequence[str]) -> dict[str, list[AccessGrant]]:
        """The grants of notes, by note."""
        query = (
            select(AccessGrant)
            .where(AccessGrant.resource_type == "note", AccessGrant.resource_id.in_(note_ids))
            .order_by(AccessGrant.user_id)
        )
        found: dict[str, list[AccessGrant]] = {note_id: [] for note_id in note_ids}
        async with self._database.read() as session:
            for grant in await session.scalars(query):
                found[grant.resource_id].append(grant)
        return found

    async def change(self, note_id: str, values: dict[str, Any]) -> None:
        """Set columns, and the time of the change."""
        async with self._database.write() as session:
            await session.execute(
                update(Note).where(Note.id == note_id).values(**values, updated_at=now_ns())
            )

    async def store_text(self, note_id: str, text: Text) -> None:
        """Keep the text as of a sequence; no effect when a later one is kept."""
        later = case((Note.updated_at < text.updated_at, text.updated_at), else_=Note.updated_at)
        async with self._database.write() as session:
            await session.execute(
                update(Note)
                .where(Note.id == note_id, Note.content_seq < text.seq)
                .values(
                    content_md=_storable(text.content.md),
                    content_html=_storable(text.content.html),
                    content_json=text.content.json,
                    content_seq=text.seq,
                    updated_at=later,
                )
            )

    async def seed(self, note_id: str) -> tuple[str, str] | None:
        """Owner and Markdown of a note whose document is missing; it begins at 0 again."""
        async with self._database.write() as session:
            row = (
                await session.execute(
                    update(Note)
                    .where(Note.id == note_id)
                    .values(content_seq=0)
                    .returning(Note.user_id, Note.content_md)
                )
            ).first()
            return (row.user_id, row.content_md) if row is not None else None

    async def delete(self, note_id: str) -> None:
        """Remove a note, its grants and its document."""
        async with self._database.write() as session:
            await session.execute(
                delete(AccessGrant).where(
                    AccessGrant.resource_type == "note", AccessGrant.resource_id == note_id
                )
            )
            await session.execute(delete(Note).where(Note.id == note_id))
            await session.execute(delete(Document).where(Document.id == note_document(note_id)))


def _storable(text: str) -> str:
    # PostgreSQL has no NUL in text; a Yjs text may.
    return text.replace("\x00", "\ufffd")
