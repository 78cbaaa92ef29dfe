"""Moving the clients of this replica elsewhere, before it ends or while it is to be spared.

From :meth:`Drain.begin` on nobody new is let in, while those who are here go on; then, in this
order: the tasks end and say so, every session is told ``server:draining``, the transports are
closed, a few at a time and in random order. They are closed *as transports*: stock clients come
back by themselves, find another replica and are recovered there. ``/ready`` stays 200, or a
proxy would cut the sessions that poll. Then it goes on for a moment, to refuse those whom a
sticky cookie brings back and take the cookie away: a proxy that still knows a replica which is
gone answers 502, and the cookie stays.

Guarantee: all is over :data:`TASK_SECONDS` + ``seconds`` + :data:`LAST_SECONDS` after it began,
whatever Redis, the database, a task or a client does meanwhile.

Limits: a proxy that sends who is refused here back to here makes clients wait; see
``docs/operations.md``. Closed transports do not come back when a drain is cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from heliograph.delivery.hub import Hub
from heliograph.delivery.refusal import Headers, Refusal
from heliograph.telemetry import get_logger, metrics

log = get_logger(__name__)

TASK_SECONDS = 5.0
"""How long tasks may take to end."""

LAST_SECONDS = 3.0
"""How long the last clients may take to read what is queued for them."""

LINGER_SECONDS = 4.0
"""How long it refuses after the last was closed: stock clients are back in 0.5 to 1.5 s."""

_TICK_SECONDS = 0.05
_REPORT_SECONDS = 5.0
_RETURN_MS = (200, 1_000)  # a client's own pause; most of the spread is in the closing
_TOLD_AT_ONCE = 500
_WHY = "this replica takes no new connections: it is about to end; connect again"

State = Literal["running", "draining", "drained"]


class Transport(Protocol):
    """One connection of a client."""

    def end(self, code: int, reason: str, *, flush: bool = False) -> None:
        """Close it, after what is queued for it."""


class Transports(Protocol):
    """All of them."""

    def refuse_handshakes(self, refusal: Refusal) -> None:
        """Let nobody in who has no session."""

    def admit_handshakes(self) -> None:
        """Let everybody in."""

    def open_transports(self) -> Sequence[Transport]:
        """Those that were not told to end."""

    async def transports_gone(self, timeout: float) -> None:
        """Wait until none is left, and cut who stays longer."""


class Stopping(Protocol):
    """Ends what works for clients."""

    async def shutdown(self, *, timeout: float, per_second: float) -> int:
        """End it, in ``timeout`` s, at that pace if it can be; how many there were."""

    def reopen(self) -> None:
        """Take new work again."""


class Pace:
    """How many transports to close now: at least ``per_second``, all within ``seconds``.

    :param clock: seconds that only grow.
    """

    def __init__(
        self, seconds: float, per_second: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._per_second = per_second
        self._at = clock()
        self._end = self._at + seconds
        self._owed = 0.0

    def due(self, still_open: int) -> int:
        """How many of those that are open are to be closed now."""
        now, before = self._clock(), self._at
        self._at = now
        if now >= self._end:
            return still_open
        rate = max(self._per_second, still_open / (self._end - before))
        self._owed += rate * (now - before)
        count = min(still_open, int(self._owed))
        self._owed -= int(self._owed)
        return count


class Drain:
    """The drain of one replica: ``running``, ``draining``, ``drained``; or back to ``running``.

    :ivar state: where it is.
    :param tasks: what works for clients here.
    :param seconds: longest time over which transports are closed.
    :param per_second: how many tasks are ended, and then connections closed, in a second; or more
        when the time does not suffice.
    :param expiry: headers that expire the proxy's sticky cookie, see ``refusal``.
    """

    def __init__(
        self,
        hub: Hub,
        transports: Transports,
        tasks: Stopping,
        *,
        seconds: float,
        per_second: float,
        expiry: Headers,
    ) -> None:
        self.state: State = "running"
        self._hub = hub
        self._transports = transports
        self._tasks = tasks
        self._seconds = seconds
        self._per_second = per_second
        self._expiry = expiry
        self._hurry = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None
        self._for_good = False

    @property
    def resting(self) -> bool:
        """Whether nobody is here, and the process stays: requests are better served elsewhere."""
        return self.state == "drained" and not self._for_good

    @property
    def running(self) -> bool:
        """Whether new clients are taken."""
        return self.state == "running"

    def begin(self, why: str, *, for_good: bool = True) -> None:
        """Refuse who is new, at once, and do the rest in the background. Idempotent.

        :param for_good: the process ends after it.
        """
        self._for_good = self._for_good or for_good
        if not self.running:
            return
        self.state = "draining"
        refusal = Refusal.of(code="draining", why=_WHY, expiry=self._expiry)
        self._transports.refuse_handshakes(refusal)
        metrics.DRAINING.set(1)
        log.info(
            "drain.began", why=why, sessions=len(self._hub.sessions),
            transports=len(self._transports.open_transports()), seconds=self._seconds,
        )  # fmt: skip
        self._hurry.clear()
        self._runner = asyncio.create_task(self._run(), name="drain")

    def hasten(self) -> None:
        """Close all that is still open at once, when the tasks have ended, and wait for nobody."""
        if not self.running and not self._hurry.is_set():
            log.info("drain.hastened")
            self._hurry.set()

    async def finish(self) -> None:
        """Wait until it is over; no effect when it has not begun."""
        if self._runner is not None:
            await asyncio.shield(self._runner)

    async def cancel(self) -> None:
        """Take clients and tasks again. Who was sent away stays where it is. Idempotent."""
        if self.running:
            return
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)
            self._runner = None
        self._tasks.reopen()
        self._transports.admit_handshakes()
        self.state = "running"
        self._for_good = False
        metrics.DRAINING.set(0)
        log.info("drain.cancelled", sessions=len(self._hub.sessions))

    # -- the course of it ----------------------------------------------------------------

    async def _run(self) -> None:
        began = time.monotonic()
        try:
            stopped = await self._tasks.shutdown(timeout=TASK_SECONDS, per_second=self._per_second)
            log.info("drain.tasks_ended", tasks=stopped, after=_since(began))
        except Exception:
            log.exception("drain.tasks_not_ended")  # the clients are moved all the same
        await self._tell()
        closed = await self._close()
        last_closed = time.monotonic()
        await self._transports.transports_gone(LAST_SECONDS)
        self.state = "drained"
        log.info("drain.ended", closed=closed, after=_since(began))
        if closed and self._expiry:
            over = began + TASK_SECONDS + self._seconds + LAST_SECONDS
            until = min(last_closed + LINGER_SECONDS, over)
            await self._unless_hastened(max(0.0, until - time.monotonic()))

    async def _tell(self) -> None:
        sessions = list(self._hub.sessions.values())
        for number, session in enumerate(sessions, 1):
            pause = random.randint(*_RETURN_MS)  # noqa: S311 no secret
            session.emit("server:draining", {"reconnect_in_ms": pause})
            if number % _TOLD_AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _close(self) -> int:
        """Close what is open, and what appears meanwhile; how many these were."""
        pace = Pace(self._seconds, self._per_second)
        closed, reported = 0, time.monotonic()
        while still_open := self._transports.open_transports():
            due = len(still_open) if self._hurry.is_set() else pace.due(len(still_open))
            for transport in random.sample(still_open, due):
                transport.end(1012, "restart: the server is stopping", flush=True)
            closed += due
            metrics.DRAIN_CLOSED.inc(due)
            if time.monotonic() - reported >= _REPORT_SECONDS:
                reported = time.monotonic()
                log.info("drain.goes_on", closed=closed, open=len(still_open) - due)
            await self._unless_hastened(_TICK_SECONDS)
        return closed

    async def _unless_hastened(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurry.wait()


def _since(began: float) -> str:
    return f"{time.monotonic() - began:.2f} s"
