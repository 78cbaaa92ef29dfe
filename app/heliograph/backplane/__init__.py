"""Redis: three ways to run it behind one client, and the classes for other programs."""

from heliograph.backplane.client import Backplane
from heliograph.backplane.clients import connect
from heliograph.backplane.config import Address, RedisConfig
from heliograph.backplane.dicts import RedisDict
from heliograph.backplane.link import pack
from heliograph.backplane.locks import RedisLock
from heliograph.backplane.requests import RETRIED, RedisRefused
from heliograph.backplane.sentinel import SentinelRedisProxy
from heliograph.backplane.subscriptions import Listener

__all__ = [
    "RETRIED",
    "Address",
    "Backplane",
    "Listener",
    "RedisConfig",
    "RedisDict",
    "RedisLock",
    "RedisRefused",
    "SentinelRedisProxy",
    "connect",
    "pack",
]
