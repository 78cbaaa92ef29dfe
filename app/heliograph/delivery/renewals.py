"""Renews the records of the sessions that a replica holds, a batch at a time.

Only what is due is looked at. After a freeze of the process, an outage of Redis or a change of
the replica's name everything is due at once: others may have acted meanwhile.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from heliograph.delivery.session import Session
from heliograph.telemetry import get_logger

log = get_logger(__name__)

_TICK_SECONDS = 1.0
_FROZEN_SECONDS = 3.0
_BATCH = 256


@dataclass(eq=False, slots=True)
class Held:
    """A session this replica owns.

    :ivar owner: our name as it was written last.
    :ivar stored: the revision that was written last.
    """

    session: Session
    owner: str
    generation: int = 1
    stored: int = -1
    renewed_at: float = field(default_factory=time.monotonic)
    writing: asyncio.Task[None] | None = None

    @property
    def unwritten(self) -> bool:
        """Whether it has changed since it was written."""
        return self.stored < self.session.positions.revision


class Renewals:
    """Keeps records alive.

    :param held: the sessions by id; kept in the order of their renewal.
    :param renew: renews one, and says so to :meth:`renewed`; ``False`` when Redis is away.
    :param every: seconds between renewals of one session.
    :param name: the replica's name now.
    """

    def __init__(
        self,
        held: dict[str, Held],
        renew: Callable[[Held], Awaitable[bool]],
        every: float,
        name: Callable[[], str],
    ) -> None:
        self._held = held
        self._renew = renew
        self._every = every
        self._name = name
        self._doubted_at = 0.0
        self._failed: dict[str, Held] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="renew sessions")

    async def stop(self) -> None:
        """End; the records live on for a while."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def renewed(self, held: Held) -> None:
        """The record was written or renewed."""
        held.renewed_at = time.monotonic()
        sid = held.session.sid
        if self._held.get(sid) is held:
            self._held[sid] = self._held.pop(sid)

    def failed(self, held: Held) -> None:
        """A write failed: it is tried again soon."""
        self._failed[held.session.sid] = held

    async def _run(self) -> None:
        looked_at, name = time.monotonic(), self._name()
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            now = time.monotonic()
            if now - looked_at > _FROZEN_SECONDS or name != self._name():
                self._doubted_at = now
            looked_at, name = now, self._name()
            try:
                await self._renew_due(now)
            except Exception:
                log.exception("sessions.not_renewed")

    async def _renew_due(self, now: float) -> None:
        before = max(now - self._every, self._doubted_at)
        failed, self._failed = self._failed, {}
        old = itertools.takewhile(lambda held: held.renewed_at < before, self._held.values())
        due = list({**failed, **{held.session.sid: held for held in old}}.values())
        for start in range(0, len(due), _BATCH):
            done = await asyncio.gather(*map(self._renew, due[start : start + _BATCH]))
            if not any(done):
                log.warning("sessions.renewals_wait", sessions=len(due) - start)
                self._failed.update(failed)
                return  # they stay due
