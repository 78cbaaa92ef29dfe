"""Engine.IO sockets that can be trusted with slow, dead and hostile peers.

python-engineio's transports, with these differences, each of which a test holds:
outbound queues are bounded and a client that does not read is cut off with a reason;
liveness is measured on the monotonic clock; a transport can be closed *as a transport*
(code and reason), after which stock clients reconnect at once; handshakes can be refused;
a poll or a post may carry any number of packets, but we send at most 16 in one, which is
all that python-engineio's client takes.

The overridden names are private to python-engineio: ``tests/integration/delivery`` has
a contract test that fails when a release changes them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any

import engineio
from engineio import packet, payload
from engineio.async_drivers.asgi import WebSocket
from engineio.async_socket import AsyncSocket
from engineio.exceptions import EngineIOError, QueueEmpty, SocketIsClosedError

from heliograph.delivery.frames import Frame
from heliograph.delivery.queue import OutboundQueue
from heliograph.delivery.refusal import Refusal, Shedding
from heliograph.telemetry import get_logger, metrics

log = get_logger(__name__)

TRANSPORT_EXTENSION = "heliograph.transport"
"""Key in the ASGI scope's ``extensions`` under which our server passes its transport."""

_PACKETS_PER_POLL = 16
_DIRECT_BYTES = 64 * 1024
_ABORT_AFTER_SECONDS = 2.0
_FLUSH_SECONDS = 2.0
_POLICY_VIOLATION = 1008

# A close packet. What follows it is for python-engineio's client, which takes a close packet
# for a goodbye and would not come back: an empty packet makes it drop the connection instead.
# Others are gone when they get to it. Who broke the protocol gets the packet alone.
_CLOSE = b"1"
_COME_BACK = b"1\x1e"

# A browser posts all it has queued at once; the library's 16 would drop the rest.
payload.Payload.max_decode_packets = 10_000


class _WebSocket(WebSocket):  # type: ignore[misc]
    """A websocket that can be closed with a code, also when its peer does not read."""

    scope: dict[str, Any]
    close_with: tuple[int, str] = (1000, "")

    async def __call__(self, environ: dict[str, Any]) -> Any:
        self.scope = environ["asgi.scope"]
        return await super().__call__(environ)

    async def close(self) -> None:
        """Close with ``close_with``; abort when the peer does not take the close frame."""
        code, reason = self.close_with
        try:
            async with asyncio.timeout(_ABORT_AFTER_SECONDS):
                await self.asgi_send({"type": "websocket.close", "code": code, "reason": reason})
        except TimeoutError:
            self.abort()
        except Exception as error:
            # The connection is gone already, whatever the server calls it.
            log.debug("engine.close", error=str(error))

    @property
    def transport(self) -> asyncio.Transport | None:
        """The connection itself, when our server lends it."""
        transport: asyncio.Transport | None = self.scope.get("extensions", {}).get(
            TRANSPORT_EXTENSION
        )
        return transport

    def abort(self) -> None:
        """Drop the connection with what is still unwritten."""
        if self.transport is not None:
            self.transport.abort()


class _Told:
    """The server with the times that one client was told at its handshake: a later change of
    them is for others."""

    def __init__(self, server: EngineServer) -> None:
        self._server = server
        self.ping_interval: float = server.ping_interval
        self.ping_timeout: float = server.ping_timeout

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server, name)


class EngineSocket(AsyncSocket):  # type: ignore[misc]
    """One client's Engine.IO session, over polling or a websocket."""

    server: _Told
    queue: OutboundQueue

    def __init__(self, server: EngineServer, sid: str) -> None:
        super().__init__(_Told(server), sid)
        self.last_ping = time.monotonic()
        self._websocket: _WebSocket | None = None
        self.ending = False
        self._end_with: tuple[int, str] = (1000, "")
        self._polling = False
        self._idle = False  # the library's writer waits for the next packet
        self._burst: list[bytes] = []
        self._burst_bytes = 0

    # -- writing ---------------------------------------------------------------------

    def push(self, packets: Iterable[packet.Packet]) -> None:
        """Queue packets as one unit; a client too slow for them is cut off."""
        if self.closed or self.ending:
            return
        self.flush()
        unit = list(packets)
        if not self.queue.has_room(unit):
            metrics.SLOW_CONSUMERS.inc()
            log.warning("engine.slow_consumer", queued=self.queue.qsize(), bytes=self.queue.bytes)
            self.end(1013, "slow_consumer: the client does not read its messages")
            return
        for item in unit:
            self.queue.put_nowait(item)

    def deliver(
        self, frame: Frame, *, offset: str | None = None, ack_id: int | None = None
    ) -> None:
        """Write an event: past the queue when nothing waits in it, else behind the others.

        What is delivered in one turn of the event loop leaves in one write. A client that
        does not keep up with that gets a queue again, whose bounds are watched.
        """
        transport = self._transport
        if (
            transport is None
            or not self._idle
            or not self.queue.empty()
            or self._burst_bytes + transport.get_write_buffer_size() > _DIRECT_BYTES
            or self.closed
            or self.ending
        ):
            self.push(frame.packets(offset=offset, ack_id=ack_id))
            return
        data = frame.websocket(offset=offset, ack_id=ack_id)
        if not self._burst:
            self.server.flush_soon(self)
        self._burst.append(data)
        self._burst_bytes += len(data)

    @property
    def _transport(self) -> asyncio.Transport | None:
        """What a websocket's bytes may be written to."""
        if not self.upgraded or self._websocket is None:
            return None
        return self._websocket.transport

    def flush(self) -> None:
        """Write what was delivered in this turn."""
        burst, self._burst = self._burst, []
        self._burst_bytes = 0
        transport = self._transport
        if burst and transport is not None and not transport.is_closing():
            transport.write(b"".join(burst))

    async def drained(self) -> None:
        """Wait until the client has taken most of its queue, or is gone."""
        await self.queue.drained()

    async def send(self, pkt: packet.Packet) -> None:
        """The library's way to send: pings and closing packets."""
        if await self.check_ping_timeout():
            self.flush()
            self.queue.put_nowait(pkt)

    def end(self, code: int, reason: str, *, flush: bool = False) -> None:
        """Close the transport itself; the client sees a lost connection and returns.

        :param flush: first write what is queued, if the client takes it soon.
        """
        if self.ending or self.closed:
            return
        self.flush()
        self.ending = True
        self._end_with = (code, reason)
        self.queue.release()
        if not flush:
            self._end_now()
            return
        if self._websocket is not None:
            self._websocket.close_with = (code, reason)
        self.queue.put_nowait(None)  # the writer, or a poll, ends when it gets there
        asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self._end_now)

    def cut(self) -> None:
        """Drop the connection of a transport whose client does not take its end."""
        if self._websocket is not None:
            self._websocket.abort()
        self._end_now()

    def _end_now(self) -> None:
        if self.closed:
            return
        task = asyncio.ensure_future(self._end())
        self.server.background.add(task)
        task.add_done_callback(self.server.background.discard)

    async def _end(self) -> None:
        code, reason = self._end_with
        if self._websocket is not None and (self.upgraded or self.upgrading):
            self._websocket.close_with = (code, reason)
            await self._websocket.close()
        self.queue.put_nowait(None)  # ends the writer
        await self.close(wait=False, abort=True, reason=reason)

    async def close(self, wait: bool = True, abort: bool = False, reason: Any = None) -> None:
        # Never waiting for the queue: its reader may be the one that is gone.
        await super().close(wait=False, abort=True, reason=reason)
        # The library fails on a POST to a session that it keeps although it is closed.
        self.server.sockets.pop(self.sid, None)
        self.queue.release()
        if not self.upgraded:
            # A poll that waits ends now, with the protocol's word for it.
            self.queue.put_nowait(None if self.ending else packet.Packet(packet.CLOSE))

    # -- liveness, on a clock that cannot jump -----------------------------------------

    async def check_ping_timeout(self) -> bool:
        if self.closed:
            raise SocketIsClosedError
        silent = time.monotonic() - self.last_ping if self.last_ping else 0.0
        if silent > self.server.ping_timeout:
            metrics.MISSED_PONGS.inc()
            if self._websocket is not None:
                self._websocket.abort()
            await self.close(wait=False, abort=True, reason=self.server.reason.PING_TIMEOUT)
            self.queue.put_nowait(None)
            return False
        return True

    async def _send_ping(self) -> None:
        await asyncio.sleep(self.server.ping_interval)
        if not self.closing and not self.closed:
            self.last_ping = time.monotonic()
            await self.send(packet.Packet(packet.PING))

    # -- transports ------------------------------------------------------------------

    async def poll(self) -> list[packet.Packet]:
        """Packets for one answer or one turn of the writer; ``[]`` when closed."""
        patience = self.server.ping_interval + self.server.ping_timeout
        try:
            async with asyncio.timeout(patience):
                self._idle = True
                first = await self.queue.get()
        except TimeoutError:
            raise QueueEmpty from None
        finally:
            self._idle = False
        packets = []
        item: packet.Packet | None = first
        while item is not None:
            packets.append(item)
            if len(packets) == _PACKETS_PER_POLL or self.queue.empty():
                return packets
            item = self.queue.get_nowait()
        if packets:
            self.queue.put_nowait(None)
        return packets

    async def handle_get_request(self, environ: dict[str, Any]) -> Any:
        if environ.get("HTTP_UPGRADE"):
            return await super().handle_get_request(environ)
        if self._polling:
            self.end(1008, "two polls at once")
            raise EngineIOError("two polls at once")
        self._polling = True
        try:
            packets = await super().handle_get_request(environ)
        finally:
            self._polling = False
        if packets:
            return packets
        if not self.ending:
            raise EngineIOError("the session has ended")
        self._end_now()  # the client knows
        return self._last_answer()

    def _last_answer(self) -> dict[str, Any]:
        """The answer to the last poll: the protocol's word for the end."""
        refusal = self.server.refusal
        headers = [("Content-Type", "text/plain; charset=UTF-8")]
        return {
            "status": "200 OK",
            "headers": headers + (refusal.parting if refusal is not None else []),
            "response": _CLOSE if self._end_with[0] == _POLICY_VIOLATION else _COME_BACK,
        }

    async def handle_post_request(self, environ: dict[str, Any]) -> None:
        try:
            await super().handle_post_request(environ)
        except Exception as error:
            if self.closed:
                return  # what follows the goodbye is nobody's
            if isinstance(error, EngineIOError):
                raise
            # The library would answer 200 to a body that it could not read.
            self.end(1008, "bad_packet")
            raise EngineIOError(f"bad packet: {error}") from error

    async def _websocket_handler(self, ws: WebSocket) -> None:
        try:
            await super()._websocket_handler(ws)
        finally:
            if not self.upgraded:
                self.upgrading = False  # a failed upgrade leaves the polling as it was

    async def _upgrade_websocket(self, environ: dict[str, Any]) -> Any:
        if self.upgraded or self.upgrading:
            return self.server._bad_request("the session has a websocket already")
        if self.ending or self.closed:
            return self.server._bad_request("the session has ended")
        self._websocket = _WebSocket(self._websocket_handler, self.server)
        return await self._websocket(environ)


class EngineServer(engineio.AsyncServer):  # type: ignore[misc]
    """An Engine.IO server whose sockets are :class:`EngineSocket`.

    :ivar refusal: while it is set, who comes without a session gets it instead of one.
    :ivar shedding: while it is set, the same for who is brought back here by a sticky cookie.
    """

    queue_packets: int
    queue_bytes: int
    refusal: Refusal | None = None
    shedding: Shedding | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.background: set[asyncio.Future[Any]] = set()
        self._unflushed: list[EngineSocket] = []

    def flush_soon(self, socket: EngineSocket) -> None:
        """Write what the socket was given, at the end of this turn of the event loop. One
        callback for all sockets: with one for each it costs a tenth of an event."""
        if not self._unflushed:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unflushed.append(socket)

    def _flush(self) -> None:
        sockets, self._unflushed = self._unflushed, []
        for socket in sockets:
            socket.flush()

    def create_queue(self, *_args: Any, **_kwargs: Any) -> OutboundQueue:
        return OutboundQueue(self.queue_packets, self.queue_bytes)

    async def _handle_connect(
        self, environ: dict[str, Any], transport: str, jsonp_index: int | None = None
    ) -> Any:
        if (refusal := self._refusal_of(environ)) is not None:
            return await self._refuse(environ, transport, refusal)
        if self.start_service_task:
            self.start_service_task: bool = False
            self.service_task_handle = self.start_background_task(self._service_task)
        sid = self.generate_id()
        socket = self.sockets[sid] = EngineSocket(self, sid)
        await socket.send(self._hello(sid, self._upgrades(sid, transport)))
        await self._trigger_event("connect", sid, environ, run_async=False)
        socket.schedule_ping()
        if transport == "websocket":
            result = await socket.handle_get_request(environ)
            if socket.closed:
                self.sockets.pop(sid, None)
            return result
        socket.connected = True
        return self._ok(await socket.poll(), jsonp_index=jsonp_index)

    def _refusal_of(self, environ: dict[str, Any]) -> Refusal | None:
        if self.refusal is None and self.shedding is not None and self.shedding.concerns(environ):
            return self.shedding.refusal
        return self.refusal

    def _hello(self, sid: str, upgrades: list[str]) -> packet.Packet:
        hello = {
            "sid": sid,
            "upgrades": upgrades,
            "pingTimeout": int(self.ping_timeout * 1000),
            "pingInterval": int(self.ping_interval * 1000),
            "maxPayload": self.max_http_buffer_size,
        }
        return packet.Packet(packet.OPEN, hello)

    async def _refuse(self, environ: dict[str, Any], transport: str, refusal: Refusal) -> Any:
        if transport == "websocket" and refusal.parting and "HTTP_ORIGIN" in environ:
            # A browser heeds the cookies of a handshake that succeeds, and of no other: refused,
            # it would be brought back here until we are gone.
            send = environ["asgi.send"]
            headers = [(name.lower().encode(), value.encode()) for name, value in refusal.parting]
            hello = self._hello(self.generate_id(), []).encode()
            await send({"type": "websocket.accept", "headers": headers})
            await send({"type": "websocket.send", "text": hello})
            await send({"type": "websocket.close", "code": 1012, "reason": "restart"})
            return None
        return {
            "status": refusal.status,
            "headers": [("Content-Type", "application/json"), *refusal.headers],
            "response": refusal.body,
        }

    async def _make_response(self, response_dict: dict[str, Any], environ: dict[str, Any]) -> Any:
        """Answer; a websocket gets the refusal itself, where other faults become 403.

        With its length, or it would come in chunks: a proxy passes each on by itself, and
        python-engineio's client gives up when a refusal's body comes later than its headers.
        """
        length = ("Content-Length", str(len(response_dict["response"])))
        response_dict = {**response_dict, "headers": [*response_dict["headers"], length]}
        extensions = environ["asgi.scope"].get("extensions") or {}
        refusal = self._refusal_of(environ)
        refused = refusal is not None and response_dict["status"] == refusal.status
        if not refused or "websocket.http.response" not in extensions:
            return await super()._make_response(response_dict, environ)
        headers = response_dict["headers"] + self._cors_headers(environ)
        send = environ["asgi.send"]
        await send(
            {
                "type": "websocket.http.response.start",
                "status": int(response_dict["status"].split(" ")[0]),
                "headers": [(name.encode(), value.encode()) for name, value in headers],
            }
        )
        await send({"type": "websocket.http.response.body", "body": response_dict["response"]})
        return None
