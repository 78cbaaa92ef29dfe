"""The Socket.IO side of the edge: every event this server understands, in one gateway."""

from __future__ import annotations

from heliograph.edge.events import channels, chat, documents, session
from heliograph.edge.gateway import Gateway
from heliograph.edge.services import Services


def register_events(gateway: Gateway, services: Services) -> None:
    """Register the events of all topics."""
    for topic in (session, chat, channels, documents):
        topic.register(gateway, services)
