"""This process as one of the fleet: its id, and the lease that says it lives.

Guarantee: while :attr:`Replica.leased` holds nobody has declared this replica dead, and an id
that was declared dead is never used again. A replica that was frozen, or whose Redis lost its
memory, finds out at its next renewal; it takes a new id and tells ``on_lost``.

Limit: ``leased`` goes by this machine's monotonic clock, which must not be slower than the
clock of Redis by more than a few per cent.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Awaitable, Callable

from heliograph.cluster.leases import Leases
from heliograph.errors import HeliographError
from heliograph.telemetry import get_logger

log = get_logger(__name__)

RENEWALS = 5
"""How often a lease is renewed in its time."""

# The lease itself is shorter than what is promised: others need a moment to see that it ended,
# and to clean up.
_PART_OF_PROMISE = 0.9
_RETRY_SECONDS = 0.5
_LEAVE_SECONDS = 1.0


class Replica:
    """Identity and lease of this process.

    :ivar id: short and unique; another one after the lease was lost, so read it when you need it.
    :ivar on_fenced: called at once when the lease turns out to be lost: what others may have
        taken over by now must not go on here.
    :ivar on_lost: called in order, with the id that is dead now, after this replica has a new
        one. Whoever holds something in the old name drops it or registers it again; one that
        raises is called again.

    :ivar seconds: length of the lease.

    :param seconds: what a replica that died held is cleaned up so soon.
    """

    def __init__(self, leases: Leases, *, seconds: float = 15.0) -> None:
        self.id = _new_id()
        self.seconds = seconds * _PART_OF_PROMISE
        self.on_fenced: list[Callable[[], None]] = []
        self.on_lost: list[Callable[[str], Awaitable[None]]] = []
        self._leases = leases
        self._leased_until = 0.0
        self._doubt = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._telling: set[asyncio.Task[None]] = set()
        self._one_loss_at_a_time = asyncio.Lock()

    @property
    def leased(self) -> bool:
        """Whether the lease certainly runs. Ask before doing what only a living owner may do:
        after a freeze this is false before anything else has run."""
        return time.monotonic() < self._leased_until

    async def start(self) -> None:
        """Begin the lease and keep it.

        :raises Unavailable: Redis does not take it.
        """
        await self._enlist()
        self._keeper = asyncio.create_task(self._keep(), name="replica lease")

    async def stop(self) -> None:
        """End the lease, so that nobody needs to wait for its end."""
        running = [task for task in (self._keeper, *self._telling) if task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        self._leased_until = 0.0
        with contextlib.suppress(HeliographError, TimeoutError):
            async with asyncio.timeout(_LEAVE_SECONDS):
                await self._leases.leave(self.id)

    async def alive(self, replica_id: str) -> bool:
        """Whether a replica's lease runs.

        :raises Unavailable: it cannot be asked now.
        """
        return await self._leases.alive(replica_id)

    async def ends(self) -> dict[str, float | None]:
        """The replicas of the fleet, with the time (seconds since 1970) at which each one's lease
        ends unless it is renewed; ``None`` where leases do not end.

        :raises Unavailable: they cannot be asked for now.
        """
        return await self._leases.ends()

    def doubt(self) -> None:
        """Somebody says that this replica is dead: find out now."""
        self._doubt.set()

    async def _enlist(self, former: str = "") -> None:
        asked = time.monotonic()
        await self._leases.enlist(self.id, self.seconds, former=former)
        self._leased_until = asked + self.seconds

    async def _keep(self) -> None:
        pause = self.seconds / RENEWALS
        troubled = False
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._doubt.wait()
            self._doubt.clear()
            asked = time.monotonic()
            try:
                renewed = await self._leases.renew(self.id, self.seconds)
                if renewed:
                    self._leased_until = asked + self.seconds
                else:
                    await self._begin_anew()
                pause, troubled = self.seconds / RENEWALS, False
            except Exception as error:  # whatever it is, a lease that nobody keeps is worse
                pause = min(_RETRY_SECONDS, self.seconds / RENEWALS)
                if not troubled:
                    log.warning("replica.not_renewed", replica=self.id, error=str(error))
                troubled = True

    async def _begin_anew(self) -> None:
        lost, self.id = self.id, _new_id()
        self._leased_until = 0.0
        log.error("replica.lost", replica=lost, now=self.id)
        for fence in self.on_fenced:
            fence()
        # First the lease: what is registered in a name that has none would never be cleaned up.
        while not self.leased:
            try:
                await self._enlist(former=lost)
            except Exception as error:
                log.warning("replica.not_enlisted", replica=self.id, error=str(error))
                await asyncio.sleep(_RETRY_SECONDS)
        telling = asyncio.create_task(self._tell(lost), name="replica lost")
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    async def _tell(self, lost: str) -> None:
        async with self._one_loss_at_a_time:
            waiting = list(self.on_lost)
            while waiting:
                try:
                    await waiting[0](lost)
                    del waiting[0]
                except Exception:
                    log.exception("replica.lost_not_handled", replica=lost)
                    await asyncio.sleep(_RETRY_SECONDS)


def _new_id() -> str:
    return uuid.uuid4().hex[:12]
