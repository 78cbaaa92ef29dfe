"""How late the event loop runs: what a client's event waits for before anybody looks at it."""

from __future__ import annotations

import asyncio
import time

from heliograph.telemetry import metrics

_PAUSE_SECONDS = 0.1


class LoopLag:
    """Sleeps a tenth of a second again and again, and sees how much longer that took."""

    def __init__(self) -> None:
        self._most = 0.0
        self._due = 0.0

    async def run(self) -> None:
        """Watch, until cancelled."""
        while True:
            self._due = time.monotonic() + _PAUSE_SECONDS
            await asyncio.sleep(_PAUSE_SECONDS)
            self._most = max(self._most, time.monotonic() - self._due)

    def take(self) -> float:
        """The largest lag since it was last asked for, s."""
        # A sleep that should be over counts, too: after a freeze this may run first.
        most = max(self._most, time.monotonic() - self._due) if self._due else 0.0
        self._most = 0.0
        metrics.LOOP_LAG.set(most)
        return most
