"""Moving some clients of this replica elsewhere while it goes on: the longest here first.

Their transports are closed at the drain's pace, so that stock clients come back by themselves.
Who is brought back by the proxy's sticky cookie meanwhile is refused once and loses the cookie;
whom the proxy sends here anew is welcome.

Limit: without a sticky cookie nobody is refused, and some come back to where they were.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from heliograph.delivery.drain import LINGER_SECONDS, Pace, Transports
from heliograph.delivery.refusal import Headers, Refusal, Shedding
from heliograph.telemetry import get_logger, metrics

log = get_logger(__name__)

_TICK_SECONDS = 0.05
_SECONDS = 20.0  # longest time over which those of one request are closed
_WHY = "this replica has more clients than others: connect again"


class Shedder(Transports, Protocol):
    """All connections, and who is refused one."""

    def shed_returning(self, shedding: Shedding | None) -> None:
        """Refuse who comes back here by its sticky cookie; ``None``: nobody."""


class Shed:
    """Sheds clients of one replica.

    :param per_second: how many are closed in a second.
    :param cookie: the proxy's sticky cookie; empty: there is none.
    :param expiry: headers that expire it.
    """

    def __init__(
        self, transports: Shedder, *, per_second: float, cookie: str, expiry: Headers
    ) -> None:
        self._transports = transports
        self._per_second = per_second
        refusal = Refusal.of(code="shed", why=_WHY, expiry=expiry)
        self._shedding = Shedding(cookie, refusal) if cookie else None
        self._runner: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether it is at it, or refuses those it closed."""
        return self._runner is not None and not self._runner.done()

    def begin(self, count: int) -> None:
        """Send so many away; no effect while those of the last time are on their way."""
        if count > 0 and not self.running:
            self._runner = asyncio.create_task(self._run(count), name="shed")

    async def stop(self) -> None:
        """Send nobody else away."""
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)

    async def _run(self, count: int) -> None:
        self._transports.shed_returning(self._shedding)
        log.info("shed.began", clients=count)
        closed = 0
        try:
            pace = Pace(_SECONDS, self._per_second)
            leaving = list(self._transports.open_transports())[:count]
            while leaving:
                due = pace.due(len(leaving))
                for transport in leaving[:due]:
                    transport.end(1012, "moved: connect again", flush=True)
                del leaving[:due]
                closed += due
                metrics.SHED.inc(due)
                await asyncio.sleep(_TICK_SECONDS)
            await asyncio.sleep(LINGER_SECONDS)
        finally:
            self._transports.shed_returning(None)
            log.info("shed.ended", clients=closed)
