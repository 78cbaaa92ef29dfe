"""Channels: rooms of people, with messages, threads, reactions and read marks.

:class:`Channels` is the front door; what is said in a channel is its ``messages``.
"""

from heliograph.channels.ordering import RedisTurns
from heliograph.channels.service import Channels

__all__ = ["Channels", "RedisTurns"]
