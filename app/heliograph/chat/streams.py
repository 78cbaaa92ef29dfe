"""Answers in flight: hot in memory with a sequence, settling into SQL behind.

Guarantees: deltas of one answer are published in order, each with the next ``seq``;
what is asked for since a ``seq`` has no gap and no doubles; whatever the database does,
nothing that arrived is lost while the process lives. Limits: one answer has at most
:data:`MAX_ANSWER` characters; after a SIGKILL the database has what had settled.

Tokens that come close together travel as one delta.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from heliograph.chat import settling
from heliograph.chat.messages import Ending
from heliograph.chat.outlet import Outlet, is_local
from heliograph.chat.settling import Parts, Settlement, Settles
from heliograph.chat.text import clean_text, ends_in_half_a_pair
from heliograph.errors import Conflict, TooLarge
from heliograph.telemetry import get_logger

log = get_logger(__name__)

MAX_ANSWER = 4 * 1024 * 1024
"""Characters in one answer, at most."""

_MAX_DELTA = 64 * 1024
_PATIENCE = 5.0  # an end that cannot be stored is told to the user after this


@dataclass(frozen=True, slots=True)
class Resume:
    """Content that covers ``(from_seq, seq]``; the whole when ``from_seq`` is 0."""

    message_id: str
    seq: int
    from_seq: int
    content: str


class Stream:
    """One answer in flight.

    :ivar size: characters taken so far.
    :ivar ending: how it ended; ``None`` while it is being written.
    """

    def __init__(
        self,
        outlet: Outlet,
        message_id: str,
        store: Settles | None,
        *,
        interval: float,
        settle_seconds: float,
        forget: Callable[[Stream], None],
    ) -> None:
        self.outlet = outlet
        self.message_id = message_id
        self.size = 0
        self.ending: Ending | None = None
        self._interval = interval
        self._forget = forget
        self._parts = Parts()
        self._settlement = Settlement(
            self._parts, store, outlet.chat_id, message_id, settle_seconds
        )
        self._pending: list[str] = []
        self._held = ""
        self._publishing = asyncio.Lock()
        self._pacer: asyncio.Task[None] | None = None

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
        """What a client that has everything up to ``last_seq`` lacks; all, when that
        cannot be told as a delta (unknown, from the future, or replaced since)."""
        parts = self._parts
        # Parts of a first generation build on nothing, those of later ones on a whole.
        first = parts.origin + 1
        if last_seq is None or not first <= last_seq <= self.seq:
            return Resume(self.message_id, self.seq, 0, self.content)
        lacking = parts.text(last_seq - parts.origin)
        return Resume(self.message_id, self.seq, last_seq, lacking)

    # -- writing ---------------------------------------------------------------------

    def append(self, text: str) -> None:
        """Add text; it is published at once, or with what comes within the interval.

        :raises TooLarge: the answer would exceed :data:`MAX_ANSWER`.
        """
        if not text:
            return
        if self.size + len(text) > MAX_ANSWER:
            raise _too_large()
        self.size += len(text)
        self._pending.append(text)
        if self._pacer is None:
            self._pacer = asyncio.create_task(self._pace())

    async def replace(self, text: str) -> None:
        """Set the whole content; published with a sequence of its own.

        :raises TooLarge: over :data:`MAX_ANSWER`.
        """
        if len(text) > MAX_ANSWER:
            raise _too_large()
        async with self._publishing:
            text = clean_text(text)
            self._pending.clear()
            self._held = ""
            self.size = len(text)
            self._parts.replace(text)
            await self._publish("replace", text)

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
            part = text[start : start + _MAX_DELTA]
            self._parts.parts.append(part)
            await self._publish("message", part)

    async def _publish(self, kind: str, content: str) -> None:
        self._settlement.soon()
        try:
            await self.outlet.send(kind, {"content": content}, seq=self.seq)
        except Exception:
            # Its clients see the gap in `seq` and ask again through `join-chat`.
            log.exception("stream.publish_failed", message_id=self.message_id, seq=self.seq)

    # -- ending ----------------------------------------------------------------------

    async def end(self, ending: Ending, announce: Callable[[], Awaitable[None]]) -> None:
        """Publish and settle the rest with how it ended, then have it announced.

        Returns when it is in the database, however long that takes; the end is announced
        after :data:`_PATIENCE` seconds in any case. What others append until then is kept.
        """
        await self.flush()
        self.ending = ending
        self._settlement.close()
        announced = False
        loop = asyncio.get_running_loop()
        impatient_at = loop.time() + _PATIENCE
        delay = settling.FIRST_RETRY
        while True:
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
        self.close()
        if not announced:
            await announce()

    def close(self) -> None:
        """Take no more: it ended, or never began. Whatever comes later goes to the database."""
        self._forget(self)
        self._settlement.close()
        if self._pacer is not None:
            self._pacer.cancel()


class Streams:
    """The answers in flight on this replica.

    :param interval: seconds in which tokens are gathered into one delta.
    :param settle_seconds: how often an answer is written to the database.
    """

    def __init__(self, store: Settles, *, interval: float, settle_seconds: float) -> None:
        self._store = store
        self._interval = interval
        self._settle_seconds = settle_seconds
        self._streams: dict[str, dict[str, Stream]] = {}

    def open(self, outlet: Outlet, message_id: str) -> Stream:
        """Begin an answer.

        :raises Conflict: ``in_flight``, it is being answered already.
        """
        group = self._streams.setdefault(_scope(outlet.chat_id, outlet.owner), {})
        if message_id in group:
            raise Conflict(f"message {message_id} is being answered", code="in_flight")
        stream = group[message_id] = Stream(
            outlet,
            message_id,
            None if is_local(outlet.chat_id) else self._store,
            interval=self._interval,
            settle_seconds=self._settle_seconds,
            forget=self._forget,
        )
        return stream

    def _forget(self, stream: Stream) -> None:
        scope = _scope(stream.outlet.chat_id, stream.outlet.owner)
        group = self._streams.get(scope, {})
        if group.get(stream.message_id) is stream:
            del group[stream.message_id]
        if not group:
            self._streams.pop(scope, None)

    def get(self, chat_id: str, message_id: str, owner: str) -> Stream | None:
        """The answer in flight, if it is."""
        return self._streams.get(_scope(chat_id, owner), {}).get(message_id)

    def of_chat(self, chat_id: str, owner: str) -> dict[str, Stream]:
        """A chat's answers in flight, by message id."""
        return dict(self._streams.get(_scope(chat_id, owner), {}))


def _scope(chat_id: str, owner: str) -> str:
    # Ids of temporary chats are made up by their clients: each user's are apart.
    return f"{owner}/{chat_id}" if is_local(chat_id) else chat_id


def _too_large() -> TooLarge:
    return TooLarge(f"the answer is longer than {MAX_ANSWER} characters", code="answer_too_large")
