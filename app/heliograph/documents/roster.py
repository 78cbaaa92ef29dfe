"""Who is in which document, over all replicas.

A record says where its session is: whoever wants to take a member out names the replica it
believes it on, and has no effect when the session has moved. :class:`MemoryRoster` is the
roster of a single process.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from heliograph.delivery import Hub
from heliograph.documents.ids import document_room


@dataclass(frozen=True, slots=True)
class Record:
    """One member.

    :ivar replica: where its session is.
    :ivar at: when it came, seconds since 1970.
    :ivar clients: the Yjs clients it speaks for.
    """

    sid: str
    replica: str
    user_id: str
    name: str
    color: str
    at: float
    clients: tuple[int, ...] = ()

    def encode(self) -> str:
        """``replica {json}``; the functions of Redis read the first word alone."""
        values = asdict(self)
        replica = values.pop("replica")
        return f"{replica} {json.dumps(values)}"

    @classmethod
    def decode(cls, text: str) -> Record:
        """The record of :meth:`encode`."""
        replica, _, rest = text.partition(" ")
        values: dict[str, Any] = json.loads(rest)
        return cls(replica=replica, **{**values, "clients": tuple(values["clients"])})


Records = Mapping[str, Record]
"""By sid, in the order in which they came."""


class Roster(Protocol):
    """The members of documents."""

    async def enter(
        self, document_id: str, record: Record, *, unless_moved_from: str = ""
    ) -> tuple[Record | None, Records]:
        """Write a member down; what was written of it before, and all there are now.

        :param unless_moved_from: a replica: change nothing when it is at another one.
        """

    async def leave(self, document_id: str, record: Record, event: str, data: Any) -> bool:
        """Take a member out if it is where the record says, and tell the others by ``event``;
        whether it was there."""

    async def all(self, document_id: str) -> Records:
        """The members of a document."""

    async def documents_of(self, replica_id: str) -> Sequence[str]:
        """The documents in which a replica may have members."""

    async def forget_replica(self, replica_id: str) -> None:
        """A dead replica's members have been taken out."""

    async def empty(self, document_id: str) -> None:
        """This replica has no member in the document any more."""

    async def clear(self, document_id: str) -> None:
        """The document is gone."""


class MemoryRoster:
    """The roster of one process."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._documents: dict[str, dict[str, Record]] = {}

    async def enter(
        self, document_id: str, record: Record, *, unless_moved_from: str = ""
    ) -> tuple[Record | None, Records]:
        """Write a member down; what was written of it before, and all there are now."""
        members = self._documents.setdefault(document_id, {})
        before = members.get(record.sid)
        members[record.sid] = record
        return before, members

    async def leave(self, document_id: str, record: Record, event: str, data: Any) -> bool:
        """Take a member out, and tell the others."""
        members = self._documents.get(document_id, {})
        if members.pop(record.sid, None) is None:
            return False
        if not members:
            del self._documents[document_id]
        room = document_room(document_id)
        await self._hub.publish(room, event, data, skip_sid=record.sid)
        return True

    async def all(self, document_id: str) -> Records:
        """The members of a document."""
        return self._documents.get(document_id, {})

    async def documents_of(self, replica_id: str) -> Sequence[str]:
        """There is no other replica."""
        return ()

    async def forget_replica(self, replica_id: str) -> None:
        """There is no other replica."""

    async def empty(self, document_id: str) -> None:
        """Nothing to forget."""

    async def clear(self, document_id: str) -> None:
        """The document is gone."""
        self._documents.pop(document_id, None)
