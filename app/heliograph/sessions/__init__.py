"""Sessions: activity, token ends and model use of whoever is connected."""

from heliograph.sessions.service import Sessions
from heliograph.sessions.usage import UsagePool

__all__ = ["Sessions", "UsagePool"]
