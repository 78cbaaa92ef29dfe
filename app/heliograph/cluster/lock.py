"""A lock that one holder in the whole fleet has, for as long as it is alive.

Guarantee: each holding has a fencing token greater than all before, and loss of the lock
cancels the holder's work. Limit: a holder that was frozen finds out only when it runs again;
what the lock protects must refuse an older token where that matters.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
import uuid
from collections.abc import AsyncIterator, Callable

from heliograph.cluster.leases import Leases
from heliograph.errors import Conflict, HeliographError, Unavailable
from heliograph.telemetry import get_logger, metrics

log = get_logger(__name__)

_POLL_SECONDS = 0.25
_RELEASE_SECONDS = 1.0


class LockBusy(Conflict):
    """Another holder has the lock."""

    code = "lock_busy"


class LockLost(Unavailable):
    """The lock ran out while its holder worked: the work was cancelled."""

    code = "lock_lost"


class Lock:
    """A named lock. One object may be held several times, one after the other or by several
    tasks that wait for each other.

    :param seconds: after a holder's death, the lock is free in this time; asked for at each
        renewal, so that a change comes into force.
    """

    def __init__(self, leases: Leases, name: str, *, seconds: Callable[[], float]) -> None:
        self.name = name
        self._seconds = seconds
        self._leases = leases

    @contextlib.asynccontextmanager
    async def hold(self, *, wait: float | None = 0.0) -> AsyncIterator[int]:
        """Hold the lock while the block runs; yields the fencing token.

        :param wait: seconds to wait for another holder; ``None``: for ever.
        :raises LockBusy: it was not free in time.
        :raises LockLost: it was lost, and the block cancelled.
        :raises Unavailable: Redis does not answer.
        """
        owner = uuid.uuid4().hex
        until, token = await self._acquire(owner, wait)
        task = asyncio.current_task()
        assert task is not None
        cancelling = task.cancelling()
        lost = False

        def lose() -> None:
            nonlocal lost
            lost = True
            task.cancel()

        keeper = asyncio.create_task(self._keep(owner, until, lose))
        try:
            yield token
        except asyncio.CancelledError:
            # As asyncio.timeout does: ours becomes our error, another's stays what it is.
            if lost and task.uncancel() <= cancelling:
                raise LockLost(f"the lock {self.name!r} was lost; its work is cancelled") from None
            raise
        finally:
            keeper.cancel()
            await asyncio.wait([keeper])
            await self._release(owner)

    async def _acquire(self, owner: str, wait: float | None) -> tuple[float, int]:
        """When it ends unless it is renewed, by the monotonic clock, and the fencing token."""
        deadline = None if wait is None else time.monotonic() + wait
        while True:
            seconds = self._seconds()
            until = time.monotonic() + seconds
            try:
                token = await self._leases.acquire(self.name, owner, seconds)
            except BaseException:
                # It may have been given to us all the same.
                await self._release(owner)
                raise
            if token:
                return until, token
            if deadline is not None and time.monotonic() >= deadline:
                raise LockBusy(f"the lock {self.name!r} is held by another")
            await asyncio.sleep(_POLL_SECONDS * random.uniform(0.5, 1.0))  # noqa: S311 (spread)

    async def _keep(self, owner: str, until: float, lose: Callable[[], None]) -> None:
        renewed = time.monotonic()
        while time.monotonic() < until:
            seconds = self._seconds()
            pause = min(seconds, until - renewed) / 5
            try:
                async with asyncio.timeout(until - time.monotonic()):
                    await asyncio.sleep(pause)
                    asked = time.monotonic()
                    if not await self._leases.keep(self.name, owner, seconds):
                        break
                    if asked - renewed > (until - renewed) / 2:
                        metrics.LATE_RENEWALS.inc()
                    renewed, until = asked, asked + seconds
            except TimeoutError:
                break
            except Exception as error:
                log.warning("lock.not_renewed", lock=self.name, error=str(error))
        log.error("lock.lost", lock=self.name)
        lose()

    async def _release(self, owner: str) -> None:
        with contextlib.suppress(HeliographError, TimeoutError):
            async with asyncio.timeout(_RELEASE_SECONDS):
                await self._leases.release(self.name, owner)
