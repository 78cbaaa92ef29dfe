"""Documents: joined, changed and left over sockets; the server owns them.

Guarantees: a document is seeded once; an update is checked, logged, relayed and then
acknowledged; nobody reads or writes without the right to, at that moment; the last one
leaving loses nothing, since nothing but the log is ever the document.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from heliograph.backplane import Backplane
from heliograph.cluster import Cluster
from heliograph.delivery import Hub, Lifecycle, RedisBroker, Session
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
from heliograph.documents.member import Member
from heliograph.documents.members import Members
from heliograph.documents.notes_repository import NotesTable
from heliograph.documents.open import OpenDocument, State
from heliograph.documents.redis_log import RedisDocumentLog
from heliograph.documents.redis_roster import RedisRoster
from heliograph.documents.repository import Grants
from heliograph.documents.resync import Resync, state_event
from heliograph.documents.roster import MemoryRoster, Roster
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

_EDIT_LEASE = 15.0  # seconds after which an edit of a killed replica is over
_EDIT_SECONDS = 90.0  # longest wait for other edits of a note


class Documents:
    """The documents of this replica.

    Use ``async with documents:``; leaving it settles what is unsettled.

    :param cluster: the other replicas; default: there are none.
    :param store: where updates are logged; default: the database.
    :param roster: who is in them; default: this process knows.
    """

    def __init__(
        self,
        database: Database,
        hub: Hub,
        lifecycle: Lifecycle,
        *,
        cluster: Cluster | None = None,
        store: DocumentLog | None = None,
        roster: Roster | None = None,
        timing: Timing | None = None,
    ) -> None:
        self._hub = hub
        self._cluster = cluster = cluster or Cluster(hub)
        timing = timing or Timing()
        notes = NotesTable(database)
        self.log: DocumentLog = store or SqlDocumentLog(database, hub.broker)
        self._grants = Grants(database)
        self.access = Access(self._grants)
        self.worker = Worker()
        self.members = Members(
            hub, lifecycle, roster or MemoryRoster(hub), cluster, timing.leave_after_detach
        )
        self.settler = Settler(self.log, self.worker, notes.store_text, timing)
        self._shelf = Shelf(
            self.log, self.access, notes, self.members, self.worker, self.settler, timing
        )
        self._resync = Resync(hub, self.members, self._shelf)
        cluster.reaper.on_dead += [self.members.take_out_of, self.settler.settle_for]

    @classmethod
    def over(
        cls,
        database: Database,
        hub: Hub,
        lifecycle: Lifecycle,
        cluster: Cluster,
        backplane: Backplane | None,
        timing: Timing | None = None,
    ) -> Documents:
        """With what is hot in Redis, or in one process when there is no backplane."""
        store: DocumentLog | None = None
        roster: Roster | None = None
        if backplane is not None:
            assert isinstance(hub.broker, RedisBroker)
            replica = cluster.replica
            store = RedisDocumentLog(database, backplane, hub.broker, replica)
            roster = RedisRoster(backplane, hub.broker, replica)
        return cls(
            database, hub, lifecycle, cluster=cluster, store=store, roster=roster, timing=timing
        )

    async def __aenter__(self) -> Documents:
        self._shelf.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._resync.stop()
        await self._shelf.stop()
        await self.members.stop()
        await self.settler.stop()
        await self._shelf.close()
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
        if note_of(document_id) is None and await self.access.rights(document_id) is None:
            await self.log.create(document_id, user.id, None)
        with self._shelf.use(document_id) as document:
            async with document.turn:
                await self.access.require_read(user, document_id)
                state = await document.state(known)
                # Again, now that the room's position is known: whoever takes the right away
                # from here on says so in the room, after that position.
                await self.access.require_read(user, document_id)
                member, new, records = await self.members.enter(document_id, session, color)
                try:
                    sids = list(records)
                    session.emit("ydoc:document:state", state_event(document_id, state, sids))
                    await self._hub.join(session, document_room(document_id), at=state.room)
                    await self._fill_gap(document, session, state)
                except BaseException:
                    await self.members.leave(member)
                    raise
                self.members.show_all_to(member, records)
                if new:
                    await self.members.announce(member)
        return {"ok": True, "sessions": sids}

    async def _fill_gap(self, document: OpenDocument, session: Session, sent: State) -> None:
        room = document_room(document.id)
        if room not in session.positions:
            raise gone(document.id)  # it ended, or was taken out, meanwhile
        entered = session.positions.places[room].baseline
        if entered.epoch != sent.room.epoch:
            # The room's log is another one since: it is not known what came in between.
            state = await document.state(None)
            sids = await self.members.sids(document.id)
            session.emit("ydoc:document:state", state_event(document.id, state, sids))

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
                state = await document.state(known)
        answer = state_event(document.id, state, await self.members.sids(document.id))
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

    async def watch(self, session: Session, note_id: str) -> None:
        """Let the session into the room of those who show a note.

        :raises NotFound: no such note, or none that the user may read.
        """
        document_id = note_document(note_id)
        with self._shelf.use(document_id) as document:
            async with document.turn:
                room = note_room(note_id)
                # First: who takes the right away afterwards says so in the room.
                position = await self._hub.broker.position(room)
                await self.access.require_read(_user(session), document_id)
                await self._hub.join(session, room, at=position)

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
                # From here on no replica takes a change of theirs.
                await self.log.rights_changed(document_id)
                told = _closed(document_id, "access_revoked", "you may no longer read it")
                for user_id in lost:
                    for room in rooms_of(document_id):
                        await self._hub.expel(user_id, room, told)
        return [Grant(user_id, permission) for user_id, permission in wanted.items()]

    # -- for notes -------------------------------------------------------------------

    async def text(self, document_id: str) -> Text:
        """A note's text, with everything that has been acknowledged."""
        return await self.settler.text(document_id)

    async def rewrite(self, user: Principal, document_id: str, markdown: str) -> None:
        """Make a note say ``markdown``, as an edit that merges with those of others.

        :raises Forbidden: ``read_only``.
        """
        with self._shelf.use(document_id) as document:
            # One at a time: first here, which costs nothing, then on all replicas.
            lock = self._cluster.lock(f"edit:{document_id}", seconds=_EDIT_LEASE)
            async with document.editing, lock.hold(wait=_EDIT_SECONDS):
                async with document.turn:
                    await self.access.require_write(user, document_id)
                    state = await document.state(None)
                # What others type meanwhile merges with it as with any editor's change.
                size = len(state.update) + len(markdown)
                change = await self.worker.run(size, merge, state.update, markdown)
                if change is not None:
                    await document.write(user, change, None)

    async def remove(self, document_id: str, delete: Callable[[], Awaitable[None]]) -> None:
        """Remove a document by ``delete`` and close its rooms; editors are told."""
        with self._shelf.use(document_id) as document:
            async with document.turn:
                await delete()
                await self._close(document)

    async def _close(self, document: OpenDocument) -> None:
        await self.log.delete(document.id)
        self.settler.forget(document.id)
        document.refuse_waiting(gone(document.id))
        told = _closed(document.id, "document_deleted", "it was deleted")
        await self._hub.publish(document_room(document.id), "error", told)
        for room in rooms_of(document.id):
            await self._hub.close_room(room)
        await self.members.clear(document.id)

    # -- for accounts ----------------------------------------------------------------

    async def owned_by(self, user_id: str) -> list[str]:
        """The documents that go with a user's account."""
        return await self._grants.owned_by(user_id)

    async def close(self, document_ids: Sequence[str]) -> None:
        """Close the rooms of documents that went with their owner; editors are told."""
        for document_id in document_ids:
            with self._shelf.use(document_id) as document:
                async with document.turn:
                    await self._close(document)


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
