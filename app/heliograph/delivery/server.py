"""The Socket.IO server: python-socketio's protocol, with our sessions behind it.

python-socketio parses packets and python-engineio moves them; who is connected, what a
session gets and in which order its events are handled is decided here. Guarantees:
one session's events are handled one after another, in order; nothing a client sends
raises out of here; a client that sends too much, or nothing, is closed with a reason.

Names overridden here are private to python-socketio; a contract test holds them.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import socketio
from engineio import packet as engine_packet
from socketio import packet

from heliograph.delivery.calls import Calls
from heliograph.delivery.engine import EngineServer, EngineSocket
from heliograph.delivery.frames import JsonCodec
from heliograph.delivery.hub import Hub
from heliograph.delivery.lifecycle import Lifecycle
from heliograph.delivery.refusal import Refusal, Shedding
from heliograph.delivery.session import Session
from heliograph.errors import HeliographError, RateLimited, Unavailable
from heliograph.principal import Principal
from heliograph.telemetry import get_logger, metrics

log = get_logger(__name__)

_MAX_ATTACHMENTS = 16
_MAX_INBOX = 1_000
_BURST_SECONDS = 2.0
_FLOOD_FACTOR = 2  # refusals, in bursts, after which a flooding client is closed


@dataclass(frozen=True, slots=True)
class Inbound:
    """One event from a client. ``ack_id`` is ``None`` when it wants no answer."""

    name: str
    args: tuple[Any, ...]
    ack_id: int | None


class Admission(Protocol):
    """Decides who may connect."""

    async def __call__(self, token: str | None) -> Principal | None:
        """The user of ``token``; ``None`` admits a socket that has no user yet.

        :raises HeliographError: refuses, with its code.
        """


Handler = Callable[[Session, Inbound], Awaitable[None]]


@dataclass(eq=False, slots=True)
class _Client:
    """What belongs to one transport: its session, its inbox, its budget."""

    socket: EngineSocket
    environ: dict[str, Any]
    session: Session | None = None
    connecting: bool = False
    inbox: deque[Inbound] = field(default_factory=deque)
    worker: asyncio.Task[None] | None = None
    budget: float = 0.0
    counted_at: float = field(default_factory=time.monotonic)
    refused: int = 0
    told_at: float = 0.0
    connect_timer: asyncio.TimerHandle | None = None


class SocketServer(socketio.AsyncServer):  # type: ignore[misc]
    """python-socketio's server over a :class:`Hub`.

    :param per_second: events one client may send a second, averaged over two.
    :param connect_timeout: seconds in which a transport must join the namespace.
    """

    def __init__(
        self,
        hub: Hub,
        lifecycle: Lifecycle,
        calls: Calls,
        *,
        admission: Admission,
        handler: Handler,
        per_second: int,
        connect_timeout: float,
        queue_packets: int,
        queue_bytes: int,
        **options: Any,
    ) -> None:
        super().__init__(async_mode="asgi", json=JsonCodec, **options)
        self.hub = hub
        self.lifecycle = lifecycle
        self.calls = calls
        self._admission = admission
        self._handler = handler
        self._per_second = per_second
        self._connect_timeout = connect_timeout
        self._clients: dict[str, _Client] = {}
        self._waiting_packets: dict[str, packet.Packet] = {}
        self._empty = asyncio.Event()
        self._empty.set()
        self.eio.queue_packets = queue_packets
        self.eio.queue_bytes = queue_bytes
        hub.on_put_out = self.put_out

    def _engineio_server_class(self) -> type[EngineServer]:
        return EngineServer

    # -- transports ------------------------------------------------------------------

    async def _handle_eio_connect(self, eio_sid: str, environ: dict[str, Any]) -> None:
        client = _Client(self.eio.sockets[eio_sid], environ)
        client.budget = self._per_second * _BURST_SECONDS
        client.connect_timer = asyncio.get_running_loop().call_later(
            self._connect_timeout, self._connect_too_late, client
        )
        self._clients[eio_sid] = client
        self._empty.clear()

    def _connect_too_late(self, client: _Client) -> None:
        if client.session is None:
            client.socket.end(1008, "connect_timeout: no CONNECT packet came", flush=True)

    async def _handle_eio_message(self, eio_sid: str, data: Any) -> None:
        client = self._clients.get(eio_sid)
        if client is None or client.socket.ending:
            return
        try:
            await self._dispatch(eio_sid, client, data)
        except Exception as error:
            # Whatever could not be read: the packet is hostile or damaged, and what
            # follows it cannot be trusted to be in step.
            log.info("socket.bad_packet", error=f"{type(error).__name__}: {error}"[:200])
            client.socket.end(1008, "bad_packet", flush=True)

    async def _dispatch(self, eio_sid: str, client: _Client, data: Any) -> None:
        pkt = self._waiting_packets.get(eio_sid)
        if pkt is not None:
            if not isinstance(data, bytes):
                raise ValueError("text in the middle of a binary packet")
            if not pkt.add_attachment(data):
                return
            del self._waiting_packets[eio_sid]
        else:
            if not isinstance(data, str):
                raise ValueError("binary without a packet")
            pkt = packet.Packet(encoded_packet=data)
            if pkt.packet_type in (packet.BINARY_EVENT, packet.BINARY_ACK):
                if client.session is None:
                    raise ValueError("binary before CONNECT")
                if not 0 < pkt.attachment_count <= _MAX_ATTACHMENTS:
                    raise ValueError(f"{pkt.attachment_count} attachments")
                self._waiting_packets[eio_sid] = pkt
                return
        await self._handle_packet(eio_sid, client, pkt)

    async def _handle_packet(self, eio_sid: str, client: _Client, pkt: packet.Packet) -> None:
        namespace = pkt.namespace or "/"
        if pkt.packet_type == packet.CONNECT:
            if namespace != "/":
                refusal = {"message": f"Invalid namespace {namespace}"}
                self._reply(client, packet.CONNECT_ERROR, refusal, namespace)
            else:
                await self._connect(eio_sid, client, pkt.data)
        elif namespace != "/" or client.session is None:
            client.socket.end(1008, "not_connected: an event before CONNECT", flush=True)
        elif pkt.packet_type == packet.DISCONNECT:
            await self.lifecycle.end(client.session, "client left")
            client.session = None
        elif pkt.packet_type in (packet.EVENT, packet.BINARY_EVENT):
            self._receive(client, pkt)
        elif pkt.packet_type in (packet.ACK, packet.BINARY_ACK):
            if pkt.id is None or not isinstance(pkt.data, list):
                raise ValueError("a malformed ack")
            self.calls.answered(client.session, pkt.id, pkt.data)
        else:
            raise ValueError(f"packet type {pkt.packet_type}")

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        client = self._clients.pop(eio_sid, None)
        self._waiting_packets.pop(eio_sid, None)
        if not self._clients:
            self._empty.set()
        if client is None:
            return
        if client.connect_timer is not None:
            client.connect_timer.cancel()
        if client.session is not None:
            self.lifecycle.detach(client.session, client.socket)

    # -- CONNECT ---------------------------------------------------------------------

    async def _connect(self, eio_sid: str, client: _Client, auth: Any) -> None:
        if client.session is not None or client.connecting:
            raise ValueError("CONNECT twice")
        client.connecting = True
        auth = auth if isinstance(auth, dict) else {}
        try:
            user = await self._admission(_token(auth, client.environ))
        except HeliographError as refusal:
            metrics.HANDSHAKES.labels(refusal.code).inc()
            data = {"message": refusal.message, "data": refusal.as_dict()}
            self._reply(client, packet.CONNECT_ERROR, data)
            client.connecting = False
            return
        try:
            session, recovered = await self._session(client, user, auth)
        except Unavailable as error:
            # Not a refusal: stock clients would not come back after one.
            metrics.HANDSHAKES.labels(error.code).inc()
            log.warning("socket.not_connected", error=error.message)
            client.socket.end(1013, "unavailable: Redis does not answer; come back", flush=True)
            return
        if session is None:
            return
        session.legacy_names = auth.get("legacy_names") is True
        if self._clients.get(eio_sid) is not client:  # gone while we looked it up
            self.lifecycle.detach(session, client.socket)
            return
        metrics.HANDSHAKES.labels("accepted").inc()
        client.session = session
        if client.connect_timer is not None:
            client.connect_timer.cancel()
        reply = {"sid": session.sid}
        if session.pid is not None:
            reply["pid"] = session.pid
        self._reply(client, packet.CONNECT, reply)
        if recovered:
            for hook in self.lifecycle.on_recovered:
                hook(session)
        self.lifecycle.go_live(session)

    async def _session(
        self, client: _Client, user: Principal | None, auth: dict[str, Any]
    ) -> tuple[Session | None, bool]:
        """The client's session and whether it was recovered; none when somebody else took it
        over meanwhile, and the transport is closed."""
        pid, offset = auth.get("pid"), auth.get("offset")
        if user is not None and isinstance(pid, str):
            said = offset if isinstance(offset, str) else None
            session = await self.lifecycle.recover(pid, said, user, client.socket)
            metrics.RECOVERIES.labels("recovered" if session else "not_recovered").inc()
            if session is not None or client.socket.ending:
                return session, True
        wanted = auth.get("recovery") is not False
        return await self.lifecycle.begin(user, client.socket, recoverable=wanted), False

    def _reply(self, client: _Client, kind: int, data: Any, namespace: str = "/") -> None:
        text = packet.Packet(kind, data=data, namespace=namespace).encode()
        client.socket.push([engine_packet.Packet(engine_packet.MESSAGE, text)])

    # -- events ----------------------------------------------------------------------

    def _receive(self, client: _Client, pkt: packet.Packet) -> None:
        if not isinstance(pkt.data, list) or not pkt.data or not isinstance(pkt.data[0], str):
            raise ValueError("an event without a name")
        assert client.session is not None
        event = Inbound(pkt.data[0][:200], tuple(pkt.data[1:]), pkt.id)
        if not self._within_budget(client) or len(client.inbox) >= _MAX_INBOX:
            self._refuse_flood(client, event)
            return
        metrics.EVENTS_IN.inc()
        client.inbox.append(event)
        if client.worker is None:
            client.worker = asyncio.create_task(self._work(client))

    def _within_budget(self, client: _Client) -> bool:
        now = time.monotonic()
        most = self._per_second * _BURST_SECONDS
        client.budget = min(most, client.budget + (now - client.counted_at) * self._per_second)
        client.counted_at = now
        if client.budget < 1:
            return False
        client.budget -= 1
        return True

    def _refuse_flood(self, client: _Client, event: Inbound) -> None:
        assert client.session is not None
        metrics.RATE_LIMITED.inc()
        client.refused += 1
        if client.refused > _FLOOD_FACTOR * self._per_second * _BURST_SECONDS:
            client.socket.end(1008, "rate_limited: too many events", flush=True)
            return
        now = time.monotonic()
        if event.ack_id is None and now - client.told_at < 1:
            return  # told already; an answer to each would make the flood twice as wide
        client.told_at = now
        refusal = RateLimited(
            f"{event.name}: more than {self._per_second} events a second; send it again later"
        )
        refuse(client.session, event, refusal)

    async def _work(self, client: _Client) -> None:
        while client.inbox:
            session = client.session
            event = client.inbox.popleft()
            if session is None or session.ended:
                client.inbox.clear()
                break
            try:
                await self._handler(session, event)
            except HeliographError as refusal:
                refuse(session, event, refusal)
            except Exception:
                log.exception("socket.handler_failed", event_name=event.name)
                refuse(session, event, HeliographError("the server failed", code="internal"))
        client.worker = None

    # -- ending ----------------------------------------------------------------------

    def put_out(self, session: Session, code: str, message: str) -> None:
        """End a session for good and tell its client why; it does not reconnect by itself."""
        session.emit("error", {"event": None, "code": code, "message": message})
        for client in self._clients.values():
            if client.session is session:
                self._reply(client, packet.DISCONNECT, None)
                client.session = None
                client.socket.end(1008, code, flush=True)
        self._background(self.lifecycle.end(session, code))

    # -- draining, see ``drain`` -------------------------------------------------------

    def refuse_handshakes(self, refusal: Refusal) -> None:
        """Answer who comes without a session with this, from now on."""
        self.eio.refusal = refusal

    def admit_handshakes(self) -> None:
        """Refuse nobody any more."""
        self.eio.refusal = None

    def shed_returning(self, shedding: Shedding | None) -> None:
        """Refuse who comes back here by its sticky cookie; ``None``: nobody."""
        self.eio.shedding = shedding

    def retime(self, ping_interval: float, ping_timeout: float) -> None:
        """Ping so from now on; those who are connected stay with what they were told, s."""
        self.eio.ping_interval = ping_interval
        self.eio.ping_timeout = ping_timeout

    def open_transports(self) -> list[EngineSocket]:
        """Those that have not been told to end, the oldest first."""
        return [client.socket for client in self._clients.values() if not client.socket.ending]

    async def transports_gone(self, timeout: float) -> None:
        """Wait until no transport is left; who is still there after ``timeout`` s is cut."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._empty.wait()
        for client in list(self._clients.values()):
            client.socket.cut()

    def _background(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self.eio.background.add(task)
        task.add_done_callback(self.eio.background.discard)

    async def emit(
        self, event: str, data: Any = None, to: str | None = None, room: str | None = None, **_: Any
    ) -> None:
        """python-socketio's ``emit``: to a session or to a room, through the broker."""
        target = to or room
        if target is None:
            raise ValueError("emit needs a room or a sid: there is no broadcast to everybody")
        session = self.hub.sessions.get(target)
        if session is not None:
            session.emit(event, data)
        else:
            await self.hub.publish(target, event, data)


def refuse(session: Session, event: Inbound, refusal: HeliographError) -> None:
    """Tell a client that its event had no effect: by the ack it asked for, or ``error``."""
    if event.ack_id is not None:
        session.acknowledge(event.ack_id, {"error": refusal.as_dict()})
    else:
        session.emit("error", {"event": event.name, **refusal.as_dict()})


def _token(auth: dict[str, Any], environ: dict[str, Any]) -> str | None:
    token = auth.get("token")
    if isinstance(token, str) and token:
        return token
    scheme, _, value = str(environ.get("HTTP_AUTHORIZATION", "")).partition(" ")
    return value if scheme.lower() == "bearer" and value else None
