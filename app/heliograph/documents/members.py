"""Who is in a document: sessions with their name and colour, and their cursors.

A member is bound to its session, which is its lease. When the connection breaks, its
cursors vanish for all at once; when it does not come back for a while, or the session
ends, the member has left. A session that recovers late is a member again: its room was
kept for it, so it has missed nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from heliograph.delivery import Hub, Lifecycle, Session
from heliograph.documents.cursors import COLOR, Cursors
from heliograph.documents.ids import document_room
from heliograph.telemetry import get_logger

log = get_logger(__name__)

_PALETTE = (
    "#c0392b", "#d35400", "#b7950b", "#1e8449", "#148f77", "#2471a3",
    "#2e4bc6", "#7d3c98", "#c2185b", "#6d4c41", "#546e7a", "#00796b",
)  # fmt: skip


def color_of(user_id: str, wanted: object = None) -> str:
    """The colour a user asked for when it is ``#rrggbb``, else one of their own."""
    if isinstance(wanted, str) and COLOR.fullmatch(wanted):
        return wanted
    return _PALETTE[hashlib.sha256(user_id.encode()).digest()[0] % len(_PALETTE)]


@dataclass(eq=False, slots=True)
class Member:
    """One session in one document.

    :ivar away: set while its connection is broken.
    :ivar present: others were told that it is here.
    """

    document_id: str
    session: Session
    color: str
    present: bool = True
    away: asyncio.TimerHandle | None = None

    @property
    def user(self) -> dict[str, str]:
        """``{id, name, color}``, by the server's own record."""
        assert self.session.user is not None
        return {
            "id": self.session.user.id,
            "name": self.session.user.name,
            "color": self.color,
        }


@dataclass(slots=True)
class _Presence:
    members: dict[str, Member] = field(default_factory=dict)
    cursors: Cursors = field(default_factory=Cursors)


class Members:
    """The members of this replica's documents.

    :param leave_after: seconds after which a member whose connection broke has left.
    """

    def __init__(self, hub: Hub, lifecycle: Lifecycle, leave_after: float) -> None:
        self._hub = hub
        self._leave_after = leave_after
        self._documents: dict[str, _Presence] = {}
        self._of_session: dict[str, set[str]] = {}
        self._background: set[asyncio.Task[None]] = set()
        lifecycle.on_detached.append(self._broken)
        lifecycle.on_recovered.append(self._back)
        lifecycle.on_ended.append(self._ended)

    def get(self, document_id: str, sid: str) -> Member | None:
        """The session's membership."""
        presence = self._documents.get(document_id)
        return presence.members.get(sid) if presence else None

    def of(self, document_id: str) -> list[Member]:
        """All members of a document, also those away for a moment."""
        presence = self._documents.get(document_id)
        return list(presence.members.values()) if presence else []

    def sids(self, document_id: str) -> list[str]:
        """The sessions that are in a document, in the order in which they came."""
        return [each.session.sid for each in self.of(document_id) if each.present]

    # -- coming and going ------------------------------------------------------------

    def enter(self, document_id: str, session: Session, color: object) -> tuple[Member, bool]:
        """Make the session, which is in the document's room, a member; whether it is new."""
        assert session.user is not None
        presence = self._documents.setdefault(document_id, _Presence())
        member = presence.members.get(session.sid)
        new = member is None
        if member is None:
            member = Member(document_id, session, color_of(session.user.id, color))
            presence.members[session.sid] = member
            self._of_session.setdefault(session.sid, set()).add(document_id)
        elif isinstance(color, str):
            member.color = color_of(session.user.id, color)
        return member, new

    async def announce(self, member: Member) -> None:
        """Tell the others that it is here."""
        user = member.user
        joined = {
            "document_id": member.document_id,
            "user_id": user["id"],
            "user_name": user["name"],
            "user_color": user["color"],
            "session_id": member.session.sid,
        }
        await self._publish(member, "ydoc:user:joined", joined)

    async def leave(self, member: Member) -> None:
        """Take the member out of the document and its room, and tell the others."""
        document_id, session = member.document_id, member.session
        presence = self._documents.get(document_id)
        if presence is None or presence.members.pop(session.sid, None) is None:
            return
        if member.away is not None:
            member.away.cancel()
        mine = self._of_session.get(session.sid, set())
        mine.discard(document_id)
        if not mine:
            self._of_session.pop(session.sid, None)
        gone = presence.cursors.remove(session.sid)
        if not presence.members:
            del self._documents[document_id]
        self._hub.leave(session, document_room(document_id))
        await self._say_gone(member, gone)

    def clear(self, document_id: str) -> list[Member]:
        """Forget all members of a document that is gone, and return them."""
        presence = self._documents.pop(document_id, _Presence())
        for member in presence.members.values():
            if member.away is not None:
                member.away.cancel()
            mine = self._of_session[member.session.sid]
            mine.discard(document_id)
            if not mine:
                del self._of_session[member.session.sid]
        return list(presence.members.values())

    async def _say_gone(self, member: Member, cursors: bytes | None) -> None:
        await self._remove_cursors(member, cursors)
        if member.present:
            member.present = False
            left = {
                "document_id": member.document_id,
                "user_id": member.user["id"],
                "session_id": member.session.sid,
            }
            await self._publish(member, "ydoc:user:left", left)

    # -- cursors ---------------------------------------------------------------------

    async def show(self, member: Member, update: object) -> None:
        """Relay the member's awareness to the others.

        :raises HeliographError: see :meth:`Cursors.take`.
        """
        presence = self._documents[member.document_id]
        relayed = presence.cursors.take(member.session.sid, member.user, update)
        if relayed is not None:
            await self._publish_cursors(member, relayed)

    def show_all_to(self, member: Member) -> None:
        """Send the member what the others show now."""
        presence = self._documents[member.document_id]
        for other in presence.members.values():
            shown = presence.cursors.of(other.session.sid)
            if shown is not None and other is not member:
                member.session.emit("ydoc:awareness:update", _awareness(other, shown))

    async def _remove_cursors(self, member: Member, removal: bytes | None) -> None:
        if removal is not None:
            await self._publish_cursors(member, removal)

    async def _publish_cursors(self, member: Member, update: bytes) -> None:
        await self._publish(
            member, "ydoc:awareness:update", _awareness(member, update), durable=False
        )

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
            if not member.present:
                member.present = True
                self._soon(self.announce(member))
            self.show_all_to(member)

    def _ended(self, session: Session) -> None:
        for member in self._of(session):
            self._soon(self.leave(member))

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
        while self._background:
            await asyncio.gather(*self._background, return_exceptions=True)


def _awareness(member: Member, update: bytes) -> dict[str, Any]:
    return {
        "document_id": member.document_id,
        "user_id": member.user["id"],
        "update": update,
    }
