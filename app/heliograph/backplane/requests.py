"""Commands on their way: held while nobody can take them, sent again when nobody knows.

A request waits while its master is unknown or away, follows its slot, and is sent again
when its connection broke before the reply; the functions of ours recognise what they have
done already. Past its deadline the caller gets :class:`Unavailable`. Nothing is dropped
with only a log line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from heliograph.backplane.config import Address
from heliograph.backplane.link import Link, LinkLost, Part, pack
from heliograph.backplane.node import Node
from heliograph.backplane.replication import WAIT_MS, eligible_replicas
from heliograph.errors import Unavailable
from heliograph.telemetry import get_logger

log = get_logger(__name__)

_RETRY_SECONDS = 0.05
_SWEEP_SECONDS = 0.1

_LATER = ("TRYAGAIN", "CLUSTERDOWN", "LOADING", "READONLY", "MASTERDOWN", "NOREPLICAS",
          "UNBLOCKED", "BUSY")  # fmt: skip


Argument = Part | Callable[[int], Part]
"""A part of a command, or what makes it when it is sent; called with the number of attempts
that were made before."""


def RETRIED(attempts: int) -> bytes:
    """Stands in a command for ``1`` when it may have been carried out before, else ``0``."""
    return b"1" if attempts else b"0"


class RedisRefused(Exception):
    """Redis refuses the command itself: a fault of ours, or a full server."""


class _Request:
    __slots__ = (
        "attempts", "deadline", "durable", "future", "number", "parts", "slot", "why",
    )  # fmt: skip

    def __init__(self, slot: int, parts: Sequence[Argument], durable: bool) -> None:
        self.number = 0
        self.slot = slot
        self.parts = parts
        self.durable = durable
        self.attempts = 0
        self.deadline = 0.0
        self.why = "no connection"
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def pack(self) -> bytes:
        return pack(*(p(self.attempts) if callable(p) else p for p in self.parts))


class _Batch:
    """Writes of one turn on one link, released together when a replica has them."""

    __slots__ = ("done",)

    def __init__(self) -> None:
        self.done: list[tuple[_Request, Any]] = []


class Requests:
    """The requests of one process.

    :param node_of: the node of a slot, when it is known; it need not be up.
    :param node_at: the node at an address.
    :param on_trouble: the topology should be asked again.
    :param on_moved: a server said who owns a slot.
    :param reload: a node lacks our functions.
    :param confirmed: whether a server was named as a master just now.
    """

    def __init__(
        self,
        *,
        node_of: Callable[[int], Node | None],
        node_at: Callable[[Address], Node],
        on_trouble: Callable[[], None],
        on_moved: Callable[[int, Address], None],
        reload: Callable[[Node], None],
        confirmed: Callable[[Address], bool],
        replicated: bool,
    ) -> None:
        self._node_of = node_of
        self._node_at = node_at
        self._on_trouble = on_trouble
        self._on_moved = on_moved
        self._reload = reload
        self._confirmed = confirmed
        self._alone: set[Link] = set()  # masters that were seen without replicas
        self._replicated = replicated
        self._open: dict[int, _Request] = {}
        self._parked: list[_Request] = []
        self._batches: dict[Link, _Batch] = {}
        self._number = 0
        self._closed = False
        self._retry: asyncio.TimerHandle | None = None
        self._sweeper: asyncio.TimerHandle | None = None

    def send(
        self, slot: int, parts: Sequence[Argument], timeout: float, *, durable: bool
    ) -> asyncio.Future[Any]:
        """Send a command; the future has its reply, :class:`Unavailable` or
        :class:`RedisRefused`."""
        loop = asyncio.get_running_loop()
        request = _Request(slot, parts, durable and self._replicated)
        if self._closed:
            request.future.set_exception(_stopping())
            return request.future
        self._number += 1
        request.number = self._number
        request.deadline = loop.time() + timeout
        self._open[request.number] = request
        if self._sweeper is None:
            self._sweeper = loop.call_later(_SWEEP_SECONDS, self._sweep)
        self._dispatch(request)
        return request.future

    def _dispatch(self, request: _Request) -> None:
        node = self._node_of(request.slot)
        link = None
        if node is not None:
            link = node.durable if request.durable else node.commands
        if node is None or link is None or not link.alive:
            if node is not None and node.trouble:
                request.why = node.trouble
            self._parked.append(request)
            return
        self._send(request, node, link)

    def _send(self, request: _Request, node: Node, link: Link, *, asking: bool = False) -> None:
        batch = self._batch(link) if request.durable else None
        if asking:
            link.send(pack("ASKING"), None)
        link.send(request.pack(), lambda reply: self._answered(request, node, batch, reply))

    # -- replies -----------------------------------------------------------------------

    def _answered(self, request: _Request, node: Node, batch: _Batch | None, reply: Any) -> None:
        if isinstance(reply, Exception):
            self._refused(request, node, reply)
        elif batch is not None:
            batch.done.append((request, reply))
        else:
            self._finish(request, reply)

    def _finish(self, request: _Request, reply: Any) -> None:
        self._open.pop(request.number, None)
        if not request.future.done():
            request.future.set_result(reply)

    def _refused(self, request: _Request, node: Node, error: Exception) -> None:
        request.attempts += 1
        request.why = str(error)
        text = str(error)
        if isinstance(error, LinkLost):
            self._parked.append(request)
            return  # sent again when the node is back, or another has its slots
        code = text.split(" ", 1)[0]
        if code in ("MOVED", "ASK"):
            _, slot, where = text.split(" ")[:3]
            host, _, port = where.rpartition(":")
            address = Address(host or node.address.host, int(port))
            if code == "MOVED":
                self._on_moved(int(slot), address)
                self._dispatch(request)
                return
            target = self._node_at(address)
            link = target.durable if request.durable else target.commands
            if link is not None:
                self._send(request, target, link, asking=True)
                return
            self._park(request)
        elif code in _LATER:
            if code == "READONLY":
                node.reconnect("it is a replica now")
            self._on_trouble()
            self._park(request)
        elif "unction not found" in text:
            self._reload(node)
            self._park(request)
        else:
            self._open.pop(request.number, None)
            if not request.future.done():
                request.future.set_exception(RedisRefused(text))

    def _park(self, request: _Request) -> None:
        self._parked.append(request)
        if self._retry is None:
            loop = asyncio.get_running_loop()
            self._retry = loop.call_later(_RETRY_SECONDS, self._again)

    def _again(self) -> None:
        self._retry = None
        self.resume()

    def resume(self) -> None:
        """Send what waits, in the order in which it came."""
        parked, self._parked = self._parked, []
        for request in sorted(parked, key=lambda each: each.number):
            if request.number in self._open:
                self._dispatch(request)

    # -- replication -------------------------------------------------------------------

    def _batch(self, link: Link) -> _Batch:
        batch = self._batches.get(link)
        if batch is None:
            batch = self._batches[link] = _Batch()
            # At the end of this turn, and so in the same write as its commands.
            asyncio.get_running_loop().call_soon(self._close_batch, link, batch)
        return batch

    def _close_batch(self, link: Link, batch: _Batch) -> None:
        del self._batches[link]
        if link in self._alone:
            self._look(link, batch)  # at once: a wait would take its whole time
        else:
            self._wait(link, batch)

    def _wait(self, link: Link, batch: _Batch) -> None:
        link.send(pack("WAIT", 1, WAIT_MS), lambda reply: self._waited(link, batch, reply))

    def _waited(self, link: Link, batch: _Batch, reply: Any) -> None:
        if isinstance(reply, Exception):
            self._doubt(batch, reply)
        elif reply >= 1:
            self._release(batch)
        else:
            self._look(link, batch)

    def _look(self, link: Link, batch: _Batch) -> None:
        link.send(pack("INFO", "replication"), lambda reply: self._looked(link, batch, reply))

    def _looked(self, link: Link, batch: _Batch, reply: Any) -> None:
        if isinstance(reply, Exception):
            self._doubt(batch, reply)
        elif eligible_replicas(reply) or not self._confirmed(link.address):
            self._alone.discard(link)
            for request, _ in batch.done:
                request.why = "no replica of Redis has it (DELIVERY_DURABILITY=replicated)"
            if any(request.number in self._open for request, _ in batch.done):
                self._wait(link, batch)
        else:
            if link not in self._alone:
                self._alone = {each for each in self._alone if each.alive} | {link}
                log.warning("redis.master_alone", address=str(link.address))
            self._release(batch)

    def _release(self, batch: _Batch) -> None:
        for request, answer in batch.done:
            if request.number in self._open:
                self._finish(request, answer)

    def _doubt(self, batch: _Batch, error: Exception) -> None:
        for request, _ in batch.done:
            if request.number in self._open:
                request.attempts += 1
                request.why = f"not known to be on a replica of Redis: {error}"
                self._park(request)

    # -- deadlines ---------------------------------------------------------------------

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for request in [each for each in self._open.values() if each.deadline <= now]:
            del self._open[request.number]
            if not request.future.done():
                request.future.set_exception(
                    Unavailable(f"Redis did not take it in time ({request.why}); try again")
                )
        self._parked = [each for each in self._parked if each.number in self._open]
        self._sweeper = loop.call_later(_SWEEP_SECONDS, self._sweep) if self._open else None

    def close(self) -> None:
        """Fail what is open, and all that comes."""
        self._closed = True
        for timer in (self._retry, self._sweeper):
            if timer is not None:
                timer.cancel()
        open_now, self._open = self._open, {}
        for request in open_now.values():
            if not request.future.done():
                request.future.set_exception(_stopping())


def _stopping() -> Unavailable:
    return Unavailable("the server is stopping; try again in a moment", code="draining")
