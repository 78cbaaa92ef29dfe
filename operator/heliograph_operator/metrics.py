"""What the operator counts, in Prometheus's form, on a port of its own."""

from __future__ import annotations

from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from heliograph_operator.settings import ConfigurationError

REGISTRY = CollectorRegistry()

LEADER = Gauge(
    "heliograph_operator_leader", "1 while this operator is the one that acts.", registry=REGISTRY
)
REDIS_UP = Gauge(
    "heliograph_operator_redis_up", "1 while Redis is reached, else 0.", registry=REGISTRY
)
ROUNDS = Counter(
    "heliograph_operator_rounds", "Rounds by result: done, waiting (another acts), or failed.",
    ["result"], registry=REGISTRY,
)  # fmt: skip
ROUND_SECONDS = Gauge(
    "heliograph_operator_round_seconds", "How long the last round took.", registry=REGISTRY
)
API_ERRORS = Counter(
    "heliograph_operator_api_errors", "Requests to Kubernetes that failed.", registry=REGISTRY
)
WATCH_RESTARTS = Counter(
    "heliograph_operator_watch_restarts", "Times that the watching began anew.", registry=REGISTRY
)
REPORTS_REFUSED = Counter(
    "heliograph_operator_reports_refused", "Reports that could not be read.", registry=REGISTRY
)
REPLICAS = Gauge("heliograph_operator_replicas", "Replicas that report.", registry=REGISTRY)
CONNECTIONS = Gauge(
    "heliograph_operator_connections", "Connections of the whole fleet.", registry=REGISTRY
)
DRAINS = Gauge("heliograph_operator_drains", "Pods that are to have no clients.", registry=REGISTRY)
DRAINS_LEFT = Gauge(
    "heliograph_operator_drains_unfinished", "Those that have some still.", registry=REGISTRY
)
SETTINGS_WAITING = Gauge(
    "heliograph_operator_settings_waiting", "Pods with other settings than ordered.",
    registry=REGISTRY,
)  # fmt: skip
TASK_STOPS = Counter(
    "heliograph_operator_task_stops", "Stops of tasks that were published.", registry=REGISTRY
)
SHED = Counter(
    "heliograph_operator_shed_clients", "Clients that replicas were told to shed.",
    registry=REGISTRY,
)  # fmt: skip
EVENTS = Counter(
    "heliograph_operator_events", "What was told as an Event, by reason.", ["reason"],
    registry=REGISTRY,
)  # fmt: skip


def serve_metrics(host: str, port: int) -> WSGIServer:
    """Serve ``/metrics``, in a thread.

    :raises ConfigurationError: the port cannot be had.
    """
    try:
        server, _ = start_http_server(port, addr=host, registry=REGISTRY)
    except OSError as error:
        raise ConfigurationError(
            f"OPERATOR_METRICS_PORT: cannot listen on {host}:{port}: {error.strerror}"
        ) from None
    return server
