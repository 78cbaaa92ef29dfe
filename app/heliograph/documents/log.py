"""The log of documents: what has been accepted, in order, for good.

:class:`DocumentLog` is what the rest of this feature knows of it. Guarantees of every
implementation: a sequence number is given out once per document, in order, without gaps;
an append that returned is in every later load; updates appended together are in the log
together or not at all; compaction never removes what its snapshot does not hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from heliograph.documents.ids import note_of
from heliograph.errors import NotFound


@dataclass(frozen=True, slots=True)
class Entry:
    """An update to append, and who sent it."""

    user_id: str
    update: bytes


@dataclass(frozen=True, slots=True)
class Logged:
    """A document as its log has it.

    :ivar snapshot: whole state up to ``snapshot_seq``; ``None`` for nothing.
    :ivar updates: those after the snapshot, in order.
    :ivar seq: of the last one.
    :ivar updated_at: when it came, nanoseconds since 1970.
    """

    snapshot: bytes | None
    snapshot_seq: int
    updates: Sequence[bytes]
    seq: int
    updated_at: int

    @property
    def size(self) -> int:
        """Bytes in all; at least the size of the compacted state."""
        return len(self.snapshot or b"") + sum(map(len, self.updates))


@dataclass(frozen=True, slots=True)
class Head:
    """How far a document's log is: the last sequence, and when it came (ns since 1970)."""

    seq: int
    updated_at: int


class DocumentLog(Protocol):
    """Stores the updates of documents."""

    async def create(self, document_id: str, owner_id: str, state: bytes | None) -> bool:
        """Make a document that begins with ``state``; whether this call made it.

        Of several calls at once exactly one makes it.
        """

    async def append(self, document_id: str, entries: Sequence[Entry]) -> int:
        """Append updates, all or none, and return the sequence of the first.

        :raises NotFound: there is no such document (any more).
        :raises Unavailable: not stored, as far as is known; try again.
        """

    async def load(self, document_id: str) -> Logged | None:
        """The document, or ``None`` when there is none."""

    async def heads(self, document_ids: Sequence[str]) -> Mapping[str, Head]:
        """How far each document is; those that do not exist are not in the answer."""

    async def compact(self, document_id: str, up_to_seq: int, snapshot: bytes) -> None:
        """Let ``snapshot`` stand for everything up to ``up_to_seq`` and drop that much log.

        No effect when a later snapshot is there. What others append meanwhile stays.
        """

    async def delete(self, document_id: str) -> None:
        """Remove the document with its log."""

    async def stop(self) -> None:
        """Wait for the appends under way."""


def gone(document_id: str) -> NotFound:
    """The refusal for a document that does not exist, or that the caller may not know of."""
    note_id = note_of(document_id)
    return NotFound(f"no note {note_id}" if note_id else f"no document {document_id}")
