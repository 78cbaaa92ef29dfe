"""Requests from one replica to another.

Guarantee: a request is answered, or fails: with :class:`PeerGone` when the other replica is
dead or dies meanwhile, with the other's own error when it refused, with ``Unavailable`` when
time is up. Limits: a request that failed may have been carried out; a replica that was taken
for dead carries out none that was sent to its old name. Data are what JSON has, and bytes.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from heliograph.cluster.replica import Replica
from heliograph.cluster.rooms import EVERY_REPLICA, Rooms, replica_room
from heliograph.errors import HeliographError, Unavailable
from heliograph.telemetry import get_logger

log = get_logger(__name__)

Handler = Callable[[dict[str, Any]], Awaitable[Any]]

_CHECK_SECONDS = 1.0


class PeerGone(HeliographError):
    """The replica is dead, by its lease."""

    code = "peer_gone"
    status = 503


@dataclass(slots=True)
class _Waiting:
    replica_id: str
    answer: asyncio.Future[Any]


class Peers:
    """This replica's line to the others. In a single process there is only itself."""

    def __init__(self, replica: Replica, rooms: Rooms) -> None:
        self._replica = replica
        self._rooms = rooms
        self._handlers: dict[str, Handler] = {}
        self._waiting: dict[int, _Waiting] = {}
        self._numbers = itertools.count(1)
        self._seen_alive: dict[str, float] = {}
        self._address = ""
        self._tasks: set[asyncio.Task[None]] = set()
        replica.on_lost.insert(0, self._move)  # the others register in a name that is listened to

    async def start(self) -> None:
        """Listen. Comes before the replica's lease begins."""
        await self._rooms.listen(EVERY_REPLICA, self._hear)
        await self._listen_as(self._replica.id)
        self._run(self._watch(), "watch peers")

    async def stop(self) -> None:
        """Listen no more; what still waits fails."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._fail_all(Unavailable("the server is stopping", code="draining"))
        if self._address:
            await self._rooms.unlisten(self._address, self._hear)
        await self._rooms.unlisten(EVERY_REPLICA, self._hear)

    def serve(self, op: str, handler: Handler) -> None:
        """Answer requests named ``op`` with what ``handler(data)`` returns. A
        ``HeliographError`` it raises is raised again where the request came from."""
        assert op not in self._handlers, f"{op} is served already"
        self._handlers[op] = handler

    async def request(
        self, replica_id: str, op: str, data: dict[str, Any], *, timeout: float
    ) -> Any:
        """Ask a replica, which may be this one, and return its answer.

        :param timeout: seconds.
        :raises PeerGone: it is dead, or died before it answered.
        :raises Unavailable: no answer in time, or Redis does not work.
        :raises HeliographError: what its handler raised.
        """
        if replica_id == self._replica.id:
            return await self._timed(self._carry_out(op, data), timeout, op, replica_id)
        await self._check(replica_id)
        number = next(self._numbers)
        waiting = _Waiting(replica_id, asyncio.get_running_loop().create_future())
        self._waiting[number] = waiting
        request = {"do": "request", "op": op, "data": data, "id": number, "from": self._replica.id}
        try:
            return await self._timed(self._send(request, waiting), timeout, op, replica_id)
        finally:
            del self._waiting[number]

    def tell(self, replica_id: str, op: str, data: dict[str, Any]) -> None:
        """Let a replica carry out ``op``, without an answer. It is not told when it is dead."""
        if replica_id == self._replica.id:
            self._run(self._told(op, data), f"peer {op}")
        else:
            message = {"do": "tell", "op": op, "data": data}
            self._run(self._post(replica_room(replica_id), message), f"tell {op}")

    # -- asking ------------------------------------------------------------------------

    async def _send(self, request: dict[str, Any], waiting: _Waiting) -> Any:
        await self._rooms.instruct(replica_room(waiting.replica_id), request)
        return await waiting.answer

    async def _timed(self, work: Awaitable[Any], timeout: float, op: str, replica_id: str) -> Any:
        deadline = asyncio.timeout(timeout)
        try:
            async with deadline:
                return await work
        except TimeoutError:
            if not deadline.expired():
                raise
            raise Unavailable(
                f"replica {replica_id} did not answer {op!r} within {timeout:g} s",
                code="peer_timeout",
            ) from None

    async def _check(self, replica_id: str) -> None:
        if time.monotonic() - self._seen_alive.get(replica_id, -_CHECK_SECONDS) < _CHECK_SECONDS:
            return
        if not await self._replica.alive(replica_id):
            self._seen_alive.pop(replica_id, None)
            raise PeerGone(f"replica {replica_id} is not there any more")
        self._seen_alive[replica_id] = time.monotonic()

    async def _watch(self) -> None:
        """Look once a second whether those who owe an answer live. Their death is announced,
        but an announcement comes only when a reaper is there."""
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            for replica_id in {waiting.replica_id for waiting in self._waiting.values()}:
                try:
                    await self._check(replica_id)
                except PeerGone:
                    self._gone(replica_id)
                except Exception as error:
                    # What waits has its own deadline.
                    log.warning("peer.not_checked", replica=replica_id, error=str(error))
            oldest = time.monotonic() - 60
            for replica_id, at in list(self._seen_alive.items()):
                if at < oldest:
                    del self._seen_alive[replica_id]

    def _gone(self, replica_id: str) -> None:
        self._seen_alive.pop(replica_id, None)
        for waiting in self._waiting.values():
            if waiting.replica_id == replica_id and not waiting.answer.done():
                waiting.answer.set_exception(
                    PeerGone(f"replica {replica_id} died before it answered")
                )

    def _fail_all(self, error: HeliographError) -> None:
        for waiting in self._waiting.values():
            if not waiting.answer.done():
                waiting.answer.set_exception(error)

    # -- hearing -----------------------------------------------------------------------

    def _hear(self, message: dict[str, Any]) -> None:
        match message["do"]:
            case "dead":
                if message["replica"] == self._replica.id:
                    self._replica.doubt()
                else:
                    self._gone(message["replica"])
            case "answer":
                self._answered(message)
            case "request" if self._replica.leased:
                self._run(self._answer(message), f"peer {message['op']}")
            case "tell" if self._replica.leased:
                self._run(self._told(message["op"], message["data"]), f"peer {message['op']}")
            case "request" | "tell":
                # It was frozen, and whoever sent this has been told that it is dead.
                log.warning("peer.request_too_late", op=message["op"])

    def _answered(self, message: dict[str, Any]) -> None:
        waiting = self._waiting.get(message["id"])
        if waiting is None or waiting.answer.done():
            return  # too late
        refused = message.get("error")
        if refused is None:
            waiting.answer.set_result(message["data"])
            return
        error = HeliographError(refused["message"], code=refused["code"], path=refused["path"])
        error.status = refused["status"]
        waiting.answer.set_exception(error)

    async def _answer(self, request: dict[str, Any]) -> None:
        answer: dict[str, Any] = {"do": "answer", "id": request["id"], "data": None}
        try:
            answer["data"] = await self._carry_out(request["op"], request["data"])
        except HeliographError as error:
            answer["error"] = {
                "code": error.code,
                "message": error.message,
                "path": error.path,
                "status": error.status,
            }
        await self._post(replica_room(request["from"]), answer)

    async def _carry_out(self, op: str, data: dict[str, Any]) -> Any:
        handler = self._handlers.get(op)
        if handler is None:
            raise HeliographError(
                f"replica {self._replica.id} does not know {op!r}: it runs another version",
                code="unknown_op",
            )
        try:
            return await handler(data)
        except HeliographError:
            raise
        except Exception:
            log.exception("peer.request_failed", op=op)
            raise HeliographError(f"{op!r} failed on another replica", code="internal") from None

    async def _told(self, op: str, data: dict[str, Any]) -> None:
        try:
            await self._carry_out(op, data)
        except HeliographError as error:
            log.warning("peer.tell_refused", op=op, code=error.code, error=error.message)

    async def _post(self, room: str, message: dict[str, Any]) -> None:
        try:
            await self._rooms.instruct(room, message)
        except HeliographError as error:
            log.warning("peer.not_sent", do=message["do"], error=error.message)

    # -- names -------------------------------------------------------------------------

    async def _listen_as(self, replica_id: str) -> None:
        room = replica_room(replica_id)
        if room != self._address:
            await self._rooms.listen(room, self._hear)
            self._address = room

    async def _move(self, lost: str) -> None:
        """The others believe that this replica is dead: it has a new name."""
        await self._listen_as(self._replica.id)
        await self._rooms.unlisten(replica_room(lost), self._hear)
        self._fail_all(
            Unavailable("this replica was taken for dead; try again", code="replica_lost")
        )

    def _run(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
