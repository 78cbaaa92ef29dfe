"""What the process says of itself: structured logs."""

from heliograph.telemetry.logs import configure_logging, get_logger

__all__ = ["configure_logging", "get_logger"]
