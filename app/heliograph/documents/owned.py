"""What a replica owns, written down in Redis, so that others find it when the replica dies.

A set per replica, under the replica's own hash tag: it is written before the thing that it
names, and may name things that are not there any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from heliograph.backplane import Backplane
from heliograph.cluster import Replica


class Owned:
    """One kind of thing that replicas own.

    :param name: ``prefix:replica:{id}:name`` is the key.
    """

    def __init__(self, backplane: Backplane, replica: Replica, name: str) -> None:
        self._backplane = backplane
        self._replica = replica
        self._name = name
        self._have: set[str] = set()
        self._going: dict[str, asyncio.Future[None]] = {}
        replica.on_lost.append(self._again)

    def _key(self, replica_id: str) -> str:
        return self._backplane.key("replica", replica_id, self._name)

    def __contains__(self, item: str) -> bool:
        return item in self._have

    async def add(self, item: str) -> None:
        """Write down that this replica has it, unless it is written already.

        :raises Unavailable: it is not known to be written.
        """
        while (going := self._going.get(item)) is not None:
            await asyncio.wait({going})
        if item not in self._have:
            replica_id = self._replica.id
            await self._backplane.execute("SADD", self._key(replica_id), item)
            if replica_id == self._replica.id:
                self._have.add(item)
            else:
                await self.add(item)  # taken for dead meanwhile

    async def discard(self, item: str) -> None:
        """This replica does not have it any more. What adds it afterwards waits for this."""
        if item not in self._have or item in self._going:
            return
        self._have.discard(item)
        going = self._going[item] = asyncio.get_running_loop().create_future()
        try:
            await self.remove(self._replica.id, item)
        finally:
            del self._going[item]
            going.set_result(None)

    async def of(self, replica_id: str) -> Sequence[str]:
        """What a replica has."""
        members = await self._backplane.execute("SMEMBERS", self._key(replica_id))
        return sorted(item.decode() for item in members)

    async def remove(self, replica_id: str, item: str) -> None:
        """A replica does not have it any more."""
        await self._backplane.execute("SREM", self._key(replica_id), item)

    async def forget(self, replica_id: str) -> None:
        """A dead replica has nothing any more."""
        await self._backplane.execute("DEL", self._key(replica_id))

    async def _again(self, lost: str) -> None:
        # The others believe this replica dead, and it has another name now.
        have = list(self._have)
        if have:
            await self._backplane.execute("SADD", self._key(self._replica.id), *have)
