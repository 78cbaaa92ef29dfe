"""One open document: its live copy, and the line in which its changes wait.

The log is the truth; the copy is a cache of it that other replicas may be ahead of. It is
brought up to date before anybody gets the state, and whenever an update seems to build on
something that is not there. Everything that depends on the order of changes on this replica
happens under :attr:`turn`; the order over all replicas is the log's.

Changes that wait together are logged together: a document with many editors makes no more
appends than the log can take.

When the log turns out to be another one than the copy was made of (Redis lost its end, or
all that had not settled), what the copy has and the log has not is brought back into it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from heliograph.delivery import Frame, Position
from heliograph.documents.copy import Copy, MissingDependencies
from heliograph.documents.log import (
    Appended,
    DocumentLog,
    Entry,
    Logged,
    LogMoved,
    News,
    RightsMoved,
    gone,
)
from heliograph.documents.repository import Rights
from heliograph.documents.wire import BadUpdate
from heliograph.documents.worker import Worker
from heliograph.errors import BadPayload, Forbidden, HeliographError, NotFound, Unavailable
from heliograph.principal import Principal
from heliograph.telemetry import get_logger

log = get_logger(__name__)

_TRIES = 5
_RIGHTS_SECONDS = 60.0  # a change that Redis lost counts by then

Load = Callable[[], Awaitable[Logged | None]]
ReadRights = Callable[[], Awaitable[Rights | None]]
MayWrite = Callable[[Principal, str, Rights | None], object]


class State(NamedTuple):
    """What a joiner gets: an update, its sequence, and where the room stood then."""

    update: bytes
    seq: int
    room: Position


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


class _Known(NamedTuple):
    """Rights, and which ones: what the log said of them before they were read."""

    token: str
    rights: Rights | None
    read_at: float


class OpenDocument:
    """A document that somebody uses.

    :param checker: reads big updates.
    :param load: reads it from the log.
    :param rights: reads who may do what.
    :param may_write: raises when a user may not change it, asked for each change.
    :param on_change: called after changes were logged, with the id, their number and bytes.
    """

    def __init__(
        self,
        document_id: str,
        store: DocumentLog,
        checker: Worker,
        *,
        load: Load,
        rights: ReadRights,
        may_write: MayWrite,
        on_change: Callable[[str, int, int], None],
    ) -> None:
        self.id = document_id
        self.turn = asyncio.Lock()
        self.editing = asyncio.Lock()  # one edit of a whole note at a time
        self.used_at = time.monotonic()
        self._store = store
        self._checker = checker
        self._load = load
        self._read_rights = rights
        self._may_write = may_write
        self._on_change = on_change
        self._copy: Copy | None = None
        self._known: _Known | None = None
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

    # -- the copy --------------------------------------------------------------------

    async def state(self, state_vector: bytes | None) -> State:
        """What a client with ``state_vector`` lacks (all without one) of all that has been
        accepted anywhere.

        To be called in :attr:`turn`.

        :raises BadPayload: the state vector is malformed.
        """
        copy, news = await self._newest()
        try:
            return State(copy.state(state_vector), copy.place.seq, news.room)
        except BadUpdate as error:
            raise BadPayload(f"state_vector: {error}", path="state_vector") from error

    async def confirm(self) -> int:
        """See to it that the log has all that was accepted here; how far it is at least.

        To be called in :attr:`turn`.
        """
        if self._copy is None:
            return 0
        copy, _ = await self._newest()
        return copy.place.seq

    async def _newest(self) -> tuple[Copy, News]:
        for _ in range(_TRIES):
            copy = await self._opened()
            try:
                return copy, await self._catch_up(copy)
            except LogMoved:
                await self._reopen(copy)
        raise Unavailable(f"the log of {self.id} does not hold still; ask again")

    async def _opened(self) -> Copy:
        if self._copy is None:
            logged = await self._load()
            if logged is None:
                raise gone(self.id)
            try:
                self._copy = Copy(logged, self._checker)
            except BadUpdate as error:
                log.error("documents.log_unreadable", document_id=self.id, error=str(error))
                raise Unavailable(f"the log of {self.id} cannot be read") from error
        return self._copy

    async def _catch_up(self, copy: Copy) -> News:
        """Bring the copy up to date."""
        news = await self._store.since(self.id, copy.place)
        if news.updates is None:
            raise LogMoved
        try:
            copy.take(news.updates, news.place)
        except BadUpdate as error:
            raise LogMoved from error
        return news

    async def _reopen(self, old: Copy) -> None:
        """Make the copy anew, and bring back what the log has lost of the old one."""
        old.discard()
        self._copy = None
        copy = await self._opened()
        if copy.place.life != old.place.life:
            return
        lost = old.state(copy.state_vector)
        try:
            if await copy.check(lost):
                entry = Entry("", lost, self._frame("", lost, None))
                appended = await self._store.append(self.id, copy.place, copy.rights, [entry])
                self._appended(copy, appended, [entry])
                log.warning("documents.restored", document_id=self.id, bytes=len(lost))
        except (HeliographError, LogMoved, RightsMoved) as error:
            # Its clients have it, too, and send it when something builds on it.
            copy.discard()
            log.warning("documents.not_restored", document_id=self.id, error=str(error)[:200])

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
                        if not isinstance(error, Unavailable):
                            self.forget_copy()
                        if not isinstance(error, HeliographError):
                            log.error("documents.write_failed", exc_info=error)
                            error = Unavailable("the change could not be stored; send it again")
                        for change in changes:
                            change.refuse(error)
        finally:
            self._writer = None

    async def _write(self, changes: list[_Change]) -> None:
        for _ in range(_TRIES):
            copy = await self._opened()
            try:
                await self._judge_and_log(
                    copy, [change for change in changes if not change.seq.done()]
                )
                return
            except RightsMoved as moved:
                copy.rights = moved.rights
            except LogMoved:
                await self._reopen(copy)
        raise Unavailable(f"the log of {self.id} does not hold still; send it again")

    async def _judge_and_log(self, copy: Copy, changes: list[_Change]) -> None:
        try:
            if copy.doubtful:
                await self._catch_up(copy)
            new, known = await self._judge(copy, changes)
            if new:
                entries = [
                    Entry(
                        each.user.id, each.update, self._frame(each.user.id, each.update, each.sid)
                    )
                    for each in new
                ]
                appended = await self._store.append(self.id, copy.place, copy.rights, entries)
        except BaseException as error:
            copy.discard()
            if isinstance(error, Unavailable | asyncio.CancelledError):
                copy.doubtful = True  # the log may have them all the same
            raise
        if new:
            self._appended(copy, appended, entries)
            for seq, change in enumerate(new, appended.first_seq):
                change.acknowledge(seq)
        for change in known:
            change.acknowledge(copy.place.seq)

    async def _judge(
        self, copy: Copy, changes: list[_Change]
    ) -> tuple[list[_Change], list[_Change]]:
        """Refuse what may not or cannot be; the others, and those that say nothing new.

        What is appended is compared with the log's end there. Whatever else is said rests on
        a look at it: a refusal, and that there is nothing to append.
        """
        new: list[_Change] = []
        known: list[_Change] = []
        looked = False
        for change in changes:
            try:
                try:
                    changed = await self._check(copy, change)
                except HeliographError as refusal:
                    if looked or not isinstance(
                        refusal, (Forbidden, NotFound, MissingDependencies)
                    ):
                        raise
                    await self._look(copy)
                    looked = True
                    changed = await self._check(copy, change)
                (new if changed else known).append(change)
            except HeliographError as refusal:
                change.refuse(refusal)
        if known and not new and not looked:
            await self._look(copy)
        return new, known

    async def _check(self, copy: Copy, change: _Change) -> bool:
        known, now = self._known, time.monotonic()
        if known is None or known.token != copy.rights or now - known.read_at > _RIGHTS_SECONDS:
            known = self._known = _Known(copy.rights, await self._read_rights(), now)
        self._may_write(change.user, self.id, known.rights)
        return await copy.check(change.update)

    async def _look(self, copy: Copy) -> None:
        news = await self._catch_up(copy)
        if news.rights != copy.rights:
            # What was judged already was judged by older ones.
            raise RightsMoved(news.rights)

    def _appended(self, copy: Copy, appended: Appended, entries: list[Entry]) -> None:
        self._on_change(self.id, len(entries), sum(len(each.update) for each in entries))
        try:
            if appended.missed is not None:
                copy.take(appended.missed, appended.place)
                copy.accept(appended.place)
                return
        except BadUpdate as error:
            log.error("documents.log_unreadable", document_id=self.id, error=str(error))
        copy.place = appended.place
        self.forget_copy()

    def _frame(self, user_id: str, update: bytes, sid: str | None) -> Frame:
        data = {"document_id": self.id, "user_id": user_id, "update": update}
        return Frame.numbered("ydoc:document:update", data, "seq", skip_sid=sid)

    def refuse_waiting(self, error: NotFound) -> None:
        """Refuse what waits, because the document is gone. To be called in :attr:`turn`."""
        self.forget_copy()
        changes, self._waiting = self._waiting, []
        for change in changes:
            change.refuse(error)
