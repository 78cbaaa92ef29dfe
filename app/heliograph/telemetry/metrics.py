"""Counters of one process, in Prometheus's form. No room, user or document in a label."""

from __future__ import annotations

from collections.abc import Callable
from wsgiref.simple_server import WSGIServer

from prometheus_client import Counter, Gauge, start_http_server

from heliograph.errors import ConfigurationError

HANDSHAKES = Counter(
    "heliograph_handshakes", "CONNECT packets by result: accepted, or the refusal's code.",
    ["result"],
)  # fmt: skip
RECOVERIES = Counter(
    "heliograph_recoveries", "Returning clients by outcome: recovered, or not_recovered.",
    ["outcome"],
)  # fmt: skip
EVENTS_IN = Counter("heliograph_events_received", "Events that clients sent.")
EVENTS_OUT = Counter("heliograph_events_delivered", "Events written for sessions in rooms.")
SLOW_CONSUMERS = Counter(
    "heliograph_slow_consumers_closed", "Clients closed because they did not read."
)
RATE_LIMITED = Counter("heliograph_rate_limited_events", "Events refused: sent too fast.")
BACKPLANE_LOST = Counter("heliograph_backplane_links_lost", "Connections to Redis that broke.")
GAPS_REPAIRED = Counter(
    "heliograph_gaps_repaired", "Times that missed frames of a room were read from its log."
)
EPOCHS_CHANGED = Counter(
    "heliograph_epochs_changed", "Times that a room's log was found to be another one."
)
DRAINING = Gauge("heliograph_draining", "1 while this replica takes no new connections, else 0.")
DRAIN_CLOSED = Counter(
    "heliograph_drain_transports_closed", "Connections closed because the replica was to end."
)
MISSED_PONGS = Counter(
    "heliograph_missed_pongs", "Connections closed because a ping was not answered in time."
)
LATE_RENEWALS = Counter(
    "heliograph_lock_renewals_late", "Renewals of locks after more than half of their time."
)
SHED = Counter("heliograph_shed_transports", "Connections closed to move load to other replicas.")
LOOP_LAG = Gauge(
    "heliograph_loop_lag_seconds", "How late the event loop ran at most, in about two seconds."
)
_SESSIONS = Gauge("heliograph_sessions", "Sessions of this replica, also those away for a moment.")


def watch_sessions(count: Callable[[], int]) -> None:
    """Read the number of sessions from ``count`` at each scrape."""
    _SESSIONS.set_function(count)


def total(counter: Counter) -> int:
    """What a counter without labels has counted."""
    (family,) = counter.collect()
    return round(next(one.value for one in family.samples if one.name.endswith("_total")))


def serve_metrics(host: str, port: int) -> WSGIServer:
    """Serve ``/metrics`` on a port of its own, in a thread.

    :raises ConfigurationError: the port cannot be had.
    """
    try:
        server, _ = start_http_server(port, addr=host)
    except OSError as error:
        raise ConfigurationError(
            f"METRICS_PORT: cannot listen on {host}:{port}: {error.strerror}"
        ) from None
    return server
