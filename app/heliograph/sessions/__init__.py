"""Sessions: activity, token ends and model use of whoever is connected."""

from heliograph.sessions.redis_shares import RedisShares
from heliograph.sessions.service import Sessions
from heliograph.sessions.shares import MemoryShares, Shares

__all__ = ["MemoryShares", "RedisShares", "Sessions", "Shares"]
