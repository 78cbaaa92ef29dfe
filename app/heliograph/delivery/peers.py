"""What delivery needs of the other replicas; the cluster has it.

A request is answered, or fails with an error: of code ``peer_gone`` when the other replica is
dead or dies meanwhile, of ``Unavailable`` when nothing comes in time, else with its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from heliograph.errors import HeliographError

PEER_GONE = "peer_gone"
PEER_TIMEOUT = "peer_timeout"


class Named(Protocol):
    """This replica among the others."""

    @property
    def id(self) -> str:
        """Its name. It gets another one when the others take it for dead."""


class Peers(Protocol):
    """The line to the other replicas. Data are what JSON has, and bytes."""

    def serve(self, op: str, handler: Callable[[dict[str, Any]], Awaitable[Any]]) -> None:
        """Answer requests named ``op`` with what ``handler(data)`` returns or raises."""

    async def request(
        self, replica_id: str, op: str, data: dict[str, Any], *, timeout: float
    ) -> Any:
        """Ask a replica and return its answer."""

    def tell(self, replica_id: str, op: str, data: dict[str, Any]) -> None:
        """Let a replica carry out ``op``, without an answer."""


class NoPeers:
    """Of a process that is alone."""

    def serve(self, op: str, handler: Callable[[dict[str, Any]], Awaitable[Any]]) -> None:
        """Nobody will ask."""

    async def request(
        self, replica_id: str, op: str, data: dict[str, Any], *, timeout: float
    ) -> Any:
        """There is nobody to ask."""
        raise HeliographError(f"there is no replica {replica_id}", code=PEER_GONE)

    def tell(self, replica_id: str, op: str, data: dict[str, Any]) -> None:
        """There is nobody to tell."""
