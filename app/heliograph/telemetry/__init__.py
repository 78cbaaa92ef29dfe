"""What the process says of itself: structured logs and metrics."""

from heliograph.telemetry import metrics
from heliograph.telemetry.logs import configure_logging, get_logger

__all__ = ["configure_logging", "get_logger", "metrics"]
