"""Delivery: how an event reaches sockets, once and in order.

Features publish to rooms through :class:`Hub` and call one browser through
:class:`Calls`; the rest is wired by the application.
"""

from heliograph.delivery.broker import Broker, Position, PositionLost
from heliograph.delivery.calls import Calls
from heliograph.delivery.drain import LAST_SECONDS, TASK_SECONDS, Drain
from heliograph.delivery.frames import Frame
from heliograph.delivery.hub import EVERYONE, Hub, user_room
from heliograph.delivery.lifecycle import Lifecycle
from heliograph.delivery.memory import MemoryBroker
from heliograph.delivery.peers import NoPeers, Peers
from heliograph.delivery.protocol import WebSocketProtocol
from heliograph.delivery.records import MemorySessionRecords, SessionRecords
from heliograph.delivery.redis_broker import RedisBroker
from heliograph.delivery.redis_records import RedisSessionRecords
from heliograph.delivery.refusal import expiry_of
from heliograph.delivery.server import Inbound, SocketServer
from heliograph.delivery.session import Session
from heliograph.delivery.shedding import Shed

__all__ = [
    "EVERYONE",
    "LAST_SECONDS",
    "TASK_SECONDS",
    "Broker",
    "Calls",
    "Drain",
    "Frame",
    "Hub",
    "Inbound",
    "Lifecycle",
    "MemoryBroker",
    "MemorySessionRecords",
    "NoPeers",
    "Peers",
    "Position",
    "PositionLost",
    "RedisBroker",
    "RedisSessionRecords",
    "Session",
    "SessionRecords",
    "Shed",
    "SocketServer",
    "WebSocketProtocol",
    "expiry_of",
    "user_room",
]
