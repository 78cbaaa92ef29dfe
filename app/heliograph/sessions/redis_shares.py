"""The shares of all replicas in Redis: who is connected and which models are in use.

A user costs Redis something when they come and when they go, and nothing meanwhile: the
lease is the replica's. Changes are sent in steps with a version; a share that lacks one
(Redis lost it, or the lease ended while Redis was away) is written anew. The share of a
dead replica ends with its lease, or as soon as the reaper has found it dead.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial

from heliograph.backplane import Backplane
from heliograph.cluster import Cluster
from heliograph.errors import Unavailable
from heliograph.telemetry import get_logger

log = get_logger(__name__)

_USES_SECONDS = 1.0
_RENEWALS = 5
_STEP = 1_000
_RETRY_SECONDS = 1.0
_LEAVE_SECONDS = 1.0


class RedisShares:
    """One replica's share, and the sum.

    :param lease_seconds: how long the share outlives its replica at most; default: as long
        as others believe that the replica lives.
    """

    def __init__(
        self, backplane: Backplane, cluster: Cluster, *, lease_seconds: float | None = None
    ) -> None:
        self._backplane = backplane
        self._replica = cluster.replica
        self._lease = lease_seconds or cluster.replica.seconds
        key = partial(backplane.key, "usage_pool", "users")
        self._keys = [key("shares"), key("members"), key("holders")]
        self._models = backplane.key("usage_pool", "models")
        self._uses: Callable[[], dict[str, float]] = dict
        self._users: set[str] = set()
        self._unsent: dict[str, bool] = {}  # user -> whether they are here now
        self._version = 0
        self._name = ""  # whose share was written last
        self._renewed_at = 0.0
        self._uses_at = 0.0
        self._changed = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._writer: asyncio.Task[None] | None = None
        cluster.reaper.on_dead.append(self._died)

    async def start(self, uses: Callable[[], dict[str, float]]) -> None:
        """Begin."""
        self._uses = uses
        self._writer = asyncio.create_task(self._write(), name="share of the fleet's figures")

    async def stop(self) -> None:
        """End; the share of this replica is gone."""
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        with contextlib.suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(_LEAVE_SECONDS):
                await self._died(self._replica.id)

    def came(self, user_id: str) -> None:
        """The user is connected here, and was not."""
        self._users.add(user_id)
        self._unsent[user_id] = True
        self._changed.set()

    def went(self, user_id: str) -> None:
        """The user is connected here no more."""
        self._users.discard(user_id)
        self._unsent[user_id] = False
        self._changed.set()

    def used(self) -> None:
        """A model is in use here that was not."""
        self._uses_at = 0.0
        self._changed.set()

    async def models(self) -> set[str]:
        """The models in use anywhere.

        :raises Unavailable: Redis does not tell.
        """
        found = await self._backplane.call("usage_models", [self._models])
        return {use.decode().partition("|")[2] for use in found} | set(self._uses())

    async def users(self) -> int:
        """How many users are connected anywhere; who is connected twice counts once.

        :raises Unavailable: Redis does not tell.
        """
        await self._send()  # what was here before the question counts
        return int(await self._backplane.call("presence_count", self._keys))

    async def _died(self, replica_id: str) -> None:
        await asyncio.gather(
            self._backplane.call("presence_drop", self._keys, [replica_id]),
            self._backplane.call("usage_drop", [self._models], [replica_id]),
        )

    # -- writing -----------------------------------------------------------------------

    async def _write(self) -> None:
        while True:
            pause = _USES_SECONDS if self._uses() else self._lease / _RENEWALS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            self._changed.clear()
            try:
                await self._send()
            except Unavailable as error:
                log.warning("shares.not_sent", error=error.message)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _send(self) -> None:
        async with self._one_at_a_time:
            await asyncio.gather(self._send_users(), self._send_uses())

    async def _send_users(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._name != self._replica.id:
            await self._replace()
        elif self._unsent:
            while self._unsent and await self._step(list(self._unsent)[:_STEP]):
                pass
        elif now - self._renewed_at >= self._lease / _RENEWALS:
            await self._step([])

    async def _step(self, users: list[str]) -> bool:
        """Send changes, maybe none; whether the share is known to have been right."""
        sent = {user: self._unsent.pop(user) for user in users}
        before, version = self._version, self._version + bool(sent)
        changes = [f"{'+' if here else '-'}{user}" for user, here in sent.items()]
        try:
            done = await self._backplane.call(
                "presence_change",
                self._keys,
                [self._name, self._lease_ms, before, version, *changes],
            )
        except Unavailable:
            # It may have been done: the next step finds out.
            self._unsent = {**sent, **self._unsent}
            self._name = ""
            raise
        self._version = version
        self._renewed_at = asyncio.get_running_loop().time()
        if not done:
            await self._replace()
        return bool(done)

    async def _replace(self) -> None:
        """Write the whole share."""
        name, self._unsent = self._replica.id, {}
        self._version += 1
        self._name = ""
        await self._backplane.call(
            "presence_replace", self._keys, [name, self._lease_ms, self._version, *self._users]
        )
        self._name = name
        self._renewed_at = asyncio.get_running_loop().time()

    async def _send_uses(self) -> None:
        now = asyncio.get_running_loop().time()
        uses = self._uses()
        if not uses or now - self._uses_at < _USES_SECONDS / 2:
            return
        self._uses_at = now
        pairs = [part for model, left in uses.items() for part in (model, int(left * 1000))]
        await self._backplane.call("usage_renew", [self._models], [self._replica.id, *pairs])

    @property
    def _lease_ms(self) -> int:
        return int(self._lease * 1000)
