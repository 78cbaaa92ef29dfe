"""What a replica says of itself to whoever looks after the fleet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from heliograph import __version__
from heliograph.delivery import Drain, Hub, SocketServer
from heliograph.live import Live
from heliograph.telemetry import LoopLag, metrics


@dataclass(frozen=True)
class Facts:
    """Where a report comes from.

    :ivar tasks: how many run here.
    """

    hub: Hub
    sockets: SocketServer
    drain: Drain
    live: Live
    tasks: Callable[[], int]
    lag: LoopLag

    def read(self) -> dict[str, Any]:
        """The facts of now. Counters are since the process started; ``lag_ms`` is the largest
        lag of the event loop since the last report."""
        return {
            "version": __version__,
            "state": self.drain.state,
            "connections": len(self.sockets.open_transports()),
            "sessions": len(self.hub.sessions),
            "tasks": self.tasks(),
            "settings": self.live.as_dict(),
            "lag_ms": round(self.lag.take() * 1000),
            "missed_pongs": metrics.total(metrics.MISSED_PONGS),
            "late_renewals": metrics.total(metrics.LATE_RENEWALS),
            "shed": metrics.total(metrics.SHED),
        }
