"""What each replica adds to the figures of the fleet: its users, and the models they use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Shares(Protocol):
    """This replica's share and the sum of all. Leases: a dead replica's share ends."""

    async def start(self, uses: Callable[[], dict[str, float]]) -> None:
        """Begin.

        :param uses: the models in use here, with the seconds for which they still are.
        """

    async def stop(self) -> None:
        """End; the share of this replica is gone."""

    def came(self, user_id: str) -> None:
        """The user is connected here, and was not."""

    def went(self, user_id: str) -> None:
        """The user is connected here no more."""

    def used(self) -> None:
        """A model is in use here that was not."""

    async def models(self) -> set[str]:
        """The models in use anywhere.

        :raises Unavailable: it cannot be told now.
        """

    async def users(self) -> int:
        """How many users are connected anywhere; who is connected twice counts once.

        :raises Unavailable: it cannot be told now.
        """


class MemoryShares:
    """Of a process that is alone."""

    def __init__(self) -> None:
        self._users: set[str] = set()
        self._uses: Callable[[], dict[str, float]] = dict

    async def start(self, uses: Callable[[], dict[str, float]]) -> None:
        """Begin."""
        self._uses = uses

    async def stop(self) -> None:
        """Nobody else counted it."""

    def came(self, user_id: str) -> None:
        """The user is connected."""
        self._users.add(user_id)

    def went(self, user_id: str) -> None:
        """The user is connected no more."""
        self._users.discard(user_id)

    def used(self) -> None:
        """It is looked at when somebody asks."""

    async def models(self) -> set[str]:
        """The models in use."""
        return set(self._uses())

    async def users(self) -> int:
        """How many users are connected."""
        return len(self._users)
