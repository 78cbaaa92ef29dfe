"""One answer in flight: published with a sequence, hot in its log, settling into SQL behind.

Guarantees: deltas of one answer are published in order, each with the next ``seq``, and are
in the log that all replicas read before anybody gets them; whatever the database does,
nothing that arrived is lost while the process lives. An answer that was ended by others
(this process was frozen and counted as dead, or the chat was deleted) is written no more.
Limits: one answer has at most :data:`MAX_ANSWER` characters; after a SIGKILL others have
what was published.

Tokens that come close together travel as one delta.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from heliograph.chat import settling
from heliograph.chat.hot import Delta, HotLog, Resume, StreamRef, Verdict, resume
from heliograph.chat.outlet import Outlet
from heliograph.chat.rows import Ending
from heliograph.chat.settling import Parts, Settlement, Settles
from heliograph.chat.text import clean_text, ends_in_half_a_pair
from heliograph.errors import Conflict, TooLarge, Unavailable
from heliograph.telemetry import get_logger

log = get_logger(__name__)

MAX_ANSWER = 4 * 1024 * 1024
"""Characters in one answer, at most."""

_MAX_DELTA = 64 * 1024
_PATIENCE = 5.0  # an end that cannot be stored is told to the user after this


class Stream:
    """One answer in flight.

    :ivar ref: which writing of which answer it is.
    :ivar size: characters taken so far.
    :ivar ending: how it ended; ``None`` while it is being written.
    :ivar taken: others have ended it, or write it; nothing of it is published any more.
    :ivar on_taken: called when that is found out.

    :param store: where it settles; ``None`` for one that is never stored.
    :param forget: called when it takes no more; removes its log.
    :param let_go: called when everybody was told of its end. Until then it is on the list of its
        replica, so that others tell of it should the replica die.
    """

    def __init__(
        self,
        ref: StreamRef,
        outlet: Outlet,
        store: Settles | None,
        hot: HotLog,
        *,
        interval: float,
        settle_seconds: float,
        forget: Callable[[Stream], asyncio.Future[None]],
        let_go: Callable[[Stream], object],
    ) -> None:
        self.ref = ref
        self.outlet = outlet
        self.size = 0
        self.ending: Ending | None = None
        self.taken = False
        self.on_taken: Callable[[], object] = _nobody
        self._hot = hot
        self._interval = interval
        self._forget = forget
        self._let_go = let_go
        self._parts = Parts()
        self._settlement = Settlement(
            self._parts,
            store,
            ref.chat_id,
            ref.message_id,
            ref.replica,
            seconds=settle_seconds,
            on_lost=self._lose,
        )
        self._pending: list[str] = []
        self._held = ""
        self._publishing = asyncio.Lock()
        self._pacer: asyncio.Task[None] | None = None

    @property
    def message_id(self) -> str:
        """The answer's message."""
        return self.ref.message_id

    # -- reading ---------------------------------------------------------------------

    @property
    def seq(self) -> int:
        """The sequence of the last delta; 0 before the first."""
        return self._parts.last_seq

    @property
    def content(self) -> str:
        """What has been published so far, up to :attr:`seq`."""
        return self._parts.text()

    @property
    def writes(self) -> int:
        """How often it was written to the database."""
        return self._settlement.writes

    def since(self, last_seq: int | None) -> Resume:
        """What a client that has everything up to ``last_seq`` lacks."""
        return resume(self.message_id, self._parts, last_seq)

    # -- writing ---------------------------------------------------------------------

    def append(self, text: str) -> None:
        """Add text; it is published at once, or with what comes within the interval.

        :raises TooLarge: the answer would exceed :data:`MAX_ANSWER`.
        :raises Conflict: ``answer_taken``, others have ended it.
        """
        if not text:
            return
        if self.taken:
            raise _taken(self.message_id)
        if self.size + len(text) > MAX_ANSWER:
            raise _too_large()
        self.size += len(text)
        self._pending.append(text)
        if self._pacer is None:
            self._pacer = asyncio.create_task(self._pace())

    async def replace(self, text: str) -> None:
        """Set the whole content; published with a sequence of its own.

        :raises TooLarge: over :data:`MAX_ANSWER`.
        :raises Conflict: ``answer_taken``, others have ended it.
        """
        if len(text) > MAX_ANSWER:
            raise _too_large()
        async with self._publishing:
            if self.taken:
                raise _taken(self.message_id)
            text = clean_text(text)
            self._pending.clear()
            self._held = ""
            self.size = len(text)
            self._parts.replace(text)
            await self._publish(text, whole=True)

    async def flush(self) -> None:
        """Publish what waits."""
        async with self._publishing:
            await self._publish_pending(all_of_it=True)

    async def _pace(self) -> None:
        try:
            while self._pending:
                async with self._publishing:
                    await self._publish_pending()
                await asyncio.sleep(self._interval)
        finally:
            self._pacer = None

    async def _publish_pending(self, *, all_of_it: bool = False) -> None:
        text = self._held + "".join(self._pending)
        self._pending.clear()
        self._held = ""
        if not all_of_it and ends_in_half_a_pair(text):
            # The other half of the character is the beginning of the next token.
            self._held = text[-1]
            text = text[:-1]
        text = clean_text(text)
        for start in range(0, len(text), _MAX_DELTA):
            if self.taken:
                return
            part = text[start : start + _MAX_DELTA]
            self._parts.parts.append(part)
            await self._publish(part, whole=False)

    async def _publish(self, text: str, *, whole: bool) -> None:
        self._settlement.soon()
        delta = Delta(self.seq, text, whole)
        event = self.outlet.event("replace" if whole else "message", {"content": text}, delta.seq)
        try:
            verdict = await self._hot.append(self.ref, delta, event)
            if verdict is Verdict.LOST:
                # The log was lost, all or its end; what it must say is known here.
                verdict = await self._restore()
                if verdict is Verdict.DONE:
                    verdict = await self._hot.append(self.ref, delta, event)
            if verdict is Verdict.DONE:
                await self.outlet.send_to_readers(event)
            elif verdict is Verdict.TAKEN:
                self._lose()
        except Unavailable as error:
            # As below.
            log.warning("stream.publish_failed", message_id=self.message_id, error=error.message)
        except Exception:
            # Its clients see the gap in `seq` and ask again through `join-chat`; the next
            # delta finds the log behind and mends it.
            log.exception("stream.publish_failed", message_id=self.message_id, seq=self.seq)

    # -- being its only writer -------------------------------------------------------

    async def _restore(self) -> Verdict:
        # Write the log anew, unless the answer was taken.
        stored = self._settlement.stored
        if stored and not await self._settlement.is_ours():
            return Verdict.TAKEN
        return await self._hot.restore(self.ref, self.seq, self.content, sure=stored)

    def _lose(self) -> None:
        if not self.taken:
            self.taken = True
            log.warning("stream.taken", message_id=self.message_id, replica=self.ref.replica)
            self._pending.clear()
            self._settlement.close()
            self.on_taken()

    # -- ending ----------------------------------------------------------------------

    async def end(self, ending: Ending, announce: Callable[[], Awaitable[None]]) -> None:
        """Publish and settle the rest with how it ended, then have it announced.

        Returns when it is in the database, however long that takes; the end is announced
        after :data:`_PATIENCE` seconds in any case. What others append until then is kept.
        One that was taken has been announced by whoever took it.
        """
        await self.flush()
        self.ending = ending
        self._settlement.close()
        announced = False
        loop = asyncio.get_running_loop()
        impatient_at = loop.time() + _PATIENCE
        delay = settling.FIRST_RETRY
        while not self.taken:
            if await self._settlement.write(ending):
                await self.flush()
                if not self._pending and self._settlement.complete:
                    break
                ending = replace(ending, usage=None)  # stored
                continue
            if not announced and loop.time() + delay > impatient_at:
                announced = True
                await announce()
            await asyncio.sleep(delay)
            delay = min(2 * delay, settling.LAST_RETRY)
        if self.taken:
            await self._settlement.quiet()
        await asyncio.shield(self._take_no_more())
        if not announced and not self.taken:
            await announce()
        self._let_go(self)

    def close(self) -> None:
        """Take no more: it never began, or there is nobody to tell of its end."""
        self._take_no_more()
        self._let_go(self)

    def _take_no_more(self) -> asyncio.Future[None]:
        # Whatever comes later goes to the database. Done when the log is gone.
        self._settlement.close()
        if self._pacer is not None:
            self._pacer.cancel()
        return self._forget(self)


def _nobody() -> None:
    """Who is not interested in a loss."""


def _too_large() -> TooLarge:
    return TooLarge(f"the answer is longer than {MAX_ANSWER} characters", code="answer_too_large")


def _taken(message_id: str) -> Conflict:
    return Conflict(f"the answer {message_id} was ended by others", code="answer_taken")
