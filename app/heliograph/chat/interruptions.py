"""What dead replicas were writing: ended as ``interrupted``, with all that was published.

Guarantees: every answer ends, also when its replica, all replicas or Redis with its data
died; its owner is told, perhaps twice, also of one that the replica had ended but not yet told
of; nothing that is alive is ended. The database decides between those
who end an answer and a writer that was only taken for dead: whoever comes first.
Limits: an answer that nobody registered any more (Redis lost its memory, and its replica
died) is found by :meth:`Interruptions.look`, a while later, or when its chat is read.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import Any

from heliograph.chat.claims import Claim, Claims, Fate
from heliograph.chat.hot import HotLog, StreamRef
from heliograph.chat.outlet import MAX_TOLD, Outlet, is_local
from heliograph.chat.repository import ChatRepository
from heliograph.cluster import Replica
from heliograph.delivery import Hub
from heliograph.telemetry import get_logger

log = get_logger(__name__)

_LOOK_SECONDS = 30.0
_AT_ONCE = 10


class Interruptions:
    """Ends answers whose replica is dead."""

    def __init__(
        self, hub: Hub, chats: ChatRepository, claims: Claims, hot: HotLog, replica: Replica
    ) -> None:
        self._hub = hub
        self._chats = chats
        self._claims = claims
        self._hot = hot
        self._replica = replica
        self._missing_since: dict[str, float] = {}
        self._looker: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Look now, and from then on every now and then."""
        await self._try_to_look()
        self._looker = asyncio.create_task(self._keep_looking(), name="look for dead answers")

    async def stop(self) -> None:
        """Look no more."""
        if self._looker is not None:
            self._looker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looker

    # -- of one replica ------------------------------------------------------------------

    async def settle_for_dead(self, replica_id: str) -> None:
        """End all that a dead replica was writing; for the reaper. Idempotent."""
        limit = asyncio.Semaphore(_AT_ONCE)

        async def within(ref: StreamRef) -> None:
            async with limit:
                await self.settle(ref)

        async with asyncio.TaskGroup() as group:
            for ref in await self._hot.of_replica(replica_id):
                group.create_task(within(ref))
        # What is not registered: Redis lost it.
        for claim in await self._claims.of_owner(replica_id):
            await self._settle_claim(claim)

    async def settle(self, ref: StreamRef) -> None:
        """End one answer of a dead replica, if it is still that replica's. Idempotent."""
        snapshot = await self._hot.read(ref)
        text = snapshot.content if snapshot is not None else None
        if not is_local(ref.chat_id):
            fate = await self._claims.interrupt(
                ref.chat_id,
                ref.message_id,
                ref.replica,
                text,
                only_grew=snapshot is not None and snapshot.only_grew,
            )
            if fate.in_flight:  # the replica was taken for dead only, or it is answered again
                await self._hot.let_go(ref)
                return
        else:
            fate = Fate(text)
        if fate.content is not None:
            log.info(
                "answer.ended", message_id=ref.message_id, replica=ref.replica, state=fate.state
            )
            await self._tell(ref, fate)
        await self._hot.end(ref, dead=True)
        await self._hot.let_go(ref)

    async def _settle_claim(self, claim: Claim) -> None:
        ref = await self._hot.find(claim.user_id, claim.chat_id, claim.message_id)
        if ref is not None and ref.replica == claim.owner:
            await self.settle(ref)
            return
        fate = await self._claims.interrupt(claim.chat_id, claim.message_id, claim.owner, None)
        if fate.content is not None:
            log.info(
                "answer.ended", message_id=claim.message_id, replica=claim.owner, state=fate.state
            )
            nobody = claim.owner or ""
            gone = StreamRef(claim.user_id, claim.chat_id, claim.message_id, "", nobody)
            await self._tell(gone, fate)

    async def _tell(self, ref: StreamRef, fate: Fate) -> None:
        access = None
        if not is_local(ref.chat_id):
            access = await self._chats.access(ref.chat_id, ref.user_id)
        shared = access is not None and access.shared
        outlet = Outlet(self._hub, ref.chat_id, ref.message_id, ref.user_id, shared)
        if fate.state == "stopped":
            await outlet.send("chat:tasks:cancel", {"state": "stopped"})
        elif fate.state == "error":
            await outlet.send("chat:message:error", {"error": fate.error})
        else:
            said: dict[str, Any] = {"done": True, "state": fate.state}
            if fate.content is not None and len(fate.content) <= MAX_TOLD:
                said["content"] = fate.content
            await outlet.send("chat:completion", said)
        others = [
            other
            for other in await self._hot.of_user(ref.user_id)
            if other.chat_id == ref.chat_id and other.run != ref.run
        ]
        busy = {"active": bool(others), "message_id": ref.message_id}
        await outlet.send("chat:active", busy)

    # -- wherever one turns up -------------------------------------------------------------

    async def repair(self, user_id: str, chat_id: str) -> bool:
        """End what dead replicas have in flight in a chat; whether there was any.

        :raises Unavailable: Redis cannot say who lives.
        """
        refs = [ref for ref in await self._hot.of_user(user_id) if ref.chat_id == chat_id]
        dead = [ref for ref in refs if await self._is_dead(ref.replica)]
        for ref in dead:
            await self.settle(ref)
        if is_local(chat_id):
            return bool(dead)
        claims = [
            claim
            for claim in await self._claims.of_chat(chat_id)
            if await self._is_dead(claim.owner)
        ]
        for claim in claims:
            await self._settle_claim(claim)
        return bool(dead or claims)

    async def look(self) -> None:
        """End the answers of all replicas that are dead."""
        for owner in await self._claims.owners():
            if await self._is_dead(owner):
                for claim in await self._claims.of_owner(owner):
                    await self._settle_claim(claim)

    async def _keep_looking(self) -> None:
        while True:
            # Not all replicas in step.
            await asyncio.sleep(_LOOK_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311
            await self._try_to_look()

    async def _try_to_look(self) -> None:
        try:
            await self.look()
        except Exception as error:
            log.warning("answers.look_failed", error=f"{type(error).__name__}: {error}"[:200])

    async def _is_dead(self, replica_id: str | None) -> bool:
        # Who was missing once may be coming back: Redis may have lost its memory.
        if replica_id is None:
            return True
        if replica_id == self._replica.id or await self._replica.alive(replica_id):
            self._missing_since.pop(replica_id, None)
            return False
        now = time.monotonic()
        return now - self._missing_since.setdefault(replica_id, now) >= self._hot.grace
