"""The log of documents in SQL.

Commits are grouped: what arrives while a transaction runs goes, for all documents
together, into the next one. So a busy server makes few transactions, an idle one waits
for nothing. An append that returned survives the end of the process by any means.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from heliograph.documents.log import Entry, Head, Logged, gone
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
    entries: Sequence[Entry]
    first_seq: asyncio.Future[int] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def fail(self, error: Exception) -> None:
        if not self.first_seq.done():
            self.first_seq.set_exception(error)


class SqlDocumentLog:
    """A :class:`~heliograph.documents.log.DocumentLog` in the tables ``documents`` and
    ``document_updates``."""

    def __init__(self, database: Database) -> None:
        self._database = database
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
                            Document.snapshot,
                            Document.snapshot_seq,
                            Document.seq,
                            Document.updated_at,
                        ).where(Document.id == document_id)
                    )
                ).first()
                if row is None:
                    return None
                rows = (
                    await session.execute(
                        select(DocumentUpdate.seq, DocumentUpdate.update)
                        .where(
                            DocumentUpdate.document_id == document_id,
                            DocumentUpdate.seq > row.snapshot_seq,
                        )
                        .order_by(DocumentUpdate.seq)
                    )
                ).all()
            # The two queries are not one moment. More rows than `seq` said are welcome;
            # fewer mean that a compaction came in between.
            last = row.snapshot_seq + len(rows)
            if last >= row.seq and (not rows or rows[-1].seq == last):
                return Logged(
                    row.snapshot, row.snapshot_seq, [r.update for r in rows], last, row.updated_at
                )
        log.error("documents.log_has_gaps", document_id=document_id)
        raise Unavailable(f"the log of {document_id} cannot be read in full")

    async def heads(self, document_ids: Sequence[str]) -> Mapping[str, Head]:
        """How far each document is; those that do not exist are not in the answer."""
        query = select(Document.id, Document.seq, Document.updated_at)
        async with self._database.read() as session:
            rows = await session.execute(query.where(Document.id.in_(document_ids)))
            return {row.id: Head(row.seq, row.updated_at) for row in rows}

    async def compact(self, document_id: str, up_to_seq: int, snapshot: bytes) -> None:
        """Let ``snapshot`` stand for everything up to ``up_to_seq`` and drop that much log."""
        async with self._database.write() as session:
            moved = await session.execute(
                update(Document)
                .where(
                    Document.id == document_id,
                    Document.snapshot_seq < up_to_seq,
                    Document.seq >= up_to_seq,
                )
                .values(snapshot=snapshot, snapshot_seq=up_to_seq)
                .returning(Document.id)
            )
            if moved.first() is None:
                return
            await session.execute(
                delete(DocumentUpdate).where(
                    DocumentUpdate.document_id == document_id, DocumentUpdate.seq <= up_to_seq
                )
            )

    async def delete(self, document_id: str) -> None:
        """Remove the document with its log."""
        async with self._database.write() as session:
            await session.execute(delete(Document).where(Document.id == document_id))

    # -- appending -------------------------------------------------------------------

    async def append(self, document_id: str, entries: Sequence[Entry]) -> int:
        """Append updates, all or none, and return the sequence of the first."""
        waiting = _Append(document_id, entries)
        self._waiting.append(waiting)
        if self._committer is None:
            self._committer = asyncio.create_task(self._commit_all())
        return await waiting.first_seq

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
        by_document: dict[str, list[_Append]] = {}
        for each in group:
            by_document.setdefault(each.document_id, []).append(each)
        now = now_ns()
        rows = []
        first: dict[_Append, int] = {}
        async with self._database.write() as session:
            # In the order of ids, so that two processes cannot wait for each other.
            for document_id, appends in sorted(by_document.items()):
                count = sum(len(each.entries) for each in appends)
                last = await session.scalar(
                    update(Document)
                    .where(Document.id == document_id)
                    .values(seq=Document.seq + count, updated_at=now)
                    .returning(Document.seq)
                )
                if last is None:
                    continue
                seq = last - count
                for each in appends:
                    first[each] = seq + 1
                    for entry in each.entries:
                        seq += 1
                        rows.append(
                            {
                                "document_id": document_id,
                                "seq": seq,
                                "user_id": entry.user_id,
                                "update": entry.update,
                                "created_at": now,
                            }
                        )
            if rows:
                await session.execute(insert(DocumentUpdate), rows)
        for each in group:
            if each not in first:
                each.fail(gone(each.document_id))
            elif not each.first_seq.done():
                each.first_seq.set_result(first[each])
