"""Documents: joined, changed and left over sockets; the server owns them.

Guarantees: a document is seeded once; an update is checked, logged, relayed and then
acknowledged; nobody reads or writes without the right to, at that moment; the last one
leaving loses nothing, since nothing but the log is ever the document.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from heliograph.delivery import Hub, Lifecycle, Session
from heliograph.documents.access import Access, Grant
from heliograph.documents.ids import (
    canonical,
    document_room,
    note_document,
    note_of,
    note_room,
    rooms_of,
)
from heliograph.documents.log import DocumentLog, gone
from heliograph.documents.members import Member, Members
from heliograph.documents.notes_repository import NotesTable
from heliograph.documents.repository import Grants
from heliograph.documents.settling import Settler, Text, Timing
from heliograph.documents.shelf import Shelf
from heliograph.documents.sql_log import SqlDocumentLog
from heliograph.documents.updates import coerce_update, known_clocks
from heliograph.documents.wire import BadUpdate
from heliograph.documents.worker import Worker, merge
from heliograph.errors import BadPayload, Forbidden, TooLarge
from heliograph.principal import Principal
from heliograph.store import Database

MAX_UPDATE_BYTES = 4 * 1024 * 1024
"""Largest update taken from a client."""


class Documents:
    """The documents of this replica.

    Use ``async with documents:``; leaving it settles what is unsettled.

    :param store: where updates are logged; default: the database.
    """

    def __init__(
        self,
        database: Database,
        hub: Hub,
        lifecycle: Lifecycle,
        *,
        store: DocumentLog | None = None,
        timing: Timing | None = None,
    ) -> None:
        self._hub = hub
        timing = timing or Timing()
        notes = NotesTable(database)
        self.log: DocumentLog = store or SqlDocumentLog(database)
        self.access = Access(Grants(database))
        self.worker = Worker()
        self.members = Members(hub, lifecycle, timing.leave_after_detach)
        self.settler = Settler(self.log, self.worker, notes.store_text, timing)
        self._shelf = Shelf(
            self.log, hub, self.access, notes, self.members, self.worker, self.settler, timing
        )

    async def __aenter__(self) -> Documents:
        self._shelf.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._shelf.stop()
        await self.members.stop()
        await self.settler.stop()
        await self.log.stop()
        await self.worker.stop()

    # -- over sockets ----------------------------------------------------------------

    async def join(
        self, session: Session, document_id: str, *, color: object, state_vector: object
    ) -> dict[str, Any]:
        """Make the session a member: state to it, ``ydoc:user:joined`` to the others.

        A free document that does not exist is made, and the user owns it.

        :raises NotFound: no such note, or document of others that the user may not read.
        """
        document_id = canonical(document_id)
        user = _user(session)
        known = _state_vector(state_vector)
        room = document_room(document_id)
        if note_of(document_id) is None and await self.access.rights(document_id) is None:
            await self.log.create(document_id, user.id, None)
        with self._shelf.use(document_id) as document:
            async with document.turn:
                self.access.forget(document_id)  # its owner may have been deleted
                await self.access.require_read(user, document_id)
                state, seq = await document.state(known)
                await self._hub.join(session, room)
                if room not in session.positions:
                    raise gone(document_id)  # the session ended meanwhile
                member, new = self.members.enter(document_id, session, color)
                session.emit("ydoc:document:state", self._state(document_id, state, seq))
                self.members.show_all_to(member)
                if new:
                    await self.members.announce(member)
        return {"ok": True, "sessions": self.members.sids(document_id)}

    async def state(
        self, session: Session, document_id: str, state_vector: object
    ) -> dict[str, Any]:
        """The state again, or what a member lacks of it; sent as event and returned.

        :raises Forbidden: ``not_joined``.
        """
        member = self._member(session, document_id)
        known = _state_vector(state_vector)
        with self._shelf.use(member.document_id) as document:
            async with document.turn:
                await self.access.require_read(_user(session), document.id)
                state, seq = await document.state(known)
        answer = self._state(document.id, state, seq)
        session.emit("ydoc:document:state", answer)
        return answer

    async def update(self, session: Session, document_id: str, update: object) -> dict[str, Any]:
        """Take an update from a member; when this returns, it is logged and relayed.

        :param update: bytes or a list of integers; ``None`` for the old snapshot-only form,
            which changes nothing, since text is derived here.
        :raises Forbidden: ``not_joined`` or ``read_only``.
        :raises HeliographError: ``bad_update``, ``missing_dependencies``, ``too_large``.
        """
        member = self._member(session, document_id)
        user = _user(session)
        if update is None:
            await self.access.require_read(user, member.document_id)
            head = (await self.log.heads([member.document_id])).get(member.document_id)
            return {"ok": True, "seq": head.seq if head else 0}
        data = _coerced(update, "update")
        with self._shelf.use(member.document_id) as document:
            seq = await document.write(user, data, session.sid)
        return {"ok": True, "seq": seq}

    async def leave(self, session: Session, document_id: str) -> dict[str, Any]:
        """Take the session out; no effect if it is not in."""
        document_id = canonical(document_id)
        member = self.members.get(document_id, session.sid)
        if member is not None:
            await self.members.leave(member)
        return {"ok": True}

    async def show(self, session: Session, document_id: str, update: object) -> None:
        """Relay a member's awareness.

        :raises Forbidden: ``not_joined``, ``client_id_taken``.
        """
        await self.members.show(self._member(session, document_id), update)

    def _member(self, session: Session, document_id: str) -> Member:
        document_id = canonical(document_id)
        member = self.members.get(document_id, session.sid)
        if member is None:
            raise Forbidden(f"join {document_id} first", code="not_joined")
        return member

    def _state(self, document_id: str, state: bytes, seq: int) -> dict[str, Any]:
        return {
            "document_id": document_id,
            "state": state,
            "sessions": self.members.sids(document_id),
            "seq": seq,
        }

    async def watch(self, session: Session, note_id: str) -> None:
        """Let the session into the room of those who show a note.

        :raises NotFound: no such note, or none that the user may read.
        """
        document_id = note_document(note_id)
        with self._shelf.use(document_id) as document:
            async with document.turn:
                self.access.forget(document_id)
                await self.access.require_read(_user(session), document_id)
                await self._hub.join(session, note_room(note_id))

    # -- access ----------------------------------------------------------------------

    async def set_access(
        self, user: Principal, document_id: str, grants: Sequence[Grant]
    ) -> list[Grant]:
        """Replace a document's grants. Who loses access is out when this returns.

        :raises Forbidden: neither owner nor administrator.
        """
        document_id = canonical(document_id)
        rights = await self.access.require_management(user, document_id)
        wanted = await self.access.checked(grants, rights.owner_id)
        with self._shelf.use(document_id) as document:
            async with document.turn:
                lost = await self.access.replace(document_id, wanted)
                for user_id in lost:
                    await self._put_out(user_id, document_id)
        return [Grant(user_id, permission) for user_id, permission in wanted.items()]

    async def _put_out(self, user_id: str, document_id: str) -> None:
        for member in self.members.of(document_id):
            if member.session.user_id == user_id:
                member.session.emit(
                    "error", _closed(document_id, "access_revoked", "you may no longer read it")
                )
                await self.members.leave(member)
        for room in rooms_of(document_id):
            await self._hub.expel(user_id, room)

    # -- for notes -------------------------------------------------------------------

    async def text(self, document_id: str) -> Text:
        """A note's text, with everything that has been acknowledged."""
        return await self.settler.text(document_id)

    async def rewrite(self, user: Principal, document_id: str, markdown: str) -> None:
        """Make a note say ``markdown``, as an edit that merges with those of others.

        :raises Forbidden: ``read_only``.
        """
        with self._shelf.use(document_id) as document:
            async with document.editing:
                async with document.turn:
                    await self.access.require_write(user, document_id)
                    state, _ = await document.state(None)
                # What others type meanwhile merges with it as with any editor's change.
                change = await self.worker.run(len(state) + len(markdown), merge, state, markdown)
                if change is not None:
                    await document.write(user, change, None)

    async def remove(self, document_id: str, delete: Callable[[], Awaitable[None]]) -> None:
        """Remove a document by ``delete`` and close its rooms; editors are told."""
        with self._shelf.use(document_id) as document:
            async with document.turn:
                await delete()
                await self.log.delete(document_id)
                self.access.forget(document_id)
                self.settler.forget(document_id)
                document.refuse_waiting(gone(document_id))
                told = _closed(document_id, "document_deleted", "it was deleted")
                await self._hub.publish(document_room(document_id), "error", told)
                self.members.clear(document_id)
                for room in rooms_of(document_id):
                    await self._hub.close_room(room)


def _user(session: Session) -> Principal:
    assert session.user is not None
    return session.user


def _coerced(value: object, path: str) -> bytes:
    try:
        return coerce_update(value, MAX_UPDATE_BYTES)
    except BadUpdate as error:
        if error.code == "too_large":
            raise TooLarge(str(error), path=path) from error
        raise BadPayload(str(error), code="bad_update", path=path) from error


def _state_vector(value: object) -> bytes | None:
    if value is None or (isinstance(value, bytes | bytearray | list) and not value):
        return None
    try:
        return known_clocks(value)  # type: ignore[arg-type]
    except BadUpdate as error:
        raise BadPayload(f"state_vector: {error}", path="state_vector") from error


def _closed(document_id: str, code: str, why: str) -> dict[str, Any]:
    return {"event": None, "code": code, "message": f"{document_id}: {why}",
            "document_id": document_id}  # fmt: skip
