"""Which server is responsible for which key, now: one answer for all ways to run Redis.

A topology is asked again every second and whenever something looks wrong (a link broke, a
server said ``MOVED`` or ``READONLY``). Of several answers the one with the highest
configuration epoch counts: a node that is cut off from the others may know an old one.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from heliograph.backplane.config import Address, RedisConfig
from heliograph.backplane.link import Link, LinkLost, ReplyError, open_link
from heliograph.telemetry import get_logger

log = get_logger(__name__)

SLOTS = 16384
_ASKED = 3  # nodes of a cluster that are asked for its layout
_RECENT_SECONDS = 3.0
_PATIENCE = 0.7  # seconds for an answer; others are asked at the same time


class Topology(Protocol):
    """Who is the master.

    :ivar suspended: a successor is being chosen; what is written now may be lost.
    """

    suspended: bool

    def confirms(self, address: Address) -> bool:
        """Whether it was named as a master just now, by those who decide that."""

    @property
    def masters(self) -> frozenset[Address]:
        """All masters; empty while none is known."""

    def owner(self, slot: int) -> Address | None:
        """The master of a slot, if it is known."""

    async def refresh(self) -> bool:
        """Ask again; whether something changed."""

    def close(self) -> None:
        """End the connections."""


def create_topology(config: RedisConfig, on_change: Callable[[], None]) -> Topology:
    """The topology for the configured way to run Redis.

    :param on_change: it should be asked again, now.
    """
    if config.mode == "sentinel":
        return SentinelTopology(config, on_change)
    if config.mode == "cluster":
        return ClusterTopology(config)
    return FixedTopology(config.seeds[0])


class FixedTopology:
    """One server."""

    suspended = False

    def __init__(self, address: Address) -> None:
        self.masters = frozenset({address})
        self._address = address

    def confirms(self, address: Address) -> bool:
        """There is no other."""
        return address == self._address

    def owner(self, slot: int) -> Address | None:
        """That server."""
        return self._address

    async def refresh(self) -> bool:
        """Nothing can change."""
        return False

    def close(self) -> None:
        """Nothing is open."""


def _recent(answered_at: float) -> bool:
    return time.monotonic() - answered_at < _RECENT_SECONDS


class _Panel:
    """Links to servers that are asked for their view, opened when needed.

    :param hear: gets what they publish on ``channels``.
    """

    def __init__(
        self,
        config: RedisConfig,
        username: str,
        password: str,
        *,
        channels: Sequence[bytes] = (),
        hear: Callable[[list[Any]], None] | None = None,
    ) -> None:
        self._config = config
        self._channels = channels
        self._hear = hear
        self._username = username
        self._password = password
        self._links: dict[Address, Link] = {}

    async def ask(self, addresses: Iterable[Address], *command: str) -> dict[Address, Any]:
        """The answers of those that answer in time."""
        chosen = list(addresses)
        answers = await asyncio.gather(*(self._ask(each, command) for each in chosen))
        return {
            address: answer
            for address, answer in zip(chosen, answers, strict=True)
            if answer is not None
        }

    async def _ask(self, address: Address, command: tuple[str, ...]) -> Any:
        try:
            async with asyncio.timeout(_PATIENCE):
                link = self._links.get(address)
                if link is None or not link.alive:
                    link, _ = await open_link(
                        address,
                        timeout=_PATIENCE,
                        tls=self._config.tls,
                        username=self._username,
                        password=self._password,
                        on_push=self._hear,
                    )
                    for channel in self._channels:
                        link.subscribe("SUBSCRIBE", channel, None)
                    self._links[address] = link
                return await link.ask(*command)
        except (OSError, LinkLost, ReplyError) as error:
            # One that does not answer is asked anew next time, over another link.
            if (old := self._links.pop(address, None)) is not None:
                old.close("did not answer")
            log.debug("redis.no_view", address=str(address), error=str(error))
            return None

    def keep(self, addresses: Iterable[Address]) -> None:
        """Close the links to all others."""
        for address in set(self._links) - set(addresses):
            self._links.pop(address).close("not asked any more")

    def close(self) -> None:
        """Close all links."""
        self.keep(())


class SentinelTopology:
    """The master that the Sentinels agree on.

    A failover that somebody asked for promotes a replica while the old master goes on taking
    writes, which are lost. Sentinel says so before: from then on nothing is written until it
    has named the successor.
    """

    def __init__(self, config: RedisConfig, on_change: Callable[[], None]) -> None:
        self.masters: frozenset[Address] = frozenset()
        self.suspended = False
        self._config = config
        self._on_change = on_change
        self._epoch = -1
        self._answered_at = 0.0
        self._panel = _Panel(
            config, "", config.sentinel_password, channels=_SENTINEL_NEWS, hear=self._heard
        )
        self._sentinels = set(config.seeds)

    def confirms(self, address: Address) -> bool:
        """Whether the Sentinels name it, and no failover is under way."""
        return address in self.masters and not self.suspended and _recent(self._answered_at)

    def owner(self, slot: int) -> Address | None:
        """The master."""
        return next(iter(self.masters), None)

    async def refresh(self) -> bool:
        """Ask all Sentinels; the highest configuration epoch counts."""
        command = ("SENTINEL", "MASTER", self._config.master)
        views = [
            _sentinel_view(view)
            for view in (await self._panel.ask(self._sentinels, *command)).values()
        ]
        if not views:
            return False
        self._answered_at = time.monotonic()
        was_suspended = self.suspended
        self.suspended = any(view.failing_over for view in views)
        newest = max(views)
        if newest.epoch < self._epoch or self.masters == {newest.address}:
            return was_suspended and not self.suspended
        log.info("redis.master", address=str(newest.address), epoch=newest.epoch)
        self._epoch = newest.epoch
        self.masters = frozenset({newest.address})
        return True

    def _heard(self, push: list[Any]) -> None:
        # "master NAME host port", or "NAME host port host port"
        if push[0] == b"message" and self._config.master.encode() in push[2].split(b" ")[:2]:
            self.suspended = self.suspended or push[1] == _TRIES
            self._on_change()

    def close(self) -> None:
        """End the connections."""
        self._panel.close()


_TRIES = b"+try-failover"
_SENTINEL_NEWS = (_TRIES, b"+switch-master", b"+failover-end")


class _SentinelView(NamedTuple):
    epoch: int
    address: Address
    failing_over: bool


def _sentinel_view(view: Any) -> _SentinelView:
    return _SentinelView(
        int(view[b"config-epoch"]),
        Address(view[b"ip"].decode(), int(view[b"port"])),
        b"failover_in_progress" in view[b"flags"].split(b","),
    )


class ClusterTopology:
    """The slots of a Redis Cluster."""

    suspended = False

    def __init__(self, config: RedisConfig) -> None:
        self.masters: frozenset[Address] = frozenset()
        self._config = config
        self._panel = _Panel(config, config.username, config.password)
        self._nodes: list[Address] = list(config.seeds)
        self._owners: list[Address | None] = [None] * SLOTS
        self._turn = 0
        self._answered_at = 0.0

    def confirms(self, address: Address) -> bool:
        """Whether other nodes say that it has slots."""
        return address in self.masters and _recent(self._answered_at)

    def owner(self, slot: int) -> Address | None:
        """The master of the slot."""
        return self._owners[slot]

    def moved(self, slot: int, address: Address) -> None:
        """A server said who owns a slot."""
        self._owners[slot] = address
        if address not in self.masters:
            self.masters |= {address}

    async def refresh(self) -> bool:
        """Ask a few nodes, others each time, for the layout."""
        asked = self._asked()
        views = await self._panel.ask(asked, "CLUSTER", "NODES")
        if not views:
            views = await self._panel.ask(self._config.seeds, "CLUSTER", "NODES")
        if not views:
            return False
        if len(views) > 1:  # one alone may be the one that is cut off
            self._answered_at = time.monotonic()
        claims: list[tuple[int, Address, list[tuple[int, int]]]] = []
        nodes: dict[Address, None] = {}
        for address, view in views.items():
            for node, epoch, slots in _layout(view.decode(), address, self._config.tls is not None):
                nodes[node] = None
                if slots:
                    claims.append((epoch, node, slots))
        owners: list[Address | None] = [None] * SLOTS
        for _, node, slots in sorted(claims, key=lambda claim: claim[0]):
            for first, last in slots:
                owners[first : last + 1] = [node] * (last + 1 - first)
        self._nodes = list(nodes) or self._nodes
        self._panel.keep((*self._nodes, *self._config.seeds))
        if owners == self._owners:
            return False
        self._owners = owners
        self.masters = frozenset(owner for owner in owners if owner is not None)
        log.info("redis.slots", masters=sorted(map(str, self.masters)))
        return True

    def _asked(self) -> list[Address]:
        nodes = self._nodes
        self._turn += 1
        return [nodes[(self._turn + i) % len(nodes)] for i in range(min(_ASKED, len(nodes)))]

    def close(self) -> None:
        """End the connections."""
        self._panel.close()


def _layout(
    view: str, asked: Address, named: bool
) -> Iterable[tuple[Address, int, list[tuple[int, int]]]]:
    """Nodes of ``CLUSTER NODES`` with their configuration epoch and slots.

    :param named: by the names that they announce, if they do: certificates are for names.

    Source: https://redis.io/docs/latest/commands/cluster-nodes/
    """
    for line in view.splitlines():
        fields = line.split(" ")
        flags = fields[2].split(",")
        place, *names = fields[1].split(",")
        host, _, port = place.split("@")[0].rpartition(":")
        if named and names and names[0] and "=" not in names[0]:
            host = names[0]
        if "noaddr" in flags or "handshake" in flags or not port or port == "0":
            continue
        # A node that was never told its own address says nothing: it is where it was asked.
        address = Address(host.strip("[]") or asked.host, int(port))
        slots = []
        if "master" in flags:
            for item in fields[8:]:
                with contextlib.suppress(ValueError):  # [slot->-node]: on its way, not moved yet
                    first, _, last = item.partition("-")
                    slots.append((int(first), int(last or first)))
        yield address, int(fields[6]), slots
