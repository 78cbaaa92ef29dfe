"""Which server is responsible for which key, now: one answer for all ways to run Redis.

A topology is asked again every second and whenever something looks wrong (a link broke, a
server said ``MOVED`` or ``READONLY``). Of several answers the one with the highest
configuration epoch counts: a node that is cut off from the others may know an old one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Protocol

from heliograph.backplane.config import Address, RedisConfig
from heliograph.backplane.link import Link, LinkLost, ReplyError, open_link
from heliograph.telemetry import get_logger

log = get_logger(__name__)

SLOTS = 16384
_ASKED = 3  # nodes of a cluster that are asked for its layout
_PATIENCE = 0.7  # seconds for an answer; others are asked at the same time


class Topology(Protocol):
    """Who is the master."""

    @property
    def masters(self) -> frozenset[Address]:
        """All masters; empty while none is known."""

    def owner(self, slot: int) -> Address | None:
        """The master of a slot, if it is known."""

    async def refresh(self) -> bool:
        """Ask again; whether something changed."""

    def close(self) -> None:
        """End the connections."""


def create_topology(config: RedisConfig) -> Topology:
    """The topology for the configured way to run Redis."""
    if config.mode == "sentinel":
        return SentinelTopology(config)
    if config.mode == "cluster":
        return ClusterTopology(config)
    return FixedTopology(config.seeds[0])


class FixedTopology:
    """One server."""

    def __init__(self, address: Address) -> None:
        self.masters = frozenset({address})
        self._address = address

    def owner(self, slot: int) -> Address | None:
        """That server."""
        return self._address

    async def refresh(self) -> bool:
        """Nothing can change."""
        return False

    def close(self) -> None:
        """Nothing is open."""


class _Panel:
    """Links to servers that are asked for their view, opened when needed."""

    def __init__(self, config: RedisConfig, username: str, password: str) -> None:
        self._config = config
        self._username = username
        self._password = password
        self._links: dict[Address, Link] = {}

    async def ask(
        self, addresses: Iterable[Address], *command: str
    ) -> dict[Address, list[bytes] | bytes]:
        """The answers of those that answer in time."""
        chosen = list(addresses)
        answers = await asyncio.gather(*(self._ask(each, command) for each in chosen))
        return {
            address: answer
            for address, answer in zip(chosen, answers, strict=True)
            if answer is not None
        }

    async def _ask(self, address: Address, command: tuple[str, ...]) -> list[bytes] | bytes | None:
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
                    )
                    self._links[address] = link
                answer: list[bytes] | bytes = await link.ask(*command)
                return answer
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
    """The master that the Sentinels agree on."""

    def __init__(self, config: RedisConfig) -> None:
        self.masters: frozenset[Address] = frozenset()
        self._config = config
        self._epoch = -1
        self._panel = _Panel(config, "", config.sentinel_password)
        self._sentinels = set(config.seeds)

    def owner(self, slot: int) -> Address | None:
        """The master."""
        return next(iter(self.masters), None)

    async def refresh(self) -> bool:
        """Ask all Sentinels; the highest configuration epoch counts."""
        views = await self._panel.ask(self._sentinels, "SENTINEL", "MASTER", self._config.master)
        found = [_sentinel_view(view) for view in views.values()]
        if not found:
            return False
        epoch, address = max(found)
        if epoch < self._epoch or self.masters == {address}:
            return False
        log.info("redis.master", address=str(address), epoch=epoch)
        self._epoch = epoch
        self.masters = frozenset({address})
        return True

    def close(self) -> None:
        """End the connections."""
        self._panel.close()


def _sentinel_view(view: list[bytes] | bytes | dict[bytes, bytes]) -> tuple[int, Address]:
    if not isinstance(view, dict):
        assert isinstance(view, list)
        view = dict(zip(view[::2], view[1::2], strict=False))
    return (
        int(view[b"config-epoch"]),
        Address(view[b"ip"].decode(), int(view[b"port"])),
    )


class ClusterTopology:
    """The slots of a Redis Cluster."""

    def __init__(self, config: RedisConfig) -> None:
        self.masters: frozenset[Address] = frozenset()
        self._config = config
        self._panel = _Panel(config, config.username, config.password)
        self._nodes: list[Address] = list(config.seeds)
        self._owners: list[Address | None] = [None] * SLOTS
        self._turn = 0

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
        claims: list[tuple[int, Address, list[tuple[int, int]]]] = []
        nodes: dict[Address, None] = {}
        for address, view in views.items():
            assert isinstance(view, bytes)
            for node, epoch, slots in _layout(view.decode(), address):
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


def _layout(view: str, asked: Address) -> Iterable[tuple[Address, int, list[tuple[int, int]]]]:
    """Nodes of ``CLUSTER NODES`` with their configuration epoch and slots.

    Source: https://redis.io/docs/latest/commands/cluster-nodes/
    """
    for line in view.splitlines():
        fields = line.split(" ")
        flags = fields[2].split(",")
        host, _, port = fields[1].split("@")[0].rpartition(":")
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
