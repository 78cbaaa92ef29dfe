"""The answers in flight: those this replica writes, and how to read those of others."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable

from heliograph.chat import settling
from heliograph.chat.hot import Hot, HotLog, InFlight, StreamRef
from heliograph.chat.outlet import Outlet, is_local
from heliograph.chat.settling import Settles
from heliograph.chat.stream import Stream
from heliograph.telemetry import get_logger

log = get_logger(__name__)

_STOP_SECONDS = 2.0

Key = tuple[str, str]
"""Ids of a chat and of a message in it. Ids of temporary chats are made up by their
clients, so they are unique for one user only."""


class Streams:
    """The answers in flight.

    :param replica_id: tells this replica's id, which may change.
    :param interval: seconds in which tokens are gathered into one delta.
    :param settle_seconds: how often an answer is written to the database.
    """

    def __init__(
        self,
        store: Settles,
        hot: HotLog,
        replica_id: Callable[[], str],
        *,
        interval: float,
        settle_seconds: float,
    ) -> None:
        self.hot = hot
        self._store = store
        self._replica_id = replica_id
        self._interval = interval
        self._settle_seconds = settle_seconds
        self._mine: dict[str, dict[Key, Stream]] = {}  # by owner of the chat
        self._removals: set[asyncio.Task[None]] = set()

    # -- those of this replica ---------------------------------------------------------

    async def open(self, outlet: Outlet, message_id: str) -> Stream:
        """Begin an answer.

        :raises InFlight: it is being answered already, here or elsewhere.
        """
        owner, chat_id = outlet.owner, outlet.chat_id
        mine = self._mine.setdefault(owner, {})
        if (chat_id, message_id) in mine:
            raise InFlight(message_id, mine[chat_id, message_id].ref)
        run, replica_id = uuid.uuid4().hex, self._replica_id()
        stream = mine[chat_id, message_id] = Stream(
            StreamRef(owner, chat_id, message_id, run, replica_id),
            outlet,
            None if is_local(chat_id) else self._store,
            self.hot,
            interval=self._interval,
            settle_seconds=self._settle_seconds,
            forget=self._forget,
            let_go=self._let_go,
        )
        try:
            await self.hot.begin(stream.ref)
        except BaseException:
            stream.close()
            raise
        return stream

    def get(self, chat_id: str, message_id: str, owner: str) -> Stream | None:
        """The answer, if this replica writes it."""
        return self._mine.get(owner, {}).get((chat_id, message_id))

    def of_chat_here(self, chat_id: str, owner: str) -> dict[str, Stream]:
        """A chat's answers that this replica writes, by message id."""
        mine = self._mine.get(owner, {})
        return {key[1]: stream for key, stream in mine.items() if key[0] == chat_id}

    def _forget(self, stream: Stream) -> asyncio.Task[None]:
        ref = stream.ref
        mine = self._mine.get(ref.user_id, {})
        if mine.get((ref.chat_id, ref.message_id)) is stream:
            del mine[ref.chat_id, ref.message_id]
        if not mine:
            self._mine.pop(ref.user_id, None)
        # Until the log is removed, others take the answer for one in flight.
        return self._remove(ref, self.hot.end)

    def _let_go(self, stream: Stream) -> None:
        self._remove(stream.ref, self.hot.let_go)

    def _remove(
        self, ref: StreamRef, by: Callable[[StreamRef], Awaitable[None]]
    ) -> asyncio.Task[None]:
        task = asyncio.create_task(self._until_removed(ref, by))
        self._removals.add(task)
        task.add_done_callback(self._removals.discard)
        return task

    async def _until_removed(
        self, ref: StreamRef, by: Callable[[StreamRef], Awaitable[None]]
    ) -> None:
        delay = settling.FIRST_RETRY
        while True:
            try:
                await by(ref)
                return
            except Exception as error:
                log.warning("stream.not_removed", message_id=ref.message_id, error=str(error)[:200])
            await asyncio.sleep(delay)
            delay = min(2 * delay, settling.LAST_RETRY)

    async def stop(self) -> None:
        """Give the last logs a moment to be removed; for the end of the process."""
        if self._removals:
            _, late = await asyncio.wait(set(self._removals), timeout=_STOP_SECONDS)
            for task in late:  # the reaper removes what is left
                task.cancel()

    # -- those of all replicas ---------------------------------------------------------

    async def find(self, chat_id: str, message_id: str, owner: str) -> Stream | StreamRef | None:
        """The answer in flight, if it is; another replica's as its reference."""
        mine = self.get(chat_id, message_id, owner)
        if mine is not None:
            return mine
        ref = await self.hot.find(owner, chat_id, message_id)
        return self.get(chat_id, message_id, owner) or ref

    async def elsewhere(self, chat_id: str, owner: str) -> list[StreamRef]:
        """A chat's answers that other replicas write."""
        refs = await self.hot.of_user(owner)
        here = self._mine.get(owner, {})
        return [
            ref for ref in refs if ref.chat_id == chat_id and (chat_id, ref.message_id) not in here
        ]

    async def of_chat(self, chat_id: str, owner: str) -> dict[str, Hot]:
        """A chat's answers in flight by message id, each as far as it has come.

        Those of this replica are as they are when this returns, those of others as they
        were when they were asked for.
        """
        refs = await self.elsewhere(chat_id, owner)
        read = await asyncio.gather(*(self.hot.read(ref) for ref in refs))
        found: dict[str, Hot] = {
            snapshot.ref.message_id: snapshot for snapshot in read if snapshot is not None
        }
        return found | self.of_chat_here(chat_id, owner)
