"""Notes over HTTP: documents with a title, read and written as Markdown.

A note's text is that of its document at the moment of asking, also while others type.
Changing it by HTTP is an edit like any other: it is merged, logged and relayed.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import orjson

from heliograph.delivery import Hub, Session
from heliograph.documents.access import Grant
from heliograph.documents.ids import note_document, note_room
from heliograph.documents.log import Head, gone
from heliograph.documents.notes_repository import PREVIEW, NotesTable
from heliograph.documents.service import Documents
from heliograph.documents.worker import seed
from heliograph.errors import BadPayload, TooLarge
from heliograph.principal import Principal
from heliograph.store import Database

MAX_MARKDOWN = 1_000_000
"""Longest text of a note, characters."""

MAX_TITLE = 500
MAX_META_BYTES = 64 * 1024


class Notes:
    """The notes of an installation."""

    def __init__(self, database: Database, hub: Hub, documents: Documents) -> None:
        self._hub = hub
        self._documents = documents
        self._table = NotesTable(database)

    async def list(self, user: Principal, skip: int, limit: int) -> list[dict[str, Any]]:
        """The user's own notes and those shared with them, the latest first.

        Their content is ``{md, cut}``: the beginning of the text, and whether there is more.
        """
        rows = await self._table.page(user.id, skip, limit)
        heads = await self._documents.log.heads([note_document(row.id) for row in rows])
        grants = await self._table.grants([row.id for row in rows])
        notes = []
        for row in rows:
            document_id = note_document(row.id)
            head = heads.get(document_id)
            md, length = row.md, row.length
            if head is not None and head.seq != row.content_seq:
                text = (await self._documents.text(document_id)).content.md
                md, length = text[:PREVIEW], len(text)
            note = _note(row, row.owner, grants[row.id], {"md": md, "cut": length > len(md)}, head)
            notes.append({**note, "write_access": _may_write(user, note)})
        return notes

    async def create(
        self,
        user: Principal,
        title: str,
        markdown: str,
        meta: dict[str, Any] | None,
        grants: Sequence[Grant],
    ) -> dict[str, Any]:
        """A new note with its document.

        :raises TooLarge: title or text.
        :raises BadPayload: a grant for somebody who does not exist.
        """
        _check(title, markdown, meta)
        wanted = await self._documents.access.checked(grants, user.id)
        first = await self._documents.worker.run(len(markdown), seed, markdown)
        assert first.content is not None
        note_id = str(uuid.uuid4())
        await self._table.add(note_id, user.id, title, first.content, meta)
        document_id = note_document(note_id)
        await self._documents.log.create(document_id, user.id, first.state or None)
        if wanted:
            await self._documents.access.replace(document_id, wanted)
        return await self.get(user, note_id)

    async def get(self, user: Principal, note_id: str) -> dict[str, Any]:
        """A note.

        :raises NotFound: there is none, or none that the user may read.
        """
        rights = await self._documents.access.require_read(user, note_document(note_id))
        note = await self._read(note_id)
        return {**note, "write_access": rights.may_write(user)}

    async def _read(self, note_id: str) -> dict[str, Any]:
        document_id = note_document(note_id)
        found = await self._table.get(note_id)
        if found is None:
            raise gone(document_id)
        row, owner = found
        grants = await self._table.grants([note_id])
        head = (await self._documents.log.heads([document_id])).get(document_id)
        content = {"md": row.content_md, "html": row.content_html, "json": row.content_json}
        if head is not None and head.seq != row.content_seq:
            text = (await self._documents.text(document_id)).content
            content = {"md": text.md, "html": text.html, "json": text.json}
        return _note(row, owner, grants[note_id], content, head)

    async def update(
        self,
        user: Principal,
        note_id: str,
        *,
        title: str | None = None,
        markdown: str | None = None,
        meta: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Change what is given; ``note-events`` goes to whoever shows the note.

        :raises Forbidden: ``read_only``.
        :raises TooLarge: title or text.
        """
        _check(title or "", markdown or "", meta)
        document_id = note_document(note_id)
        await self._documents.access.require_write(user, document_id)
        if markdown is not None:
            await self._documents.rewrite(user, document_id, markdown)
        values = {"title": title, "meta": meta}
        await self._table.change(
            note_id, {name: value for name, value in values.items() if value is not None}
        )
        return await self._tell(user, note_id)

    async def set_access(
        self, user: Principal, note_id: str, grants: Sequence[Grant]
    ) -> dict[str, Any]:
        """Replace the note's grants; who loses access is out of its rooms at once.

        :raises Forbidden: neither owner nor administrator.
        """
        await self._documents.set_access(user, note_document(note_id), grants)
        return await self._tell(user, note_id)

    async def _tell(self, user: Principal, note_id: str) -> dict[str, Any]:
        note = await self._read(note_id)
        # Without what differs between its readers.
        await self._hub.publish(note_room(note_id), "note-events", note)
        return {**note, "write_access": _may_write(user, note)}

    async def delete(self, user: Principal, note_id: str) -> None:
        """Remove the note with its document, and close its rooms.

        :raises Forbidden: neither owner nor administrator.
        """
        document_id = note_document(note_id)
        await self._documents.access.require_management(user, document_id)

        async def remove() -> None:
            await self._table.delete(note_id)
            told = {"id": note_id, "deleted": True}
            await self._hub.publish(note_room(note_id), "note-events", told)

        await self._documents.remove(document_id, remove)

    async def enter(self, session: Session, note_id: str) -> None:
        """Let the session into the note's room.

        :raises NotFound: there is none, or none that the user may read.
        """
        await self._documents.watch(session, note_id)


def _check(title: str, markdown: str, meta: dict[str, Any] | None) -> None:
    if len(title) > MAX_TITLE:
        raise TooLarge(f"the title is longer than {MAX_TITLE} characters", path="title")
    if "\x00" in title:
        raise BadPayload("title: a NUL character", path="title")
    if len(markdown) > MAX_MARKDOWN:
        raise TooLarge(f"the text is longer than {MAX_MARKDOWN} characters", path="data.content.md")
    try:
        size = len(orjson.dumps(meta))
    except TypeError as error:
        raise BadPayload(f"meta: {error}", path="meta") from None
    if size > MAX_META_BYTES:
        raise TooLarge(f"meta is larger than {MAX_META_BYTES} bytes", path="meta")


def _note(
    row: Any, owner: str, grants: Sequence[Any], content: dict[str, Any], head: Head | None
) -> dict[str, Any]:
    edited_at = head.updated_at if head is not None and head.seq > 0 else 0
    return {
        "id": row.id,
        "user_id": row.user_id,
        "title": row.title,
        "data": {"content": content},
        "meta": row.meta,
        "access_grants": [
            {
                "principal_type": "user",
                "principal_id": grant.user_id,
                "permission": grant.permission,
            }
            for grant in grants
        ],
        "created_at": row.created_at,
        "updated_at": max(row.updated_at, edited_at),
        "user": {"id": row.user_id, "name": owner},
    }


def _may_write(user: Principal, note: dict[str, Any]) -> bool:
    return (
        user.is_admin
        or user.id == note["user_id"]
        or any(
            grant["principal_id"] == user.id and grant["permission"] == "write"
            for grant in note["access_grants"]
        )
    )
