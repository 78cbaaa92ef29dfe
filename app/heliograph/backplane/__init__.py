"""Redis: three ways to run it behind one client, and the classes for other programs."""

from heliograph.backplane.client import Backplane
from heliograph.backplane.config import Address, RedisConfig
from heliograph.backplane.link import pack
from heliograph.backplane.requests import RETRIED, RedisRefused
from heliograph.backplane.subscriptions import Listener

__all__ = [
    "RETRIED",
    "Address",
    "Backplane",
    "Listener",
    "RedisConfig",
    "RedisRefused",
    "pack",
]
