"""The log of documents in SQL, for one process.

Commits are grouped: what arrives while a transaction runs goes, for all documents
together, into the next one. So a busy server makes few transactions, an idle one waits
for nothing. An append that returned survives the end of the process by any means; it is
relayed after its commit, in the order of the log.

Other processes may append to the same tables (tests do) and nothing is lost or doubled,
but their editors are not told: that takes a broker, and the log beside it.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import case, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from heliograph.delivery import Broker
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
    gone,
)
from heliograph.errors import Unavailable
from heliograph.store import Database, now_ns
from heliograph.store.models import Document, DocumentUpdate
from heliograph.telemetry import get_logger

log = get_logger(__name__)

_MOST_AT_ONCE = 1_000  # entries in one transaction
_LOADS = 5


@dataclass(eq=False, slots=True)
class _Append:
    document_id: str
    place: Place
    entries: Sequence[Entry]
    done: asyncio.Future[Appended] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class SqlDocumentLog:
    """A :class:`~heliograph.documents.log.DocumentLog` in the tables ``documents`` and
    ``document_updates``."""

    def __init__(self, database: Database, broker: Broker) -> None:
        self._database = database
        self._broker = broker
        self._rights: dict[str, str] = {}
        self._waiting: deque[_Append] = deque()
        self._committer: asyncio.Task[None] | None = None

    async def create(self, document_id: str, owner_id: str, state: bytes | None) -> bool:
        """Make a document; whether this call made it."""
        now = now_ns()
        dialect = postgresql if self._database.dialect == "postgresql" else sqlite
        row = dialect.insert(Document).values(
            id=document_id, user_id=owner_id, seq=0, snapshot=state, snapshot_seq=0,
            created_at=now, updated_at=now,
        )  # fmt: skip
        async with self._database.write() as session:
            made = await session.execute(row.on_conflict_do_nothing().returning(Document.id))
            return made.first() is not None

    async def load(self, document_id: str) -> Logged | None:
        """The document, or ``None`` when there is none."""
        for _ in range(_LOADS):
            async with self._database.read() as session:
                row = (
                    await session.execute(
                        select(
                            Document.created_at,
                            Document.snapshot,
                            Document.snapshot_seq,
                            Document.seq,
                            Document.updated_at,
                        ).where(Document.id == document_id)
                    )
                ).first()
                if row is None:
                    return None
                rows = await self._rows(session, document_id, row.snapshot_seq)
            # The two queries are not one moment. More rows than `seq` said are welcome;
            # fewer mean that a compaction came in between.
            last = row.snapshot_seq + len(rows)
            if last >= row.seq and (not rows or rows[-1][0] == last):
                life = str(row.created_at)
                return Logged(
                    row.snapshot,
                    row.snapshot_seq,
                    [update for _, update in rows],
                    Place(life, last),
                    self._rights.get(document_id, ""),
                    row.updated_at,
                    Place(life, row.snapshot_seq),
                )
        log.error("documents.log_has_gaps", document_id=document_id)
        raise Unavailable(f"the log of {document_id} cannot be read in full")

    async def _rows(
        self, session: AsyncSession, document_id: str, after: int, before: int = 2**62
    ) -> list[tuple[int, bytes]]:
        rows = await session.execute(
            select(DocumentUpdate.seq, DocumentUpdate.update)
            .where(
                DocumentUpdate.document_id == document_id,
                DocumentUpdate.seq > after,
                DocumentUpdate.seq < before,
            )
            .order_by(DocumentUpdate.seq)
        )
        return [(row.seq, row.update) for row in rows]

    async def since(self, document_id: str, place: Place) -> News:
        """What came after a place."""
        room = await self._broker.position(document_room(document_id))
        async with self._database.read() as session:
            row = (
                await session.execute(
                    select(Document.created_at, Document.seq).where(Document.id == document_id)
                )
            ).first()
            if row is None:
                raise gone(document_id)
            if place.life != str(row.created_at) or place.seq > row.seq:
                raise LogMoved
            rows = [] if place.seq == row.seq else await self._rows(
                session, document_id, place.seq
            )  # fmt: skip
        last = rows[-1][0] if rows else place.seq
        whole = last >= row.seq and last == place.seq + len(rows)
        return News(
            [update for _, update in rows] if whole else None,
            Place(place.life, last),
            self._rights.get(document_id, ""),
            room,
        )

    async def heads(self, document_ids: Sequence[str]) -> Mapping[str, Head]:
        """How far each document is; those that do not exist are not in the answer."""
        found = await self.lives(document_ids)
        return {document_id: head for document_id, (_, head) in found.items()}

    async def lives(self, document_ids: Sequence[str]) -> dict[str, tuple[str, Head]]:
        """The life of each document, and how far it is."""
        query = select(Document.id, Document.created_at, Document.seq, Document.updated_at)
        async with self._database.read() as session:
            rows = await session.execute(query.where(Document.id.in_(document_ids)))
            return {row.id: (str(row.created_at), Head(row.seq, row.updated_at)) for row in rows}

    async def compact(self, document_id: str, logged: Logged, snapshot: bytes) -> bool:
        """Let ``snapshot`` stand for all of ``logged`` and drop that much log."""
        if not logged.updates:
            return True
        return await store_snapshot(self._database, document_id, logged, logged.seq, snapshot)

    async def rights_changed(self, document_id: str) -> None:
        """From here on no append passes that rests on rights read before."""
        self._rights[document_id] = uuid.uuid4().hex

    async def delete(self, document_id: str) -> None:
        """Remove the document with its log."""
        async with self._database.write() as session:
            await session.execute(delete(Document).where(Document.id == document_id))
        self._rights.pop(document_id, None)

    async def unsettled_of(self, replica_id: str) -> Sequence[str]:
        """There is no other replica; what a dead process left is found when it is opened."""
        return ()

    async def settled_for(self, replica_id: str, document_id: str) -> None:
        """See :meth:`unsettled_of`."""

    # -- appending -------------------------------------------------------------------

    async def append(
        self, document_id: str, place: Place, rights: str, entries: Sequence[Entry]
    ) -> Appended:
        """Append updates, all or none, and relay them."""
        now = self._rights.get(document_id, "")
        if rights != now:
            raise RightsMoved(now)
        waiting = _Append(document_id, place, entries)
        self._waiting.append(waiting)
        if self._committer is None:
            self._committer = asyncio.create_task(self._commit_all())
        appended = await waiting.done
        room = document_room(document_id)
        for seq, entry in enumerate(entries, appended.first_seq):
            if entry.frame is not None:
                await self._broker.publish(room, entry.frame.with_number(seq))
        return appended

    async def stop(self) -> None:
        """Wait for the appends under way."""
        while self._committer is not None:
            await asyncio.wait({self._committer})

    async def _commit_all(self) -> None:
        try:
            while self._waiting:
                group = self._next_group()
                try:
                    await self._commit(group)
                except Exception as error:
                    log.error("documents.append_failed", error=str(error)[:300])
                    for each in group:
                        each.fail(Unavailable("the change could not be stored; send it again"))
        finally:
            self._committer = None

    def _next_group(self) -> list[_Append]:
        group: list[_Append] = []
        entries = 0
        while self._waiting and (not group or entries < _MOST_AT_ONCE):
            group.append(self._waiting.popleft())
            entries += len(group[-1].entries)
        return group

    async def _commit(self, group: list[_Append]) -> None:
        by_document: dict[tuple[str, str], list[_Append]] = {}
        for each in group:
            by_document.setdefault((each.document_id, each.place.life), []).append(each)
        done: dict[_Append, Appended | Exception] = {}
        async with self._database.write() as session:
            # In the order of ids, so that two processes cannot wait for each other.
            for _, appends in sorted(by_document.items()):
                done.update(await self._append(session, appends))
        for each, result in done.items():
            if isinstance(result, Exception):
                each.fail(result)
            elif not each.done.done():
                each.done.set_result(result)

    async def _append(
        self, session: AsyncSession, appends: list[_Append]
    ) -> dict[_Append, Appended | Exception]:
        document_id, life = appends[0].document_id, appends[0].place.life
        count = sum(len(each.entries) for each in appends)
        now = now_ns()
        last = await session.scalar(
            update(Document)
            .where(Document.id == document_id, Document.created_at == int(life))
            .values(seq=Document.seq + count, updated_at=now)
            .returning(Document.seq)
        )
        if last is None:
            there = await session.scalar(select(Document.id).where(Document.id == document_id))
            return dict.fromkeys(appends, gone(document_id) if there is None else LogMoved())
        first = last - count + 1
        known = min(each.place.seq for each in appends)
        before = [] if known >= first - 1 else await self._rows(
            session, document_id, known, first
        )  # fmt: skip
        entries = [entry for each in appends for entry in each.entries]
        await session.execute(
            insert(DocumentUpdate),
            [
                {
                    "document_id": document_id,
                    "seq": seq,
                    "user_id": entry.user_id or None,
                    "update": entry.update,
                    "created_at": now,
                }
                for seq, entry in enumerate(entries, first)
            ],
        )
        log_now = [*before, *((seq, entry.update) for seq, entry in enumerate(entries, first))]
        done: dict[_Append, Appended | Exception] = {}
        for each in appends:
            missed = [update for seq, update in log_now if each.place.seq < seq < first]
            whole = len(missed) == first - 1 - each.place.seq
            end = first + len(each.entries) - 1
            done[each] = Appended(missed if whole else None, first, Place(life, end))
            first = end + 1
        return done


async def store_snapshot(
    database: Database, document_id: str, logged: Logged, seq: int, snapshot: bytes
) -> bool:
    """Put ``snapshot``, made of ``logged`` and named ``seq``, in place of the one that was
    read, and drop the rows up to it; whether that one was still there."""
    async with database.write() as session:
        moved = await session.execute(
            update(Document)
            .where(
                Document.id == document_id,
                Document.created_at == int(logged.place.life),
                Document.snapshot_seq == logged.snapshot_seq,
            )
            .values(
                snapshot=snapshot,
                snapshot_seq=seq,
                seq=case((Document.seq < seq, seq), else_=Document.seq),
                updated_at=case(
                    (Document.updated_at < logged.updated_at, logged.updated_at),
                    else_=Document.updated_at,
                ),
            )
            .returning(Document.id)
        )
        if moved.first() is None:
            return False
        await session.execute(
            delete(DocumentUpdate).where(
                DocumentUpdate.document_id == document_id, DocumentUpdate.seq <= seq
            )
        )
        return True
