"""The open documents of a replica: opened when somebody needs them, closed when nobody does.

A document is open at most once on a replica; a note that has no document yet gets it from
its text, once, whoever else opens it at the same moment, on whichever replica.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator

from heliograph.documents.access import Access, may_write
from heliograph.documents.ids import note_of
from heliograph.documents.log import DocumentLog, Logged
from heliograph.documents.members import Members
from heliograph.documents.notes_repository import NotesTable
from heliograph.documents.open import OpenDocument
from heliograph.documents.settling import Settler, Timing
from heliograph.documents.worker import Worker, seed


class Shelf:
    """Opens and closes documents."""

    def __init__(
        self,
        store: DocumentLog,
        access: Access,
        notes: NotesTable,
        members: Members,
        worker: Worker,
        settler: Settler,
        timing: Timing,
    ) -> None:
        self._store = store
        self._access = access
        self._notes = notes
        self._members = members
        self._worker = worker
        self._settler = settler
        self._timing = timing
        # Of its own: an editor must not wait until the text of some note has been derived.
        self._checker = Worker()
        self._sweeper: asyncio.Task[None] | None = None
        self.open: dict[str, OpenDocument] = {}
        settler.confirm = self._confirm

    def start(self) -> None:
        """Close idle documents from now on."""
        self._sweeper = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        """Finish the changes under way."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeper
        for document in list(self.open.values()):
            await document.settled()

    async def close(self) -> None:
        """End, after everything has settled."""
        await self._checker.stop()

    async def _confirm(self, document_id: str) -> int:
        document = self.open.get(document_id)
        if document is None:
            return 0
        with document.in_use():
            async with document.turn:
                return await document.confirm()

    @contextlib.contextmanager
    def use(self, document_id: str) -> Iterator[OpenDocument]:
        """The open document, which stays open in the block. Nothing is read yet."""
        document = self.open.get(document_id)
        if document is None:
            document = self.open[document_id] = OpenDocument(
                document_id,
                self._store,
                self._checker,
                load=lambda: self._load(document_id),
                rights=lambda: self._access.rights(document_id),
                may_write=may_write,
                on_change=self._settler.changed,
            )
        with document.in_use():
            yield document

    async def _load(self, document_id: str) -> Logged | None:
        logged = await self._store.load(document_id)
        if logged is None and (note_id := note_of(document_id)):
            note = await self._notes.seed(note_id)
            if note is not None:
                owner_id, markdown = note
                made = await self._worker.run(len(markdown), seed, markdown)
                await self._store.create(document_id, owner_id, made.state or None)
                logged = await self._store.load(document_id)
        if logged is not None and len(logged.updates) > 2 * self._timing.rows:
            # Left behind by a process that was killed: too much to replay here.
            await self._settler.settle(document_id)
            logged = await self._store.load(document_id)
        if logged is not None and logged.updates:
            self._settler.found(document_id)
        return logged

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self._timing.close_after / 4)
            self.close_idle()

    def close_idle(self) -> None:
        """Close the documents that nobody has used for a while."""
        oldest = time.monotonic() - self._timing.close_after
        for document_id, document in list(self.open.items()):
            unused = document.idle and document.used_at < oldest
            if not unused or self._members.of(document_id):
                continue
            # Its copy is of use until it has settled: Redis may lose what it has.
            if not self._settler.soon(document_id):
                del self.open[document_id]
