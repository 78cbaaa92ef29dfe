"""Who is in which document, in Redis, for any number of replicas.

A hash per document, ``prefix:ydoc:documents:{room}:users``. Taking somebody out and telling
the others is one step, so whoever cleans up after a dead replica tells of each member once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from heliograph.backplane import Backplane
from heliograph.cluster import Replica
from heliograph.delivery import Frame, RedisBroker
from heliograph.documents.ids import document_room
from heliograph.documents.owned import Owned
from heliograph.documents.roster import Record, Records


class RedisRoster:
    """A :class:`~heliograph.documents.roster.Roster` that replicas share."""

    def __init__(self, backplane: Backplane, broker: RedisBroker, replica: Replica) -> None:
        self._backplane = backplane
        self._broker = broker
        self._documents = Owned(backplane, replica, "documents")

    def _key(self, document_id: str) -> str:
        return self._backplane.key("ydoc:documents", document_room(document_id), "users")

    async def enter(
        self, document_id: str, record: Record, *, unless_moved_from: str = ""
    ) -> tuple[Record | None, Records]:
        """Write a member down; what was written of it before, and all there are now."""
        await self._documents.add(document_id)
        before, found = await self._backplane.call(
            "member_enter",
            [self._key(document_id)],
            [record.sid, record.encode(), unless_moved_from],
        )
        return Record.decode(before.decode()) if before else None, _in_order(found)

    async def leave(self, document_id: str, record: Record, event: str, data: Any) -> bool:
        """Take a member out if it is where the record says, and tell the others."""
        room = document_room(document_id)
        frame = Frame.event(event, data, skip_sid=record.sid)
        envelope = await self._broker.envelope(room, frame)
        (was_there,) = await self._broker.append_by(
            room,
            "member_leave",
            [self._key(document_id)],
            [record.sid, record.replica, envelope],
        )
        return bool(was_there)

    async def all(self, document_id: str) -> Records:
        """The members of a document."""
        return _in_order(await self._backplane.execute("HVALS", self._key(document_id)))

    async def documents_of(self, replica_id: str) -> Sequence[str]:
        """The documents in which a replica may have members."""
        return await self._documents.of(replica_id)

    async def forget_replica(self, replica_id: str) -> None:
        """A dead replica's members have been taken out."""
        await self._documents.forget(replica_id)

    async def empty(self, document_id: str) -> None:
        """This replica has no member in the document any more."""
        await self._documents.discard(document_id)

    async def clear(self, document_id: str) -> None:
        """The document is gone."""
        await self._backplane.execute("DEL", self._key(document_id))


def _in_order(found: Sequence[bytes]) -> Records:
    records = [Record.decode(each.decode()) for each in found]
    return {each.sid: each for each in sorted(records, key=lambda each: (each.at, each.sid))}
