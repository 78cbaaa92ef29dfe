"""One connection to one server of Redis: everything pipelined, replies in order.

What is sent in one turn of the event loop leaves in one write. Replies come in the order
of the requests; what the server pushes (messages, confirmed subscriptions) comes in the
same order on the same line. So a reply tells where the pushed messages around it belong.

RESP3 (https://redis.io/docs/latest/develop/reference/protocol-spec/); the parser is hiredis.
Limits: a link that broke stays broken; whoever needs another opens one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast

import hiredis

from heliograph.backplane.config import Address
from heliograph.backplane.errqueue import forget_errors
from heliograph.telemetry import get_logger

log = get_logger(__name__)

Part = str | bytes | int | float
ReplyError = hiredis.ReplyError

OnReply = Callable[[Any], None]
"""Gets the reply; a refusal of the server as an instance of :class:`ReplyError`, the end of
the link as an instance of :class:`LinkLost`."""

_NOTHING = object()
_CONFIRMED = {b"ssubscribe", b"sunsubscribe", b"subscribe", b"unsubscribe"}


class LinkLost(ConnectionError):
    """The connection ended before the reply came. Nobody knows whether it was carried out."""


class Link(asyncio.Protocol):
    """A connection.

    :param on_push: gets what the server sends unasked: messages, and the end of
        subscriptions whose slot moved.
    :ivar lost: resolves with the reason when the connection has ended.
    """

    def __init__(self, address: Address, on_push: Callable[[list[Any]], None] | None) -> None:
        self.address = address
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.heard_at = asyncio.get_running_loop().time()
        self._on_push = on_push
        self._reader = hiredis.Reader(notEnoughData=_NOTHING)
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[tuple[OnReply | None, bytes | None]] = deque()
        self._unsent: list[bytes] = []
        self._checker: asyncio.TimerHandle | None = None

    @property
    def alive(self) -> bool:
        """Whether it can be written to."""
        return self._transport is not None and not self.lost.done()

    # -- sending ---------------------------------------------------------------------

    def send(self, packed: bytes, on_reply: OnReply | None) -> None:
        """Send one packed command; its reply goes to ``on_reply``."""
        self._waiting.append((on_reply, None))
        self._write(packed)

    def subscribe(self, command: str, channel: bytes, on_done: OnReply | None) -> None:
        """Send ``SSUBSCRIBE`` and the like, for one channel. They are confirmed by a push,
        refused by a reply; ``on_done`` hears of either."""
        self._waiting.append((on_done, channel))
        self._write(pack(command, channel))

    def _write(self, packed: bytes) -> None:
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unsent.append(packed)

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        if self._transport is not None and unsent:
            self._transport.write(b"".join(unsent))

    async def ask(self, *command: Part) -> Any:
        """Send a command and wait for its reply.

        :raises ReplyError: the server refused it.
        :raises LinkLost: the connection ended.
        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.send(pack(*command), lambda reply: _settle(future, reply))
        return await future

    # -- the connection --------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: connected."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by class
        if errors := forget_errors(transport):
            log.info("redis.connected_after_errors", address=str(self.address), errors=errors)

    def data_received(self, data: bytes) -> None:
        """asyncio: replies and pushes."""
        self.heard_at = asyncio.get_running_loop().time()
        reader = self._reader
        reader.feed(data)
        try:
            while (reply := reader.gets()) is not _NOTHING:
                self._received(reply)
        except hiredis.ProtocolError as error:
            self.close(f"protocol error: {error}")

    def _received(self, reply: Any) -> None:
        waiting = self._waiting
        if isinstance(reply, hiredis.PushNotification):
            kind = reply[0]
            if kind in _CONFIRMED and waiting and waiting[0][1] == reply[1]:
                on_reply, _ = waiting.popleft()
                if on_reply is not None:
                    on_reply(reply)
            elif self._on_push is not None:
                self._on_push(reply)
            return
        if not waiting:
            self.close("a reply without a request")
            return
        on_reply, _ = waiting.popleft()
        if on_reply is not None:
            on_reply(reply)

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio: the connection ended."""
        self._end(str(error) if error else "closed by the server")

    def close(self, reason: str) -> None:
        """End the connection; what waits for replies hears of it."""
        if self._transport is not None:
            self._transport.abort()
        self._end(reason)

    def _end(self, reason: str) -> None:
        if self.lost.done():
            return
        self.lost.set_result(reason)
        if self._checker is not None:
            self._checker.cancel()
        self._unsent.clear()
        gone = LinkLost(f"{self.address}: {reason}")
        waiting, self._waiting = self._waiting, deque()
        for on_reply, _ in waiting:
            if on_reply is not None:
                on_reply(gone)

    # -- liveness --------------------------------------------------------------------

    def keep_checking(self, every: float, silence: float) -> None:
        """Ask the server again and again whether it lives; one that says nothing for
        ``silence`` seconds although it was asked is given up."""
        loop = asyncio.get_running_loop()
        step = min(every, silence / 2)
        ping = pack("PING")
        asked_at = due_at = 0.0

        def check() -> None:
            nonlocal asked_at, due_at
            now = loop.time()
            # A process that was itself frozen has not listened: it asks again first.
            if self.heard_at >= asked_at or now - due_at > step:
                self.send(ping, None)
                asked_at = now
            elif now - asked_at >= silence:
                self.close(f"hung: no answer for {now - asked_at:.1f} s")
                return
            due_at = now + step
            self._checker = loop.call_later(step, check)

        check()


def pack(*command: Part) -> bytes:
    """A command as it goes over the line."""
    packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]
    return packed


def _settle(future: asyncio.Future[Any], reply: Any) -> None:
    if future.done():
        return
    if isinstance(reply, Exception):
        future.set_exception(reply)
    else:
        future.set_result(reply)


async def open_link(
    address: Address,
    *,
    timeout: float,
    tls: Any = None,
    username: str = "",
    password: str = "",
    database: int = 0,
    on_push: Callable[[list[Any]], None] | None = None,
) -> tuple[Link, dict[bytes, Any]]:
    """Connect and greet.

    :param timeout: seconds for all of it.
    :returns: the link, and what the server said of itself (``role``, ``version``, …).
    :raises OSError: it cannot be reached, or is not ready (:class:`TimeoutError`).
    :raises ReplyError: it refused the credentials, or is too old.
    """
    loop = asyncio.get_running_loop()
    link: Link | None = None
    try:
        async with asyncio.timeout(timeout):
            _, link = await loop.create_connection(
                lambda: Link(address, on_push), address.host, address.port, ssl=tls
            )
            greeting: Sequence[Part] = ("HELLO", 3)
            if password:
                greeting = (*greeting, "AUTH", username or "default", password)
            said = await link.ask(*greeting)
            if database:
                await link.ask("SELECT", database)
    except BaseException:
        if link is not None:
            link.close("not greeted")
        raise
    return link, dict(said)
