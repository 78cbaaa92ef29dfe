"""The log of documents for any number of replicas: what is hot in Redis, what has settled in SQL.

An update is appended and relayed by one function. Compaction writes the snapshot into SQL,
fenced by the snapshot it was made of, and drops what it was made of from Redis only after
that commit; nothing is dropped by length or age. A document is what SQL has and everything
that Redis has, whether or not some of it is in the snapshot already: Yjs takes an update
twice without harm, so no failure between the two can lose anything.

When Redis has nothing of a document, because nobody used it for a while or because Redis lost
its data, the log begins anew where SQL's snapshot ends. Copies of another log notice by its
mark (see :class:`~heliograph.documents.log.Place`) and bring back what they have.

Limit: an acknowledged update is as safe as Redis makes it until it has settled, which takes
seconds; ``DELIVERY_DURABILITY=replicated`` makes it survive a failover.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from heliograph.backplane import Backplane
from heliograph.cluster import Replica
from heliograph.delivery import Position, RedisBroker
from heliograph.documents.ids import document_room
from heliograph.documents.log import (
    Appended,
    Entry,
    Head,
    Logged,
    LogMoved,
    News,
    Place,
    RightsMoved,
)
from heliograph.documents.owned import Owned
from heliograph.documents.sql_log import SqlDocumentLog, store_snapshot
from heliograph.errors import Unavailable
from heliograph.store import Database, now_ns
from heliograph.telemetry import get_logger

log = get_logger(__name__)

_MARK = 8  # bytes
_LOADS = 6


class _Hot(NamedTuple):
    """What Redis has of a document, see ``documents.lua``."""

    life: str
    base: int
    mark: bytes
    seq: int
    rights: str
    updated_at: int
    entries: Sequence[bytes]

    @property
    def place(self) -> Place:
        mark = self.entries[-1][:_MARK] if self.entries else self.mark
        return Place(self.life, self.seq, mark)


class RedisDocumentLog:
    """A :class:`~heliograph.documents.log.DocumentLog` that replicas share."""

    def __init__(
        self, database: Database, backplane: Backplane, broker: RedisBroker, replica: Replica
    ) -> None:
        self._database = database
        self._settled = SqlDocumentLog(database, broker)
        self._backplane = backplane
        self._broker = broker
        self._unsettled = Owned(backplane, replica, "unsettled")
        self._flying: Counter[str] = Counter()  # appends under way
        self._started: Counter[str] = Counter()  # appends since it was last settled

    def _keys(self, document_id: str) -> list[str]:
        room = document_room(document_id)
        key = self._backplane.key
        return [key("ydoc:documents", room, "head"), key("ydoc:documents", room, "updates")]

    async def create(self, document_id: str, owner_id: str, state: bytes | None) -> bool:
        """Make a document; whether this call made it."""
        return await self._settled.create(document_id, owner_id, state)

    # -- reading ---------------------------------------------------------------------

    async def load(self, document_id: str) -> Logged | None:
        """The document, or ``None`` when there is none."""
        keys = self._keys(document_id)
        for _ in range(_LOADS):
            # Redis first: what is dropped there in between is in SQL then.
            hot = await self._read(keys)
            settled = await self._settled.load(document_id)
            if settled is None:
                if hot is not None or document_id in self._unsettled:
                    # It was deleted elsewhere, or went with its owner.
                    await self._forget(document_id, hot.life if hot is not None else "-")
                return None
            if hot is None or hot.life != settled.place.life or hot.seq < settled.seq:
                await self._begin(document_id, keys, hot, settled)
                continue
            updates = [*settled.updates, *(entry[_MARK:] for entry in hot.entries)]
            return Logged(
                settled.snapshot,
                settled.snapshot_seq,
                updates,
                hot.place,
                hot.rights,
                max(hot.updated_at, settled.updated_at),
                Place(hot.life, hot.base, hot.mark),
            )
        raise Unavailable(f"the log of {document_id} does not hold still; try again")

    async def _read(self, keys: Sequence[str]) -> _Hot | None:
        # Durable: with replicated delivery nothing is shown that could still be lost.
        found = await self._backplane.call("document_read", keys, durable=True)
        if found is None:
            return None
        life, base, mark, seq, rights, updated, entries = found
        return _Hot(life.decode(), base, mark, seq, rights.decode(), int(updated), entries)

    async def _begin(
        self, document_id: str, keys: Sequence[str], hot: _Hot | None, settled: Logged
    ) -> None:
        args = (
            hot.life if hot else "", settled.place.life, settled.seq, settled.updated_at,
            os.urandom(_MARK), _new_token(),
        )  # fmt: skip
        how = (await self._backplane.call("document_begin", keys, args)).decode()
        level = log.info if how in ("begun", "kept") else log.warning
        level(f"documents.log_{how}", document_id=document_id, seq=settled.seq)

    async def since(self, document_id: str, place: Place) -> News:
        """What came after a place."""
        state, *rest = await self._broker.append_by(
            document_room(document_id),
            "document_since",
            self._keys(document_id),
            (place.life, place.seq, place.mark),
        )
        if state != b"ok":
            raise LogMoved
        seq, mark, rights, entries, epoch, room_seq = rest
        return News(
            [entry[_MARK:] for entry in entries],
            Place(place.life, seq, mark),
            rights.decode(),
            Position(epoch.decode(), room_seq),
        )

    async def heads(self, document_ids: Sequence[str]) -> Mapping[str, Head]:
        """How far each document is; those that do not exist are not in the answer."""
        settled = await self._settled.lives(document_ids)
        hot = await asyncio.gather(
            *(
                self._backplane.execute("HMGET", self._keys(each)[0], "life", "seq", "updated")
                for each in settled
            )
        )
        heads = {}
        for (document_id, (life, head)), (hot_life, seq, updated) in zip(
            settled.items(), hot, strict=True
        ):
            if hot_life is not None and hot_life.decode() == life:
                head = Head(max(head.seq, int(seq)), max(head.updated_at, int(updated)))
            heads[document_id] = head
        return heads

    # -- appending -------------------------------------------------------------------

    async def append(
        self, document_id: str, place: Place, rights: str, entries: Sequence[Entry]
    ) -> Appended:
        """Append updates, all or none, and relay them."""
        room = document_room(document_id)
        marks = [os.urandom(_MARK) for _ in entries]
        self._flying[document_id] += 1
        self._started[document_id] += 1
        try:
            # First: somebody has to settle it, even if this replica dies now.
            await self._unsettled.add(document_id)
            args: list[Any] = [place.life, place.seq, place.mark, rights, now_ns()]
            for mark, entry in zip(marks, entries, strict=True):
                assert entry.frame is not None
                args += mark, entry.update, await self._broker.envelope(room, entry.frame)
            state, *rest = await self._broker.append_by(
                room, "document_append", self._keys(document_id), args
            )
        finally:
            self._flying[document_id] -= 1
            if not self._flying[document_id]:
                del self._flying[document_id]
        if state == b"rights":
            raise RightsMoved(rest[0].decode())
        if state != b"ok":
            raise LogMoved
        first_seq, missed = rest
        end = Place(place.life, first_seq + len(entries) - 1, marks[-1])
        return Appended([entry[_MARK:] for entry in missed], first_seq, end)

    async def rights_changed(self, document_id: str) -> None:
        """From here on no append passes that rests on rights read before."""
        keys = self._keys(document_id)[:1]
        await self._backplane.call("document_rights", keys, [_new_token()], durable=True)

    # -- settling --------------------------------------------------------------------

    async def compact(self, document_id: str, logged: Logged, snapshot: bytes) -> bool:
        """Let ``snapshot`` stand for all of ``logged``, and drop that much of the log."""
        undisturbed = not self._flying[document_id]
        started = self._started[document_id]
        done = not logged.updates or await store_snapshot(
            self._database, document_id, logged, logged.seq, snapshot
        )
        if not done:
            return False
        empty = await self._backplane.call(
            "document_trim",
            self._keys(document_id),
            (logged.unsettled.life, logged.seq, logged.place.mark),
        )
        if empty and undisturbed and started == self._started[document_id]:
            self._started.pop(document_id, None)
            await self._unsettled.discard(document_id)
        return True

    async def unsettled_of(self, replica_id: str) -> Sequence[str]:
        """Documents that a replica has appended to, perhaps without settling them."""
        return await self._unsettled.of(replica_id)

    async def settled_for(self, replica_id: str, document_id: str) -> None:
        """Another replica has settled one of those for it."""
        await self._unsettled.remove(replica_id, document_id)

    async def delete(self, document_id: str) -> None:
        """Remove the document with its log; who still has a copy finds nothing to append to."""
        await self._settled.delete(document_id)
        await self._forget(document_id, "")

    async def _forget(self, document_id: str, life: str) -> None:
        """Drop what Redis has of a life (``""``: of any)."""
        keys = self._keys(document_id)
        await self._backplane.call("document_forget", keys, [life], durable=True)
        self._started.pop(document_id, None)
        await self._unsettled.discard(document_id)

    async def stop(self) -> None:
        """Wait for the appends under way; whoever waits for one does."""


def _new_token() -> str:
    return os.urandom(_MARK).hex()
