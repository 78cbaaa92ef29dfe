"""One open document: its live copy, and the line in which its changes wait.

The log is the truth; the copy is a cache that is thrown away whenever the two could
differ. Everything that depends on the order of changes happens under :attr:`turn`:
checking, applying, logging, relaying, and handing a joiner its state. So a joiner's state
and the updates it is sent afterwards meet exactly, and an acknowledged update has been
logged and relayed, in the order of the log.

Changes that wait together are logged together: a document with many editors makes no more
transactions than the log can take.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pycrdt

from heliograph.delivery import Hub
from heliograph.documents.compaction import replay
from heliograph.documents.ids import document_room
from heliograph.documents.log import DocumentLog, Entry, Logged, gone
from heliograph.documents.updates import UpdateGate
from heliograph.documents.wire import BadUpdate, nesting, scan
from heliograph.documents.worker import Worker
from heliograph.errors import BadPayload, HeliographError, NotFound, TooLarge, Unavailable
from heliograph.principal import Principal
from heliograph.telemetry import get_logger

log = get_logger(__name__)

MAX_DOCUMENT_BYTES = 8 * 1024 * 1024
"""Largest document: its state must fit into one message to a joiner."""

_READING = 8
"""How many times cheaper bytes are read than a note's text is derived from them."""

Permit = Callable[[Principal], Awaitable[object]]
Load = Callable[[], Awaitable[Logged | None]]


@dataclass(eq=False, slots=True)
class _Change:
    user: Principal
    update: bytes
    sid: str | None
    seq: asyncio.Future[int] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def refuse(self, error: Exception) -> None:
        if not self.seq.done():
            self.seq.set_exception(error)

    def acknowledge(self, seq: int) -> None:
        if not self.seq.done():
            self.seq.set_result(seq)


class _Copy:
    """The document in memory, as of ``seq``."""

    def __init__(self, logged: Logged, checker: Worker) -> None:
        self._checker = checker
        self.doc: pycrdt.Doc[Any] = replay(logged.snapshot, logged.updates)
        self.seq = logged.seq
        self._gate = UpdateGate(self.doc)
        self._most_bytes = logged.size
        # The document holds its observer: that one must not hold the document.
        self._changes = changes = [0]
        self._watching = self.doc.observe(lambda _: _count(changes))

    async def apply(self, update: bytes) -> bool:
        """Apply an update; whether it changed anything.

        :raises HeliographError: ``bad_update``, ``missing_dependencies`` or ``too_large``;
            the document is as it was.
        """
        if self._most_bytes + len(update) > MAX_DOCUMENT_BYTES:
            self._most_bytes = len(self.doc.get_update())
            if self._most_bytes + len(update) > MAX_DOCUMENT_BYTES:
                raise TooLarge(f"the document would be larger than {MAX_DOCUMENT_BYTES} bytes")
        before = self._changes[0]
        try:
            facts = await self._checker.run(len(update) // _READING, scan, update)
            depth = None
            if self._gate.must_measure(facts):
                state = self.doc.get_update()
                size = (len(state) + len(update)) // _READING
                depth = await self._checker.run(size, nesting, (state, update))
            self._gate.apply(update, facts, depth)
        except BadUpdate as error:
            code = "missing_dependencies" if error.code == "missing" else "bad_update"
            raise BadPayload(str(error), code=code, path="update") from error
        self._most_bytes += len(update)
        return self._changes[0] != before


def _count(changes: list[int]) -> None:
    changes[0] += 1


class OpenDocument:
    """A document that somebody uses.

    :param checker: reads big updates.
    :param load: reads it from the log.
    :param permit: raises when a user may not change it, asked for each change.
    :param on_change: called after changes were logged, with the id, their number and bytes.
    """

    def __init__(
        self,
        document_id: str,
        store: DocumentLog,
        hub: Hub,
        checker: Worker,
        *,
        load: Load,
        permit: Permit,
        on_change: Callable[[str, int, int], None],
    ) -> None:
        self.id = document_id
        self.turn = asyncio.Lock()
        self.editing = asyncio.Lock()  # one edit of a whole note at a time
        self.used_at = time.monotonic()
        self._store = store
        self._hub = hub
        self._checker = checker
        self._load = load
        self._permit = permit
        self._on_change = on_change
        self._copy: _Copy | None = None
        self._users = 0
        self._waiting: list[_Change] = []
        self._writer: asyncio.Task[None] | None = None

    @contextmanager
    def in_use(self) -> Iterator[OpenDocument]:
        """Keep it from being closed."""
        self._users += 1
        try:
            yield self
        finally:
            self._users -= 1
            self.used_at = time.monotonic()

    @property
    def idle(self) -> bool:
        """Whether nobody is doing anything with it right now."""
        return not self._users and not self._waiting and self._writer is None

    # -- reading ---------------------------------------------------------------------

    async def state(self, state_vector: bytes | None) -> tuple[bytes, int]:
        """What a client with ``state_vector`` lacks (all without one), and the sequence.

        To be called in :attr:`turn`.

        :raises BadPayload: the state vector is malformed.
        """
        copy = await self._opened()
        try:
            return copy.doc.get_update(state_vector), copy.seq
        except (KeyboardInterrupt, SystemExit, asyncio.CancelledError):
            raise
        except BaseException as error:  # the native library may panic
            raise BadPayload(f"state_vector: {error}", path="state_vector") from error

    async def _opened(self) -> _Copy:
        if self._copy is None:
            logged = await self._load()
            if logged is None:
                raise gone(self.id)
            try:
                self._copy = _Copy(logged, self._checker)
            except BadUpdate as error:
                log.error("documents.log_unreadable", document_id=self.id, error=str(error))
                raise Unavailable(f"the log of {self.id} cannot be read") from error
        return self._copy

    def forget_copy(self) -> None:
        """Read it from the log again when it is next needed."""
        self._copy = None

    # -- writing ---------------------------------------------------------------------

    async def write(self, user: Principal, update: bytes, sid: str | None) -> int:
        """Check, log and relay an update; its sequence, or the present one when it changes
        nothing.

        :param sid: the sender, which is not sent its own update.
        :raises HeliographError: refused; nothing was changed.
        """
        change = _Change(user, update, sid)
        self._waiting.append(change)
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_all())
        return await change.seq

    async def settled(self) -> None:
        """Wait until no change is waiting."""
        while self._writer is not None:
            await asyncio.wait({self._writer})

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                async with self.turn:
                    changes, self._waiting = self._waiting, []
                    try:
                        await self._write(changes)
                    except Exception as error:
                        # Whatever it was, the copy may have what the log has not.
                        self.forget_copy()
                        if not isinstance(error, HeliographError):
                            log.error("documents.write_failed", exc_info=error)
                            error = Unavailable("the change could not be stored; send it again")
                        for change in changes:
                            change.refuse(error)
        finally:
            self._writer = None

    async def _write(self, changes: list[_Change]) -> None:
        copy = await self._opened()
        applied: list[_Change] = []
        known: list[_Change] = []
        for change in changes:
            try:
                await self._permit(change.user)
                (applied if await copy.apply(change.update) else known).append(change)
            except HeliographError as refusal:
                change.refuse(refusal)
        if applied:
            entries = [Entry(change.user.id, change.update) for change in applied]
            seq = await self._store.append(self.id, entries)
            copy.seq = seq + len(applied) - 1
            self._on_change(self.id, len(applied), sum(len(each.update) for each in applied))
            for at, change in enumerate(applied, seq):
                await self._relay(change, at)
                change.acknowledge(at)
        for change in known:
            change.acknowledge(copy.seq)

    async def _relay(self, change: _Change, seq: int) -> None:
        data = {
            "document_id": self.id,
            "user_id": change.user.id,
            "update": change.update,
            "seq": seq,
        }
        await self._hub.publish(
            document_room(self.id), "ydoc:document:update", data, skip_sid=change.sid
        )

    def refuse_waiting(self, error: NotFound) -> None:
        """Refuse what waits, because the document is gone. To be called in :attr:`turn`."""
        self.forget_copy()
        changes, self._waiting = self._waiting, []
        for change in changes:
            change.refuse(error)
