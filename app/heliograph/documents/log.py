"""The log of documents: what has been accepted, in order, for good.

:class:`DocumentLog` is what the rest of this feature knows of it. Guarantees of every
implementation: a sequence number is given out once per document, in order; an append that
returned is in every later load; updates appended together are in the log together or not
at all, and are relayed to the document's room in the same step; compaction never removes
what its snapshot does not hold.

Several replicas may use a document at once. Each has a copy, and says with every append how
far that copy knows the log (:class:`Place`). What was appended meanwhile comes back with the
answer; what is not the log that the copy was made of (Redis lost its end, the document was
made anew) is refused, so an update never rests on changes that the log has not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from heliograph.delivery import Frame, Position
from heliograph.documents.ids import note_of
from heliograph.errors import NotFound


@dataclass(frozen=True, slots=True)
class Entry:
    """An update to append, and who sent it.

    :ivar frame: what the room is told, with a number to be filled in: the sequence.
    """

    user_id: str
    update: bytes
    frame: Frame | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """How far somebody knows a log.

    :ivar life: which document this is: one that was deleted and made again is another.
    :ivar seq: of the last update known.
    :ivar mark: what only this log has at that place.
    """

    life: str
    seq: int
    mark: bytes = b""


@dataclass(frozen=True, slots=True)
class Logged:
    """A document as its log has it.

    :ivar snapshot: whole state up to ``snapshot_seq``; ``None`` for nothing.
    :ivar updates: those after the snapshot, in order; some may be in it already.
    :ivar place: the end of the log.
    :ivar rights: what :meth:`DocumentLog.append` wants to know of the rights' age.
    :ivar updated_at: when the last one came, nanoseconds since 1970.
    :ivar unsettled: how far the log reached back, for :meth:`DocumentLog.compact`.
    """

    snapshot: bytes | None
    snapshot_seq: int
    updates: Sequence[bytes]
    place: Place
    rights: str
    updated_at: int
    unsettled: Place

    @property
    def seq(self) -> int:
        """The last sequence."""
        return self.place.seq

    @property
    def size(self) -> int:
        """Bytes in all; at least the size of the compacted state."""
        return len(self.snapshot or b"") + sum(map(len, self.updates))


@dataclass(frozen=True, slots=True)
class News:
    """What came after a place.

    :ivar updates: in order; ``None`` when the log does not reach back to it: load it again.
    :ivar room: where the document's room stood at that moment.
    """

    updates: Sequence[bytes] | None
    place: Place
    rights: str
    room: Position


@dataclass(frozen=True, slots=True)
class Appended:
    """An append that is in the log.

    :ivar missed: what others appended between the caller's place and these updates; ``None``
        when it is not at hand: load the document again.
    :ivar first_seq: the sequence of the first of these.
    """

    missed: Sequence[bytes] | None
    first_seq: int
    place: Place


@dataclass(frozen=True, slots=True)
class Head:
    """How far a document's log is: the last sequence, and when it came (ns since 1970)."""

    seq: int
    updated_at: int


class LogMoved(Exception):
    """The log is not the one that the place is of: load it, and check again."""


class RightsMoved(Exception):
    """Rights were changed since they were read; ``rights`` stands for the present ones."""

    def __init__(self, rights: str) -> None:
        super().__init__(rights)
        self.rights = rights


class DocumentLog(Protocol):
    """Stores the updates of documents, and relays them."""

    async def create(self, document_id: str, owner_id: str, state: bytes | None) -> bool:
        """Make a document that begins with ``state``; whether this call made it.

        Of several calls at once, on whichever replica, exactly one makes it.
        """

    async def load(self, document_id: str) -> Logged | None:
        """The document, or ``None`` when there is none."""

    async def since(self, document_id: str, place: Place) -> News:
        """What came after a place.

        :raises LogMoved: it is not a place of this log.
        :raises NotFound: there is no such document (any more).
        """

    async def append(
        self, document_id: str, place: Place, rights: str, entries: Sequence[Entry]
    ) -> Appended:
        """Append updates, all or none, and relay them to the document's room.

        :param place: how far the caller knows the log; what these updates build on.
        :param rights: of :class:`Logged` or :class:`News`, as of when the users' rights were
            read.
        :raises LogMoved: it is not a place of this log; nothing was appended.
        :raises RightsMoved: they have changed since; nothing was appended.
        :raises NotFound: there is no such document (any more).
        :raises Unavailable: not stored, as far as is known; try again.
        """

    async def heads(self, document_ids: Sequence[str]) -> Mapping[str, Head]:
        """How far each document is; those that do not exist are not in the answer."""

    async def compact(self, document_id: str, logged: Logged, snapshot: bytes) -> bool:
        """Let ``snapshot``, made of all of ``logged``, stand for it, and drop that much log.

        What others append meanwhile stays.

        :returns: whether it was done; not when somebody else has done it since ``logged``
            was read.
        """

    async def rights_changed(self, document_id: str) -> None:
        """From here on no append passes that rests on rights read before."""

    async def delete(self, document_id: str) -> None:
        """Remove the document with its log; appends under way may still be the last."""

    async def unsettled_of(self, replica_id: str) -> Sequence[str]:
        """Documents that a replica has appended to, perhaps without settling them."""

    async def settled_for(self, replica_id: str, document_id: str) -> None:
        """Another replica has settled one of those for it."""

    async def stop(self) -> None:
        """Wait for the appends under way."""


def gone(document_id: str) -> NotFound:
    """The refusal for a document that does not exist, or that the caller may not know of."""
    note_id = note_of(document_id)
    return NotFound(f"no note {note_id}" if note_id else f"no document {document_id}")
