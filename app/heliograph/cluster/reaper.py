"""Cleans up what dead replicas left, wherever a replica is alive to do it.

Guarantee: one replica at a time does this, under a fenced lock; each replica whose lease ended
is declared dead to all, then every callback is called with its id, again until it has
succeeded, and only then is the replica forgotten. So a callback may be called twice (a reaper
died in between) and must not mind. Nothing depends on how a replica ended.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from types import TracebackType

from heliograph.cluster.leases import Leases
from heliograph.cluster.lock import Lock, LockBusy
from heliograph.cluster.replica import Replica
from heliograph.cluster.rooms import EVERY_REPLICA, Rooms
from heliograph.errors import HeliographError
from heliograph.telemetry import get_logger

log = get_logger(__name__)

LOCK = "replicas"
"""Name of the lock: its fence shares a slot with the registry, which checks the token."""

_LOOKS = 12
"""How often it looks in the time of a lease."""

Clean = Callable[[str], Awaitable[None]]


class Reaper:
    """Every replica has one; whichever has the lock works.

    :ivar on_dead: called with a dead replica's id, all at the same time.

    :param lock_timeout: expiry of locks now, s. Its own lock is never held for longer than a lease,
        or who died after the reaper would be found too late.
    """

    def __init__(
        self,
        replica: Replica,
        leases: Leases,
        rooms: Rooms,
        lock_timeout: Callable[[], float] = lambda: float("inf"),
    ) -> None:
        self.on_dead: list[Clean] = []
        self._replica = replica
        self._leases = leases
        self._rooms = rooms
        self._lock = Lock(leases, LOCK, seconds=lambda: min(replica.seconds, lock_timeout()))
        self._pause = replica.seconds / _LOOKS
        self._runner: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Reaper:
        """Stand by, when those who clean up are ready for it."""
        self._runner = asyncio.create_task(self._run(), name="reaper")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave it to the others."""
        if self._runner is not None:
            self._runner.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._runner

    async def _run(self) -> None:
        while True:
            try:
                async with self._lock.hold() as token:
                    await self._work(token)
            except LockBusy:
                pass
            except HeliographError as error:
                log.warning("reaper.interrupted", error=str(error))
            except Exception:
                log.exception("reaper.failed")
            await asyncio.sleep(self._pause)

    async def _work(self, token: int) -> None:
        cleaning: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                me = self._replica
                for dead in await self._leases.bury(me.id, token, me.seconds):
                    if dead not in cleaning:
                        cleaning[dead] = asyncio.create_task(self._clean(dead, token))
                for dead, task in list(cleaning.items()):
                    if task.done():
                        del cleaning[dead]
                await asyncio.sleep(self._pause)
        finally:
            for task in cleaning.values():
                task.cancel()
            if cleaning:
                await asyncio.wait(cleaning.values())

    async def _clean(self, dead: str, token: int) -> None:
        try:
            await self._rooms.instruct(EVERY_REPLICA, {"do": "dead", "replica": dead})
            log.warning("replica.dead", replica=dead)
            left = list(self.on_dead)
            while left:
                results = await asyncio.gather(*(self._cleaned(clean, dead) for clean in left))
                left = [clean for clean, done in zip(left, results, strict=True) if not done]
                if left:
                    await asyncio.sleep(self._pause)
            await self._leases.forget(dead, token)
        except HeliographError as error:
            log.warning("reaper.not_cleaned", replica=dead, error=str(error))

    async def _cleaned(self, clean: Clean, dead: str) -> bool:
        try:
            await clean(dead)
        except Exception:
            log.exception("reaper.cleaning_failed", replica=dead)
            return False
        return True
