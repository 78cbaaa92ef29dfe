"""Where leases are written: who is one of the fleet, and who holds a lock.

Guarantee: a replica that was buried can never renew again, so "dead" is final and the same
for everybody; a lock's tokens grow for ever. :class:`MemoryLeases` is the counterpart for a
single process, which outlives nobody.
"""

from __future__ import annotations

import itertools
from typing import Protocol


class Leases(Protocol):
    """The leases of all replicas. Seconds are floats; every method may raise ``Unavailable``."""

    async def enlist(self, replica_id: str, seconds: float, *, former: str = "") -> None:
        """A new replica begins its lease.

        :param former: its lost id, whose things are cleaned up unless they have been.
        """

    async def renew(self, replica_id: str, seconds: float) -> bool:
        """Prolong it; ``False`` when others count the replica as dead."""

    async def leave(self, replica_id: str) -> None:
        """The replica ends by itself; what it left is cleaned up like a dead one's."""

    async def alive(self, replica_id: str) -> bool:
        """Whether the replica's lease runs."""

    async def ends(self) -> dict[str, float | None]:
        """The replicas, with the time (seconds since 1970) at which each lease ends unless it is
        renewed; ``None`` where leases do not end."""

    async def bury(self, reaper_id: str, token: int, seconds: float) -> list[str]:
        """Declare dead whose lease ended; the ids of all whose things are not cleaned up yet.

        :param token: the reaper's fencing token; with an old one nothing happens.
        """

    async def forget(self, replica_id: str, token: int) -> None:
        """All that a dead replica held has been cleaned up."""

    async def acquire(self, name: str, owner: str, seconds: float) -> int:
        """Take a lock: its fencing token, greater than all before; 0 when another holds it."""

    async def keep(self, name: str, owner: str, seconds: float) -> bool:
        """Prolong a lock; ``False`` when it is not the owner's any more."""

    async def release(self, name: str, owner: str) -> None:
        """Give a lock back; no effect when it is not the owner's."""


class MemoryLeases:
    """Leases of a single process: nobody but itself could find it dead."""

    def __init__(self) -> None:
        self._replicas: set[str] = set()
        self._locks: dict[str, tuple[str, int]] = {}
        self._tokens = itertools.count(1)

    async def enlist(self, replica_id: str, seconds: float, *, former: str = "") -> None:
        """A new replica begins its lease."""
        self._replicas.add(replica_id)

    async def renew(self, replica_id: str, seconds: float) -> bool:
        """Whether the replica is enlisted."""
        return replica_id in self._replicas

    async def leave(self, replica_id: str) -> None:
        """The replica ends by itself."""
        self._replicas.discard(replica_id)

    async def alive(self, replica_id: str) -> bool:
        """Whether the replica is enlisted."""
        return replica_id in self._replicas

    async def ends(self) -> dict[str, float | None]:
        """The replicas; their leases do not end."""
        return dict.fromkeys(self._replicas)

    async def bury(self, reaper_id: str, token: int, seconds: float) -> list[str]:
        """Nobody."""
        return []

    async def forget(self, replica_id: str, token: int) -> None:
        """Nothing to do."""

    async def acquire(self, name: str, owner: str, seconds: float) -> int:
        """Take a lock: its fencing token, or 0 when another owner holds it."""
        held = self._locks.setdefault(name, (owner, 0))
        if held[0] != owner:
            return 0
        if held[1] == 0:
            held = self._locks[name] = (owner, next(self._tokens))
        return held[1]

    async def keep(self, name: str, owner: str, seconds: float) -> bool:
        """Whether the owner holds it."""
        return self._locks.get(name, ("", 0))[0] == owner

    async def release(self, name: str, owner: str) -> None:
        """Give a lock back; no effect when it is not the owner's."""
        if self._locks.get(name, ("", 0))[0] == owner:
            del self._locks[name]
