"""Who is in a document: sessions with their name and colour, and their cursors.

A member is bound to its session, which is its lease, and is in the roster of all replicas as
long as others count it as present. When the connection breaks, its cursors vanish for all at
once; when it does not come back for a while, or the session ends, the member has left. A
session that recovers late is a member again: its room was kept for it, so it has missed
nothing. One that recovers on another replica is a member there without having left.

Cursors are never stored: each replica knows those of its own members and shows them to
whoever comes, also to those who come elsewhere, whose replica asks for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any

from heliograph.cluster import Cluster
from heliograph.delivery import Hub, Lifecycle, Session
from heliograph.documents.cursors import Cursors, UnknownClients
from heliograph.documents.elsewhere import Elsewhere
from heliograph.documents.ids import document_of, document_room
from heliograph.documents.log import gone
from heliograph.documents.member import Member, awareness, color_of, left
from heliograph.documents.roster import Record, Records, Roster
from heliograph.telemetry import get_logger

log = get_logger(__name__)


@dataclass(slots=True)
class _Presence:
    members: dict[str, Member] = field(default_factory=dict)
    cursors: Cursors = field(default_factory=Cursors)


class Members:
    """The members of this replica's documents.

    :param roster: the members on all replicas.
    :param leave_after: seconds after which a member whose connection broke has left.
    """

    def __init__(
        self, hub: Hub, lifecycle: Lifecycle, roster: Roster, cluster: Cluster, leave_after: float
    ) -> None:
        self._hub = hub
        self._roster = roster
        self._cluster = cluster
        self._elsewhere = Elsewhere(cluster, self._shown)
        self._leave_after = leave_after
        self._documents: dict[str, _Presence] = {}
        self._of_session: dict[str, set[str]] = {}
        self._background: set[asyncio.Task[None]] = set()
        lifecycle.on_detached.append(self._broken)
        lifecycle.on_recovered.append(self._back)
        lifecycle.on_moved.append(self._moved)
        lifecycle.on_ended.append(self._ended)
        hub.on_taken_out.append(self._taken_out)
        cluster.replica.on_lost.append(self._register_again)

    def get(self, document_id: str, sid: str) -> Member | None:
        """The session's membership, if the session is at this replica."""
        presence = self._documents.get(document_id)
        return presence.members.get(sid) if presence else None

    def of(self, document_id: str) -> list[Member]:
        """This replica's members of a document, also those away for a moment."""
        presence = self._documents.get(document_id)
        return list(presence.members.values()) if presence else []

    async def sids(self, document_id: str) -> list[str]:
        """The sessions that are in a document, on all replicas, in the order in which they
        came."""
        return list(await self._roster.all(document_id))

    # -- coming and going ------------------------------------------------------------

    async def enter(
        self, document_id: str, session: Session, color: object
    ) -> tuple[Member, bool, Records]:
        """Make the session a member: it, whether it is new, and all there are now.

        :raises NotFound: the session ended meanwhile.
        """
        assert session.user is not None
        member = self.get(document_id, session.sid)
        if member is None:
            member = self._add(document_id, session, color_of(session.user.id, color))
        elif isinstance(color, str):
            member.color = color_of(session.user.id, color)
        member.present = True
        try:
            before, records = await self._roster.enter(document_id, self._record(member))
        except BaseException:
            self._drop(member)
            raise
        if session.ended:
            await self.leave(member)
            raise gone(document_id)
        return member, before is None, records

    def _add(self, document_id: str, session: Session, color: str) -> Member:
        member = Member(document_id, session, color)
        self._documents.setdefault(document_id, _Presence()).members[session.sid] = member
        self._of_session.setdefault(session.sid, set()).add(document_id)
        return member

    def _record(self, member: Member) -> Record:
        presence = self._documents.get(member.document_id)
        clients = presence.cursors.clients(member.session.sid) if presence else ()
        return member.record(self._cluster.replica.id, clients)

    async def announce(self, member: Member) -> None:
        """Tell the others that it is here."""
        await self._publish(member, "ydoc:user:joined", member.joined())

    async def leave(self, member: Member) -> None:
        """Take the member out of the document and its room, and tell the others."""
        cursors = self._drop(member)
        self._hub.leave(member.session, document_room(member.document_id))
        await self._say_gone(member, cursors)
        await self._tidy(member.document_id)

    async def clear(self, document_id: str) -> None:
        """Forget who is in a document that is gone."""
        await self._roster.clear(document_id)

    def _drop(self, member: Member) -> bytes | None:
        """Forget the member here; what takes back its cursors."""
        document_id, sid = member.document_id, member.session.sid
        presence = self._documents.get(document_id)
        if presence is None or presence.members.get(sid) is not member:
            return None
        del presence.members[sid]
        if member.away is not None:
            member.away.cancel()
        mine = self._of_session.get(sid, set())
        mine.discard(document_id)
        if not mine:
            self._of_session.pop(sid, None)
        cursors = presence.cursors.remove(sid)
        if not presence.members:
            del self._documents[document_id]
        return cursors

    async def _say_gone(self, member: Member, cursors: bytes | None) -> None:
        await self._remove_cursors(member, cursors)
        if member.present:
            member.present = False
            await self._out(member.document_id, self._record(member))

    async def _out(self, document_id: str, record: Record) -> None:
        told = left(document_id, record)
        await self._roster.leave(document_id, record, "ydoc:user:left", told)

    async def _tidy(self, document_id: str) -> None:
        if document_id not in self._documents:
            await self._roster.empty(document_id)

    # -- cursors ---------------------------------------------------------------------

    async def show(self, member: Member, update: object) -> None:
        """Relay the member's awareness to the others.

        :raises HeliographError: see :meth:`Cursors.take`.
        """
        cursors, sid = self._documents[member.document_id].cursors, member.session.sid
        before = cursors.clients(sid)
        try:
            relayed = cursors.take(sid, member.user, update, None)
        except UnknownClients:
            here = self._cluster.replica.id
            records = await self._roster.all(member.document_id)
            elsewhere = {
                client: each.user_id
                for each in records.values()
                if each.replica != here and each.sid != sid
                for client in each.clients
            }
            relayed = cursors.take(sid, member.user, update, elsewhere)
        if self.get(member.document_id, sid) is not member:
            return  # it left meanwhile
        if relayed is not None:
            await self._publish_cursors(member, relayed)
        if cursors.clients(sid) != before and member.present:
            await self._write_again(member, self._cluster.replica.id)

    def show_all_to(self, member: Member, records: Records) -> None:
        """Send the member what the others show now: at once what is known here, soon what
        the other replicas know."""

        def show(user_id: str, update: bytes) -> None:
            told = awareness(member.document_id, user_id, update)
            member.session.emit("ydoc:awareness:update", told)

        document_id, sid = member.document_id, member.session.sid
        for user_id, update in self._shown(document_id, sid):
            show(user_id, update)
        self._elsewhere.ask(document_id, sid, records, show)

    def _shown(self, document_id: str, but_sid: str) -> Iterable[tuple[str, bytes]]:
        presence = self._documents.get(document_id, _Presence())
        for sid, member in presence.members.items():
            shown = presence.cursors.of(sid)
            if shown is not None and sid != but_sid:
                yield member.user["id"], shown

    async def _remove_cursors(self, member: Member, removal: bytes | None) -> None:
        if removal is not None:
            await self._publish_cursors(member, removal)

    async def _publish_cursors(self, member: Member, update: bytes) -> None:
        shown = awareness(member.document_id, member.user["id"], update)
        await self._publish(member, "ydoc:awareness:update", shown, durable=False)

    async def _publish(self, member: Member, event: str, data: Any, durable: bool = True) -> None:
        room = document_room(member.document_id)
        sid = member.session.sid
        await self._hub.publish(room, event, data, durable=durable, skip_sid=sid)

    # -- the session's life ----------------------------------------------------------

    def _of(self, session: Session) -> list[Member]:
        documents = self._of_session.get(session.sid, set())
        return [self._documents[document_id].members[session.sid] for document_id in documents]

    def _broken(self, session: Session) -> None:
        loop = asyncio.get_running_loop()
        for member in self._of(session):
            removal = self._documents[member.document_id].cursors.remove(session.sid)
            self._soon(self._remove_cursors(member, removal))
            member.away = loop.call_later(self._leave_after, self._away_too_long, member)

    def _away_too_long(self, member: Member) -> None:
        member.away = None
        self._soon(self._say_gone(member, None))

    def _back(self, session: Session) -> None:
        for member in self._of(session):
            if member.away is not None:
                member.away.cancel()
                member.away = None
            self._soon(self._return(member))
        for room in session.positions:
            document_id = document_of(room)
            if document_id is not None and self.get(document_id, session.sid) is None:
                # It comes from another replica.
                assert session.user_id is not None
                member = self._add(document_id, session, color_of(session.user_id))
                self._soon(self._return(member))

    async def _return(self, member: Member) -> None:
        sid = member.session.sid
        known = (await self._roster.all(member.document_id)).get(sid)
        if self.get(member.document_id, sid) is not member:
            return  # it left at once
        if known is not None and known.replica != self._cluster.replica.id:
            member.color, member.at = known.color, known.at
        member.present = True
        before, records = await self._roster.enter(member.document_id, self._record(member))
        if self.get(member.document_id, sid) is not member:
            await self._say_gone(member, None)
            return
        if before is None:
            await self.announce(member)
        self.show_all_to(member, records)

    def _moved(self, session: Session) -> None:
        for member in self._of(session):
            removal = self._drop(member)
            self._soon(self._remove_cursors(member, removal))
            self._soon(self._tidy(member.document_id))

    def _ended(self, session: Session) -> None:
        for member in self._of(session):
            self._soon(self.leave(member))

    def _taken_out(self, session: Session, room: str, order: dict[str, Any]) -> None:
        document_id = document_of(room)
        member = self.get(document_id, session.sid) if document_id is not None else None
        if member is None:
            return
        if order.get("told") is not None:
            session.emit("error", order["told"])
        if order["do"] == "close":
            self._drop(member)
            self._soon(self._tidy(member.document_id))
        else:
            self._soon(self._say_gone_and_tidy(member, self._drop(member)))

    async def _say_gone_and_tidy(self, member: Member, cursors: bytes | None) -> None:
        await self._say_gone(member, cursors)
        await self._tidy(member.document_id)

    # -- the replica's life ----------------------------------------------------------

    async def take_out_of(self, replica_id: str) -> None:
        """Take the members of a dead replica out, and tell the others; not those whose
        sessions have moved."""
        for document_id in await self._roster.documents_of(replica_id):
            for record in (await self._roster.all(document_id)).values():
                if record.replica == replica_id:
                    await self._out(document_id, record)
        await self._roster.forget_replica(replica_id)

    async def _register_again(self, lost: str) -> None:
        for presence in list(self._documents.values()):
            for member in list(presence.members.values()):
                if member.present:
                    await self._write_again(member, lost)

    async def _write_again(self, member: Member, replica_id: str) -> None:
        record = self._record(member)
        before, _ = await self._roster.enter(
            member.document_id, record, unless_moved_from=replica_id
        )
        if self.get(member.document_id, record.sid) is not member:
            await self._out(member.document_id, record)
        elif before is None:  # a reaper took it for dead
            await self.announce(member)

    def _soon(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("documents.presence_failed", exc_info=error)

    async def stop(self) -> None:
        """Finish what is under way."""
        for presence in self._documents.values():
            for member in presence.members.values():
                if member.away is not None:
                    member.away.cancel()
        await self._elsewhere.stop()
        while self._background:
            await asyncio.gather(*self._background, return_exceptions=True)
