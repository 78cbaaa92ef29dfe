"""How an answer in flight reaches the database: its unsettled tail, every few seconds.

Writes do not grow with tokens. A write that fails, or of which nobody knows whether it was
carried out, is followed by one of the whole text, so nothing is lost and nothing doubled.
Each names its owner, the replica that writes the answer; once the answer is not its any
more, nothing is written.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from heliograph.chat.rows import Ending
from heliograph.telemetry import get_logger

log = get_logger(__name__)

FIRST_RETRY, LAST_RETRY = 0.2, 30.0
"""Pauses after failed writes, seconds: the first, and the longest."""

_WRITE_SECONDS = 30.0  # a write that hangs is a write that failed


class Settles(Protocol):
    """Where answers settle."""

    async def settle(
        self,
        chat_id: str,
        message_id: str,
        text: str,
        *,
        owner: str,
        whole: bool,
        ending: Ending | None,
    ) -> bool:
        """Write a tail or the whole, and how it ended; whether it (still) is the owner's."""

    async def is_owner(self, chat_id: str, message_id: str, owner: str) -> bool:
        """Whether the answer is the owner's."""


@dataclass(slots=True)
class Parts:
    """The text of an answer as it was published, part by part.

    :ivar origin: the seq before the first part: what was before has been replaced.
    :ivar generation: how often it was replaced.
    """

    parts: list[str] = field(default_factory=list)
    origin: int = 0
    generation: int = 0

    def replace(self, text: str) -> None:
        """Begin anew with one part."""
        self.origin = self.last_seq
        self.parts = [text]
        self.generation += 1

    @property
    def last_seq(self) -> int:
        """The seq of the last part."""
        return self.origin + len(self.parts)

    def text(self, since: int = 0) -> str:
        """The text of all parts, or without the first ``since`` of them."""
        return "".join(self.parts[since:] if since else self.parts)


class Settlement:
    """Settles one answer.

    :param store: where to; ``None`` for an answer that is never stored.
    :param owner: id of the replica that writes it.
    :param seconds: how often.
    :param on_lost: called when the answer is found not to be the owner's any more.
    :ivar writes: how often it was written.
    """

    def __init__(
        self,
        parts: Parts,
        store: Settles | None,
        chat_id: str,
        message_id: str,
        owner: str,
        *,
        seconds: float,
        on_lost: Callable[[], None],
    ) -> None:
        self.writes = 0
        self._parts = parts
        self._store = store
        self._chat_id = chat_id
        self._message_id = message_id
        self._owner = owner
        self._seconds = seconds
        self._on_lost = on_lost
        self._written = 0  # parts of this generation
        self._generation = 0
        self._doubtful = False  # whether the last write was carried out
        self._writing = asyncio.Lock()
        self._closing = asyncio.Event()
        self._settler: asyncio.Task[None] | None = None

    @property
    def stored(self) -> bool:
        """Whether it is stored at all."""
        return self._store is not None

    @property
    def _whole(self) -> bool:
        return self._doubtful or self._generation != self._parts.generation

    @property
    def complete(self) -> bool:
        """Whether all there is has been written."""
        return self._store is None or (not self._whole and self._written == len(self._parts.parts))

    def soon(self) -> None:
        """There is something to be written, some time."""
        if self._settler is None and self._store is not None and not self._closing.is_set():
            self._settler = asyncio.create_task(self._keep_settling())

    def close(self) -> None:
        """Write no more by itself."""
        self._closing.set()

    async def quiet(self) -> None:
        """Wait for a write that is under way."""
        async with self._writing:
            pass

    async def is_ours(self) -> bool:
        """Whether the answer is the owner's, as far as the database knows."""
        if self._store is None:
            return True
        return await self._store.is_owner(self._chat_id, self._message_id, self._owner)

    async def _keep_settling(self) -> None:
        delay = self._seconds
        while not await self._closes_within(delay):
            if await self.write(None):
                delay = self._seconds
            else:
                delay = min(max(2 * delay, FIRST_RETRY), LAST_RETRY)

    async def _closes_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        return self._closing.is_set()

    async def write(self, ending: Ending | None) -> bool:
        """Write what is not written, and how it ended, in one transaction.

        :returns: whether that went well; the log says why not.
        """
        try:
            async with self._writing, asyncio.timeout(_WRITE_SECONDS):
                await self._write(ending)
        except Exception as error:
            log.warning(
                "stream.settle_failed",
                message_id=self._message_id,
                error=f"{type(error).__name__}: {error}"[:300],
            )
            return False
        return True

    async def _write(self, ending: Ending | None) -> None:
        if self._store is None or (self.complete and ending is None):
            return
        whole, generation, upto = self._whole, self._parts.generation, len(self._parts.parts)
        text = self._parts.text(0 if whole else self._written)
        self._doubtful = True
        ours = await self._store.settle(
            self._chat_id,
            self._message_id,
            text,
            owner=self._owner,
            whole=whole,
            ending=ending,
        )
        self.writes += 1
        if not ours:
            self._on_lost()
        self._doubtful = False
        self._generation, self._written = generation, upto
