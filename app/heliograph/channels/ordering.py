"""One change of a channel after the other, so that its events leave in the order of commits.

Within a replica a lock does that. Across replicas each change takes a number in its
transaction (:func:`heliograph.channels.access.enter`, under the lock of the channel's row),
and is announced when the one before it has been: nothing is held meanwhile, neither in the
database nor in Redis, so a replica that dies or freezes delays the others for
:data:`PATIENCE` seconds, once. Limit: what a frozen one announces afterwards comes late.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Protocol
from weakref import WeakValueDictionary

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession

from heliograph.backplane import Backplane
from heliograph.channels.access import Standing, enter, room_of
from heliograph.errors import HeliographError
from heliograph.principal import Principal
from heliograph.telemetry import get_logger

log = get_logger(__name__)

PATIENCE = 3.0
"""Seconds for which a change waits for the one before it."""

_FIRST_PAUSE, _LAST_PAUSE = 0.001, 0.05


class Turns(Protocol):
    """Which change of a channel was announced last, for all replicas."""

    async def last(self, channel_id: str) -> int | None:
        """The number of the last one announced; ``None`` when nobody knows or need know."""

    async def announced(self, channel_id: str, number: int) -> None:
        """This one was announced."""

    async def forget(self, channel_id: str) -> None:
        """The channel is gone."""


class NoTurns:
    """Turns of a single process: its lock is enough."""

    async def last(self, channel_id: str) -> int | None:
        """Nobody else announces."""
        return None

    async def announced(self, channel_id: str, number: int) -> None:
        """Nobody waits for it."""

    async def forget(self, channel_id: str) -> None:
        """Nothing is kept."""


class RedisTurns:
    """Turns of all replicas: a number for each channel, beside its room."""

    def __init__(self, backplane: Backplane) -> None:
        self._backplane = backplane

    def _key(self, channel_id: str) -> str:
        return self._backplane.key("turn", room_of(channel_id))

    async def last(self, channel_id: str) -> int | None:
        """The number of the last one announced; ``None`` when Redis does not know (any more)."""
        found = await self._backplane.execute("GET", self._key(channel_id))
        return int(found) if found is not None else None

    async def announced(self, channel_id: str, number: int) -> None:
        """This one was announced."""
        # Whoever waits for it goes on after that time anyway.
        await self._backplane.call(
            "turn_passed", [self._key(channel_id)], [number], timeout=PATIENCE
        )

    async def forget(self, channel_id: str) -> None:
        """The channel is gone."""
        await self._backplane.execute("DEL", self._key(channel_id))


class Change:
    """A change of a channel: entered in a transaction, announced after its commit."""

    def __init__(self, channel_id: str, turns: Turns) -> None:
        self._channel_id = channel_id
        self._turns = turns
        self._number = 0
        self._committed = False

    async def enter(self, s: AsyncSession, user: Principal) -> Standing:
        """What the user is in the channel. Nobody else changes it until this commits.

        :raises NotFound: no such channel for this user.
        """
        place = await enter(s, user, self._channel_id)
        self._number = place.channel.seq
        event.listen(s.sync_session, "after_commit", self._note_commit, once=True)
        return place

    def _note_commit(self, _: object) -> None:
        self._committed = True

    @contextlib.asynccontextmanager
    async def announcing(self) -> AsyncIterator[None]:
        """Its turn: what is published in this block comes before the next change's."""
        self._committed = False  # whatever becomes of it, its turn is passed on here
        try:
            await self._wait()
            yield
        finally:
            await self._pass_on()

    async def close(self) -> None:
        """Pass on the turn of a change that had nothing to announce."""
        if self._committed:
            async with self.announcing():
                pass

    async def _wait(self) -> None:
        if not self._number:
            return  # a new channel, which nobody else knows
        until, pause = time.monotonic() + PATIENCE, _FIRST_PAUSE
        while True:
            last = await self._turns.last(self._channel_id)
            if last is None or last >= self._number - 1:
                return
            if time.monotonic() > until:
                log.warning("channel.turn_skipped", channel=self._channel_id, last=last)
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LAST_PAUSE)

    async def _pass_on(self) -> None:
        if not self._number:
            return
        try:
            await self._turns.announced(self._channel_id, self._number)
        except HeliographError as error:
            # The next one waits for a while and goes on.
            log.warning("channel.turn_not_passed", error=error.message)


class ChannelOrder:
    """The changes of this replica.

    :param turns: default: of a single process.
    """

    def __init__(self, turns: Turns | None = None) -> None:
        self._turns: Turns = NoTurns() if turns is None else turns
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def lock(self, name: str) -> asyncio.Lock:
        """The lock of that name, which exists while somebody holds it or waits for it."""
        return self._locks.setdefault(name, asyncio.Lock())

    @contextlib.asynccontextmanager
    async def change(self, channel_id: str) -> AsyncIterator[Change]:
        """Change a channel: no other change of this replica runs in this block."""
        async with self.lock(channel_id):
            change = Change(channel_id, self._turns)
            try:
                yield change
            finally:
                await change.close()

    async def forget(self, channel_id: str) -> None:
        """The channel is gone."""
        try:
            await self._turns.forget(channel_id)
        except HeliographError as error:
            log.warning("channel.turn_kept", error=error.message)  # until it expires
