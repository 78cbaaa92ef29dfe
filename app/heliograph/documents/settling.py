"""Settling: a document's log becomes a snapshot, a note's document becomes text.

It happens when a document has been quiet for a while, when its log has grown, and when it
is closed; never later than a minute after a change. The work is done in the worker, on the
log alone: nobody's typing waits for it, and what is appended meanwhile stays in the log.
Whoever needs a note's text sooner gets it derived at once.

Every replica settles what it has appended to; of two that do so at once one has no effect.
What a dead one left is settled in its place, or by whoever opens the document next.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from heliograph.documents.ids import note_of
from heliograph.documents.log import DocumentLog, Logged, gone
from heliograph.documents.richtext import NoteContent
from heliograph.documents.worker import Worker, settle
from heliograph.errors import NotFound, Unavailable
from heliograph.store import now_ns
from heliograph.telemetry import get_logger

log = get_logger(__name__)

_COST_SHARE = 0.1  # most of the worker's time that one document may take
_STOP_SECONDS = 5.0
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Timing:
    """When documents settle, close, and lose members; seconds, rows, bytes."""

    quiet: float = 3.0
    oldest: float = 60.0
    again: float = 60.0
    rows: int = 200
    bytes: int = 256 * 1024
    close_after: float = 30.0
    leave_after_detach: float = 30.0


@dataclass(frozen=True, slots=True)
class Text:
    """A note's text as of ``seq``, and when that came (nanoseconds since 1970)."""

    content: NoteContent
    seq: int
    updated_at: int


StoreText = Callable[[str, Text], Awaitable[None]]


@dataclass(eq=False, slots=True)
class _Unsettled:
    since: float
    rows: int = 0
    bytes: int = 0
    timer: asyncio.TimerHandle | None = None
    task: asyncio.Task[None] | None = None
    cost: float = 0.0

    def disarm(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class Settler:
    """Settles documents in time.

    :param store_text: keeps a note's text, by note id.
    :ivar confirm: sees to it that the log has what was accepted here; how far it is then.
    """

    def __init__(
        self, store: DocumentLog, worker: Worker, store_text: StoreText, timing: Timing
    ) -> None:
        self._store = store
        self._worker = worker
        self._store_text = store_text
        self._timing = timing
        self.confirm: Callable[[str], Awaitable[int]] = _as_it_is
        self._unsettled: dict[str, _Unsettled] = {}

    def changed(self, document_id: str, rows: int, size: int) -> None:
        """``rows`` updates of ``size`` bytes were appended."""
        now = time.monotonic()
        state = self._unsettled.get(document_id)
        if state is None:
            state = self._unsettled[document_id] = _Unsettled(now)
        if state.rows == 0:
            state.since = now
        state.rows += rows
        state.bytes += size
        if state.task is not None:
            return  # looked at again when it is done
        if state.rows >= self._timing.rows or state.bytes >= self._timing.bytes:
            self._start(document_id, state)
        else:
            left = state.since + self._timing.oldest - now
            quiet = max(self._timing.quiet, state.cost / _COST_SHARE)
            self._arm(document_id, state, max(0.0, min(quiet, left)))

    def found(self, document_id: str) -> None:
        """Updates were found that had not settled: somebody's who will settle them, or who
        was killed before they could."""
        if document_id not in self._unsettled:
            state = self._unsettled[document_id] = _Unsettled(time.monotonic())
            self._arm(document_id, state, self._timing.oldest)

    def is_pending(self, document_id: str) -> bool:
        """Whether it will be settled without being asked."""
        return document_id in self._unsettled

    def _arm(self, document_id: str, state: _Unsettled, delay: float) -> None:
        state.disarm()
        loop = asyncio.get_running_loop()
        state.timer = loop.call_later(delay, self._start, document_id, state)

    def _start(self, document_id: str, state: _Unsettled) -> None:
        state.disarm()
        if state.task is None:
            state.rows = state.bytes = 0
            state.task = asyncio.create_task(self._run(document_id, state))

    async def _run(self, document_id: str, state: _Unsettled) -> None:
        began = time.monotonic()
        try:
            logged = await self._confirmed(document_id)
            if not logged.updates:  # another replica was here
                await self._store.compact(document_id, logged, b"")
            elif not (await self._settle(document_id, logged))[1]:
                state.rows += 1  # another replica did it meanwhile: look again
        except NotFound:
            state.task = None
            self.forget(document_id)
            return
        except Exception as error:
            # The log has everything: nothing is lost but time.
            log.error("documents.not_settled", document_id=document_id, error=str(error)[:300])
            state.task = None
            self._arm(document_id, state, self._timing.again)
            return
        state.task = None
        state.cost = time.monotonic() - began
        if state.rows:
            self.changed(document_id, 0, 0)
        else:
            self._unsettled.pop(document_id, None)

    async def _confirmed(self, document_id: str) -> Logged:
        for _ in range(_TRIES):
            seq = await self.confirm(document_id)
            logged = await self._load(document_id)
            if logged.seq >= seq:
                return logged
        raise Unavailable(f"the log of {document_id} loses what it is given")

    async def settle(self, document_id: str) -> Text | None:
        """Settle a document now; the text if it is a note's.

        :raises NotFound: there is no such document.
        """
        text, _ = await self._settle(document_id, await self._load(document_id))
        return text

    async def _settle(self, document_id: str, logged: Logged) -> tuple[Text | None, bool]:
        """The text of a note, and whether the log was compacted."""
        note_id = note_of(document_id)
        done = await self._worker.run(
            logged.size, settle, logged.snapshot, logged.updates, note_id is not None
        )
        compacted = await self._store.compact(document_id, logged, done.state)
        if note_id is None or done.content is None:
            return None, compacted
        text = Text(done.content, logged.seq, logged.updated_at)
        if compacted:  # never ahead of the snapshot: that is where a lost log begins anew
            await self._store_text(note_id, text)
        return text, compacted

    async def text(self, document_id: str) -> Text:
        """A note's text as it is now.

        :raises NotFound: there is no such document.
        """
        logged = await self._load(document_id)
        fresh = now_ns() - logged.updated_at < self._timing.oldest * 1e9
        if not (self.is_pending(document_id) or (logged.updates and fresh)):
            # Nobody is going to.
            text, _ = await self._settle(document_id, logged)
            assert text is not None
            return text
        done = await self._worker.run(logged.size, settle, logged.snapshot, logged.updates, True)
        assert done.content is not None
        return Text(done.content, logged.seq, logged.updated_at)

    async def settle_for(self, replica_id: str) -> None:
        """Settle what a dead replica has not.

        :raises ExceptionGroup: some could not be; they are left for the next try.
        """
        failures: list[Exception] = []
        for document_id in await self._store.unsettled_of(replica_id):
            try:
                await self.settle(document_id)
            except NotFound:
                pass  # deleted
            except Exception as error:
                failures.append(error)
                continue
            await self._store.settled_for(replica_id, document_id)
        if failures:
            raise ExceptionGroup(f"documents of {replica_id} not settled", failures)

    async def _load(self, document_id: str) -> Logged:
        logged = await self._store.load(document_id)
        if logged is None:
            raise gone(document_id)
        return logged

    def soon(self, document_id: str) -> bool:
        """Settle what was changed here, without waiting for quiet; whether there is any."""
        state = self._unsettled.get(document_id)
        if state is not None and state.rows:
            self._start(document_id, state)
        return state is not None and state.task is not None

    def forget(self, document_id: str) -> None:
        """The document is gone."""
        state = self._unsettled.pop(document_id, None)
        if state is not None:
            state.disarm()

    async def stop(self) -> None:
        """Settle what is left, as far as a few seconds go; the rest is derived when read."""
        ends = time.monotonic() + _STOP_SECONDS
        while tasks := self._start_all():
            _, left = await asyncio.wait(tasks, timeout=max(0.0, ends - time.monotonic()))
            if left:
                for task in left:
                    task.cancel()
                await asyncio.gather(*left, return_exceptions=True)
                break
        for state in self._unsettled.values():
            state.disarm()

    def _start_all(self) -> list[asyncio.Task[None]]:
        for document_id, state in list(self._unsettled.items()):
            if state.rows:
                self._start(document_id, state)
        return [state.task for state in self._unsettled.values() if state.task is not None]


async def _as_it_is(document_id: str) -> int:
    """The log loses nothing."""
    return 0
