"""What the cluster needs of rooms; the hub of delivery has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

EVERY_REPLICA = "replicas"
"""The room in which every replica listens."""


def replica_room(replica_id: str) -> str:
    """The room in which one replica listens."""
    return f"replica:{replica_id}"


class Rooms(Protocol):
    """Instructions to rooms. Their order is kept, and they are logged: a listener that was cut
    off for a moment gets them late."""

    async def listen(self, name: str, hear: Callable[[dict[str, Any]], None]) -> None:
        """Let ``hear`` have every instruction in the room from now on."""

    async def unlisten(self, name: str, hear: Callable[[dict[str, Any]], None]) -> None:
        """Let ``hear`` have no more of them."""

    async def instruct(self, name: str, instruction: dict[str, Any]) -> None:
        """Send an instruction to all who listen to the room, on every replica."""
