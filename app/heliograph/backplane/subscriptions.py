"""Sharded subscriptions that move with their slots and never miss a message unnoticed.

Each channel is subscribed on the master that owns its slot, over that node's one subscriber
link. Right behind the subscription, on the same line, goes a command that asks where the
channel's log stands: so everything pushed after its reply is newer than the reply, and
everything pushed before is in it. That is repeated whenever a link was opened anew or a
slot moved.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from heliograph.backplane.functions import full_name
from heliograph.backplane.link import Link, LinkLost, ReplyError, pack
from heliograph.backplane.node import Node
from heliograph.backplane.requests import Argument
from heliograph.telemetry import get_logger

log = get_logger(__name__)

_RETRY_SECONDS = 0.1


class Listener(Protocol):
    """Whoever listens on a sharded channel."""

    def resume(self) -> tuple[str, Sequence[str], Sequence[Argument]]:
        """The function, keys and arguments that ask where the log stands."""

    def resumed(self, reply: Any) -> None:
        """Their reply; messages come from here on."""

    def message(self, data: bytes) -> None:
        """A message."""


class _Channel:
    __slots__ = ("link", "listener", "live", "name", "slot")

    def __init__(self, name: bytes, slot: int, listener: Listener) -> None:
        self.name = name
        self.slot = slot
        self.listener = listener
        self.link: Link | None = None  # where it is subscribed, or being subscribed
        self.live = False  # the resume came back


class Subscriptions:
    """All channels of this replica.

    :param node_of: the node that owns a slot, when it is up.
    :param on_trouble: called when the topology should be asked again.
    """

    def __init__(
        self,
        node_of: Callable[[int], Node | None],
        on_trouble: Callable[[], None],
        reload: Callable[[Node], None],
    ) -> None:
        self._node_of = node_of
        self._on_trouble = on_trouble
        self._reload = reload
        self._channels: dict[bytes, _Channel] = {}
        self._stray: dict[bytes, _Channel] = {}
        self._retry: asyncio.TimerHandle | None = None
        self._everyone: dict[bytes, tuple[Callable[[bytes], None], Callable[[], None] | None]] = {}
        self._everyone_at: Link | None = None

    @property
    def complete(self) -> bool:
        """Whether every channel is live."""
        return not self._stray

    # -- sharded channels --------------------------------------------------------------

    def add(self, name: bytes, slot: int, listener: Listener) -> None:
        """Subscribe; the listener's ``resumed`` is the confirmation."""
        channel = self._channels[name] = _Channel(name, slot, listener)
        self._activate(channel)

    def remove(self, name: bytes) -> None:
        """Unsubscribe."""
        channel = self._channels.pop(name, None)
        self._stray.pop(name, None)
        if channel is not None and channel.link is not None and channel.link.alive:
            channel.link.subscribe("SUNSUBSCRIBE", name, None)

    def ask(self, name: bytes, command: bytes, on_reply: Callable[[Any], None]) -> None:
        """Send a command on the channel's own line, in order with its messages. When the
        line ends a resume follows, and the reply never comes."""
        channel = self._channels.get(name)
        if channel is None or channel.link is None or not channel.link.alive:
            return
        link = channel.link

        def received(reply: Any) -> None:
            if channel.link is link and self._channels.get(name) is channel:
                if isinstance(reply, Exception):
                    self._failed(channel, link, reply)
                else:
                    on_reply(reply)

        link.send(command, received)

    def _activate(self, channel: _Channel) -> None:
        channel.live = False
        self._stray[channel.name] = channel
        node = self._node_of(channel.slot)
        link = node.subscriber if node is not None else None
        if node is None or link is None:
            channel.link = None
            return  # tried again when a node comes up
        channel.link = link
        link.subscribe("SSUBSCRIBE", channel.name, lambda said: self._said(channel, link, said))
        function, keys, args = channel.listener.resume()
        parts = ("FCALL", full_name(function), len(keys), *keys, *args)
        command = pack(*(part(0) if callable(part) else part for part in parts))
        link.send(command, lambda reply: self._resumed(channel, node, link, reply))

    def _said(self, channel: _Channel, link: Link, said: Any) -> None:
        if isinstance(said, Exception):
            self._failed(channel, link, said)

    def _resumed(self, channel: _Channel, node: Node, link: Link, reply: Any) -> None:
        if channel.link is not link or self._channels.get(channel.name) is not channel:
            return
        if isinstance(reply, Exception):
            if "unction not found" in str(reply):
                self._reload(node)
            self._failed(channel, link, reply)
            return
        channel.live = True
        self._stray.pop(channel.name, None)
        channel.listener.resumed(reply)

    def _failed(self, channel: _Channel, link: Link, error: Exception) -> None:
        if channel.link is not link or self._channels.get(channel.name) is not channel:
            return
        if isinstance(error, ReplyError) and not str(error).startswith(("MOVED", "ASK")):
            log.warning("redis.subscription_refused", error=str(error)[:200])
        channel.link = None
        channel.live = False
        self._stray[channel.name] = channel
        if not isinstance(error, LinkLost):
            self._on_trouble()
            self.retry_soon()

    def retry_soon(self) -> None:
        """Subscribe in a moment what is not."""
        if self._retry is None:
            self._retry = asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._again)

    def _again(self) -> None:
        self._retry = None
        for channel in list(self._stray.values()):
            if channel.link is None:
                self._activate(channel)
        self._hear_everyone()

    # -- what happens to nodes and slots -----------------------------------------------

    def rehome(self) -> None:
        """Nodes came or went, or slots moved: subscribe everything where it belongs now."""
        for channel in self._channels.values():
            node = self._node_of(channel.slot)
            link = node.subscriber if node is not None else None
            if channel.link is link and link is not None:
                continue
            if channel.link is not None and channel.link.alive:
                channel.link.subscribe("SUNSUBSCRIBE", channel.name, None)
            self._activate(channel)
        self._hear_everyone()

    def pushed(self, node: Node, push: list[Any]) -> None:
        """A push of a node."""
        kind, name = push[0], push[1]
        if kind == b"smessage":
            channel = self._channels.get(name)
            if channel is not None and channel.live and channel.link is node.subscriber:
                channel.listener.message(push[2])
        elif kind == b"sunsubscribe":
            channel = self._channels.get(name)
            if channel is not None and channel.link is node.subscriber:
                # Unasked: its slot has moved to another master.
                channel.link = None
                channel.live = False
                self._stray[name] = channel
                self._on_trouble()
                self.retry_soon()
        elif kind == b"message" and name in self._everyone:
            self._everyone[name][0](push[2])

    # -- classic channels, for commands of other programs --------------------------------

    def listen(
        self, name: bytes, handler: Callable[[bytes], None], on_resume: Callable[[], None] | None
    ) -> None:
        """Subscribe to a channel that others publish to by ``PUBLISH``; ``on_resume`` is
        called each time that the subscription is there (again)."""
        self._everyone[name] = (handler, on_resume)
        self._everyone_at = None
        self._hear_everyone()

    def _hear_everyone(self) -> None:
        if not self._everyone or (self._everyone_at is not None and self._everyone_at.alive):
            return
        node = self._node_of(0)  # in a cluster every node passes these on
        link = node.subscriber if node is not None else None
        if link is None:
            return
        self._everyone_at = link
        for name, (_, on_resume) in self._everyone.items():

            def said(reply: Any, on_resume: Callable[[], None] | None = on_resume) -> None:
                if isinstance(reply, Exception):
                    self._everyone_at = None
                    self.retry_soon()
                elif on_resume is not None:
                    on_resume()

            link.subscribe("SUBSCRIBE", name, said)

    def close(self) -> None:
        """Forget everything."""
        self._channels.clear()
        self._stray.clear()
        self._everyone.clear()
        if self._retry is not None:
            self._retry.cancel()
