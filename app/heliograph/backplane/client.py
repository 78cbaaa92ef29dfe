"""Redis for the rest of the application: commands, functions and channels, in every mode.

All commands of one turn of the event loop travel in one round trip per master. A master
that dies, hangs or hands over is left for its successor; meanwhile commands wait, until
their deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from redis.crc import key_slot

from heliograph.backplane.config import Address, RedisConfig
from heliograph.backplane.functions import full_name
from heliograph.backplane.link import LinkLost, Part, ReplyError, pack
from heliograph.backplane.node import Node, NotUsable
from heliograph.backplane.replication import WAIT_MS, eligible_replicas
from heliograph.backplane.requests import Argument, Requests
from heliograph.backplane.subscriptions import Listener, Subscriptions
from heliograph.backplane.topology import ClusterTopology, create_topology
from heliograph.errors import ConfigurationError
from heliograph.telemetry import get_logger

log = get_logger(__name__)

_START_SECONDS = 8.0
_REFRESH_SECONDS = 1.0
_TROUBLED_SECONDS = 0.15


class Backplane:
    """The connection of one replica to Redis.

    :param start_seconds: how long :meth:`start` waits for all masters.
    :ivar prefix: what every key and channel begins with.
    :ivar replicated: whether durable writes wait for a replica of Redis.
    :ivar subscriptions: the sharded channels.
    """

    def __init__(self, config: RedisConfig, *, start_seconds: float = _START_SECONDS) -> None:
        self.config = config
        self._start_seconds = start_seconds
        self.prefix = config.prefix
        self.replicated = config.replicated
        self._topology = create_topology(config, self._trouble)
        self._nodes: dict[Address, Node] = {}
        self._troubled = asyncio.Event()
        self._came_up = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None
        self._reloads: dict[Node, asyncio.Task[None]] = {}
        self._slots: dict[str | bytes, int] = {}
        self.subscriptions = Subscriptions(self._node_of, self._trouble, self._reload)
        self._requests = Requests(
            node_of=self._writable_node_of,
            node_at=self._node_at,
            on_trouble=self._trouble,
            on_moved=self._moved,
            reload=self._reload,
            confirmed=self._topology.confirms,
            replicated=config.replicated,
        )

    async def start(self) -> None:
        """Connect to every master.

        :raises ConfigurationError: naming the variable, when that takes too long, or when
            there are no replicas to wait for.
        """
        self._watcher = asyncio.create_task(self._watch())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._start_seconds):
                while not self._all_up:
                    self._came_up.clear()
                    await self._came_up.wait()
        if not self._all_up:
            why = self.why_unavailable
            await self.stop()
            raise ConfigurationError(f"{self.config.variable}: Redis cannot be used: {why}")
        if self.replicated and self.config.mode == "standalone":
            await self._require_replica()

    async def _require_replica(self) -> None:
        # Under Sentinel and in a cluster it may have lost its last one a moment ago.
        [node] = self._nodes.values()
        info = await node.commands.ask("INFO", "replication") if node.commands else b""
        if not eligible_replicas(info):
            await self.stop()
            raise ConfigurationError(
                f"DELIVERY_DURABILITY: replicated, but {node.address} has no replica: give it "
                "one, or set it to memory"
            )

    async def stop(self) -> None:
        """End all connections; what still waits fails."""
        self._requests.close()
        self.subscriptions.close()
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
        nodes, self._nodes = list(self._nodes.values()), {}
        for node in nodes:
            node.close("the server is stopping")
        await asyncio.gather(*(node.wait_closed() for node in nodes))
        await asyncio.gather(*self._reloads.values(), return_exceptions=True)
        self._topology.close()

    # -- use -----------------------------------------------------------------------------

    def key(self, name: str, tag: str, *rest: str) -> str:
        """``prefix:name:{tag}`` and so on. Keys with the same tag share a slot, so one
        function may use them together; braces in the tag are written as ``%7B``, ``%7D``."""
        escaped = tag.replace("%", "%25").replace("{", "%7B").replace("}", "%7D")
        return ":".join((self.prefix, name, "{" + escaped + "}", *rest))

    async def execute(self, *command: Part, timeout: float | None = None) -> Any:
        """Send one idempotent command, routed by its first key (``command[1]``).

        :raises Unavailable: Redis did not take it within ``timeout`` seconds.
        :raises RedisRefused: it is wrong.
        """
        slot = key_slot(_bytes(command[1]))
        seconds = self.config.deadline if timeout is None else timeout
        return await self._requests.send(slot, command, seconds, durable=False)

    def call(
        self,
        function: str,
        keys: Sequence[str],
        args: Sequence[Argument] = (),
        *,
        timeout: float | None = None,
        durable: bool = False,
    ) -> asyncio.Future[Any]:
        """Call one of our functions, routed by its first key.

        :param args: with :data:`RETRIED` where the function wants to know.
        :param durable: with replicated delivery, wait until a replica of Redis has it.
        :raises Unavailable: Redis did not take it within ``timeout`` seconds.
        :raises RedisRefused: the function failed.
        """
        parts = ("FCALL", full_name(function), len(keys), *keys, *args)
        seconds = self.config.deadline if timeout is None else timeout
        return self._requests.send(self.slot(keys[0]), parts, seconds, durable=durable)

    def slot(self, key: str) -> int:
        """The slot of a key. Known ones are remembered: a room has many events."""
        slot = self._slots.get(key)
        if slot is None:
            if len(self._slots) > 50_000:
                self._slots.clear()
            slot = self._slots[key] = key_slot(key.encode())
        return slot

    def subscribe(self, channel: str, listener: Listener) -> None:
        """Listen on a sharded channel."""
        self.subscriptions.add(channel.encode(), self.slot(channel), listener)

    def unsubscribe(self, channel: str) -> None:
        """Listen no more."""
        self.subscriptions.remove(channel.encode())

    def ask_in_order(
        self,
        channel: str,
        function: str,
        keys: Sequence[str],
        args: Sequence[Argument],
        on_reply: Callable[[Any], None],
    ) -> None:
        """Call a function whose reply is in order with the messages of a channel. When the
        line breaks the channel's listener resumes instead, and the reply never comes."""
        parts = ("FCALL", full_name(function), len(keys), *keys, *args)
        self.send_in_order(channel, parts, on_reply)

    def send_in_order(
        self, channel: str, command: Sequence[Argument], on_reply: Callable[[Any], None]
    ) -> None:
        """The same for any command."""
        packed = pack(*(part(0) if callable(part) else part for part in command))
        self.subscriptions.ask(channel.encode(), packed, on_reply)

    def wait_in_order(self, channel: str, on_reply: Callable[[bool], None]) -> None:
        """Ask, in order with the messages of a channel, whether a replica of Redis has what
        was just read. One that has no replica left, but is the master, needs none."""

        def waited(replicas: int) -> None:
            if replicas:
                on_reply(True)
            else:
                self.send_in_order(channel, ("INFO", "replication"), looked)

        def looked(info: bytes) -> None:
            owner = self._topology.owner(self.slot(channel))
            alone = not eligible_replicas(info)
            on_reply(alone and owner is not None and self._topology.confirms(owner))

        self.send_in_order(channel, ("WAIT", 1, WAIT_MS), waited)

    def listen(
        self,
        channel: str,
        handler: Callable[[bytes], None],
        on_resume: Callable[[], None] | None = None,
    ) -> None:
        """Hear what any program publishes to a channel by plain ``PUBLISH``. Such messages
        are lost while the line is cut: ``on_resume`` is called whenever it is there again."""
        self.subscriptions.listen(channel.encode(), handler, on_resume)

    def term(self, slot: int) -> str:
        """Names the server process that is master of the slot now."""
        node = self._node_of(slot)
        return node.term if node is not None and node.term else "-"

    # -- state -----------------------------------------------------------------------------

    @property
    def _all_up(self) -> bool:
        masters = self._topology.masters
        return bool(masters) and all(
            address in self._nodes and self._nodes[address].up for address in masters
        )

    @property
    def available(self) -> bool:
        """Whether every master can be written to and heard."""
        return self._all_up and self.subscriptions.complete

    @property
    def why_unavailable(self) -> str:
        """What is wrong, for people; empty when nothing is."""
        if not self._topology.masters:
            seeds = ", ".join(map(str, self.config.seeds))
            if self.config.mode == "sentinel":
                return f"no Sentinel of {seeds} knows a master named {self.config.master!r}"
            return f"no node of {seeds} answers"
        troubles = [node.trouble for node in self._nodes.values() if node.trouble]
        if troubles:
            return "; ".join(troubles)
        return "" if self.subscriptions.complete else "subscriptions are being made again"

    # -- nodes -----------------------------------------------------------------------------

    def _node_of(self, slot: int) -> Node | None:
        owner = self._topology.owner(slot)
        return self._nodes.get(owner) if owner is not None else None

    def _writable_node_of(self, slot: int) -> Node | None:
        return None if self._topology.suspended else self._node_of(slot)

    def _node_at(self, address: Address) -> Node:
        node = self._nodes.get(address)
        if node is None:
            node = self._nodes[address] = Node(
                address,
                self.config,
                on_up=self._up,
                on_down=self._down,
                on_push=self.subscriptions.pushed,
            )
        return node

    def _up(self, node: Node) -> None:
        if self._nodes.get(node.address) is node:
            self._came_up.set()
            self._requests.resume()
            self.subscriptions.rehome()

    def _down(self, node: Node) -> None:
        self._trouble()

    def _trouble(self) -> None:
        self._troubled.set()

    def _moved(self, slot: int, address: Address) -> None:
        if isinstance(self._topology, ClusterTopology):
            self._topology.moved(slot, address)
            self._node_at(address)
        self._trouble()

    def _reload(self, node: Node) -> None:
        """A server lost our functions (FLUSHALL, a new master): load them again."""
        if node not in self._reloads and node.commands is not None:
            task = self._reloads[node] = asyncio.create_task(self._load(node))
            task.add_done_callback(lambda _: self._reloads.pop(node, None))

    async def _load(self, node: Node) -> None:
        try:
            if node.commands is not None:
                await node.load_functions(node.commands)
        except (NotUsable, ReplyError, LinkLost, TimeoutError) as error:
            log.error("redis.functions_not_loaded", error=str(error))
            node.reconnect("it has not got our functions")

    async def _watch(self) -> None:
        """Ask the topology again and again, sooner when there is trouble."""
        while True:
            if await self._topology.refresh() or not self._nodes:
                self._follow()
            pause = _REFRESH_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._troubled.wait()
            if self._troubled.is_set():
                self._troubled.clear()
                await asyncio.sleep(_TROUBLED_SECONDS)
                if not self._all_up or self._topology.suspended:
                    self._troubled.set()

    def _follow(self) -> None:
        masters = self._topology.masters
        for address in masters:
            self._node_at(address)
        for address in set(self._nodes) - masters:
            self._nodes.pop(address).close("it is not a master any more")
        self._requests.resume()
        self.subscriptions.rehome()


def _bytes(key: Part) -> bytes:
    return key if isinstance(key, bytes) else str(key).encode()
