"""What the process says of itself: structured logs and metrics."""

from heliograph.telemetry import metrics
from heliograph.telemetry.lag import LoopLag
from heliograph.telemetry.logs import configure_logging, get_logger, set_log_level

__all__ = ["LoopLag", "configure_logging", "get_logger", "metrics", "set_log_level"]
