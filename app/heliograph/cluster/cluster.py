"""Being one of many, put together."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from types import TracebackType

from heliograph.backplane import Backplane
from heliograph.cluster.leases import Leases, MemoryLeases
from heliograph.cluster.lock import Lock
from heliograph.cluster.peers import Peers
from heliograph.cluster.reaper import Reaper
from heliograph.cluster.redis_leases import RedisLeases
from heliograph.cluster.replica import Replica
from heliograph.cluster.rooms import Rooms


class Cluster:
    """This process and the others; ``async with`` makes it one of them.

    The parts are there before that, so that features can register what they serve and what
    they clean up. ``async with cluster.reaper`` comes last, when the features have started.

    :param rooms: how replicas speak to each other; started already when this is entered.
    :param leases: default: of a single process.
    :param lease_seconds: what a replica that died held is cleaned up so soon.
    :param lock_timeout: expiry of locks now, s.
    """

    def __init__(
        self,
        rooms: Rooms,
        leases: Leases | None = None,
        *,
        lease_seconds: float = 15.0,
        lock_timeout: Callable[[], float] = lambda: 60.0,
    ) -> None:
        self._lock_timeout = lock_timeout
        self._leases = MemoryLeases() if leases is None else leases
        self.replica = Replica(self._leases, seconds=lease_seconds)
        self.peers = Peers(self.replica, rooms)
        self.reaper = Reaper(self.replica, self._leases, rooms, lock_timeout)
        self._stack = contextlib.AsyncExitStack()

    @classmethod
    def over(
        cls,
        rooms: Rooms,
        backplane: Backplane | None,
        *,
        lease_seconds: float = 15.0,
        lock_timeout: Callable[[], float] = lambda: 60.0,
    ) -> Cluster:
        """With leases in Redis, or of a single process when there is no backplane."""
        leases = RedisLeases(backplane) if backplane is not None else None
        return cls(rooms, leases, lease_seconds=lease_seconds, lock_timeout=lock_timeout)

    def lock(self, name: str, *, seconds: float | None = None) -> Lock:
        """The lock of that name.

        :param seconds: after a holder's death it is free in this time; default: the setting.
        """
        timeout = self._lock_timeout if seconds is None else lambda: seconds
        return Lock(self._leases, name, seconds=timeout)

    async def __aenter__(self) -> Cluster:
        async with self._stack:
            for part in (self.peers, self.replica):
                await part.start()
                self._stack.push_async_callback(part.stop)
            self._stack = self._stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()
