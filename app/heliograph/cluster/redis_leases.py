"""Leases in Redis.

One sorted set has the end of every replica's lease, by the clock of Redis. Beside it each
replica has a key of its own with the same time to live, so that anybody can see with one
``EXISTS`` (or ``redis-cli``) who is there.
"""

from __future__ import annotations

import os
import socket

from heliograph.backplane import Backplane

FLEET = "replicas"
"""Hash tag of what concerns all replicas, the reaper's lock included."""


def lease_key(backplane: Backplane, replica_id: str) -> str:
    """The key that exists while the replica's lease runs; its value says where it runs."""
    return backplane.key("replica", replica_id)


class RedisLeases:
    """The leases of all replicas that share a Redis and a prefix."""

    def __init__(self, backplane: Backplane) -> None:
        self._backplane = backplane
        key = backplane.key
        self._registry = key("replicas", FLEET)
        self._steady = key("replicas", FLEET, "steady")
        self._dead = key("replicas", FLEET, "dead")
        self._graves = key("replicas", FLEET, "graves")
        self._where = f"{socket.gethostname()} pid {os.getpid()}"

    async def enlist(self, replica_id: str, seconds: float, *, former: str = "") -> None:
        """A new replica begins its lease; what it held in a former name is cleaned up."""
        keys = [self._registry, self._steady, self._dead, self._graves]
        await self._backplane.call("replica_enlist", keys, [replica_id, _ms(seconds), former])
        await self._show(replica_id, seconds)

    async def renew(self, replica_id: str, seconds: float) -> bool:
        """Prolong it; ``False`` when the replica was buried, or Redis has lost its memory."""
        keys = [self._registry, self._steady]
        call = self._backplane.call
        # A renewal that takes longer than to the next one is not worth waiting for.
        ok = await call(
            "replica_renew", keys, [replica_id, _ms(seconds)], timeout=max(0.5, seconds / 3)
        )
        if ok:
            await self._show(replica_id, seconds)
        return bool(ok)

    async def _show(self, replica_id: str, seconds: float) -> None:
        key = lease_key(self._backplane, replica_id)
        await self._backplane.execute("SET", key, self._where, "PX", _ms(seconds))

    async def leave(self, replica_id: str) -> None:
        """The replica ends by itself; the reaper looks for what it left."""
        keys = [self._registry, self._steady, self._dead, self._graves]
        await self._backplane.call("replica_leave", keys, [replica_id])
        await self._backplane.execute("DEL", lease_key(self._backplane, replica_id))

    async def alive(self, replica_id: str) -> bool:
        """Whether the replica's lease runs."""
        return bool(await self._backplane.execute("EXISTS", lease_key(self._backplane, replica_id)))

    async def ends(self) -> dict[str, float | None]:
        """The replicas, with the end of each lease in seconds since 1970."""
        found = await self._backplane.execute("ZRANGE", self._registry, 0, -1, "WITHSCORES")
        return {name.decode(): float(ends) / 1000 for name, ends in found}

    async def bury(self, reaper_id: str, token: int, seconds: float) -> list[str]:
        """Declare dead whose lease ended; the ids of all whose things are not cleaned up yet."""
        keys = [self._registry, self._steady, self._dead, self._graves, self._fence(FLEET)]
        args = (reaper_id, str(token), _ms(seconds))
        return [name.decode() for name in await self._backplane.call("replica_bury", keys, args)]

    async def forget(self, replica_id: str, token: int) -> None:
        """All that a dead replica held has been cleaned up."""
        await self._backplane.call(
            "replica_forget", [self._dead, self._fence(FLEET)], [replica_id, str(token)]
        )

    async def acquire(self, name: str, owner: str, seconds: float) -> int:
        """Take a lock: its fencing token, or 0 when another owner holds it."""
        keys = [self._lock(name), self._fence(name)]
        return int(await self._backplane.call("lock_acquire", keys, [owner, _ms(seconds)]))

    async def keep(self, name: str, owner: str, seconds: float) -> bool:
        """Prolong a lock; ``False`` when it is not the owner's any more."""
        keys = [self._lock(name), self._fence(name)]
        return bool(await self._backplane.call("lock_renew", keys, [owner, _ms(seconds)]))

    async def release(self, name: str, owner: str) -> None:
        """Give a lock back; no effect when it is not the owner's."""
        await self._backplane.call("lock_release", [self._lock(name)], [owner])

    def _lock(self, name: str) -> str:
        return self._backplane.key("lock", name)

    def _fence(self, name: str) -> str:
        return self._backplane.key("lock", name, "fence")


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
