"""The delivery layer alone under a real server: no database, no features."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import socketio
import uvicorn

from heliograph.delivery import (
    Calls,
    Hub,
    Inbound,
    Lifecycle,
    MemoryBroker,
    MemorySessionRecords,
    Session,
    SocketServer,
    WebSocketProtocol,
)
from heliograph.errors import Unauthenticated
from heliograph.principal import Principal
from tests.support.socket import Socket


class Bare:
    """Hub, lifecycle and calls behind Socket.IO; a token ``ann`` is the user ``ann``."""

    def __init__(self, *, recovery_seconds: float = 120, **options: Any) -> None:
        self.hub = Hub(MemoryBroker(recovery_seconds))
        self.lifecycle = Lifecycle(self.hub, MemorySessionRecords(), recovery_seconds)
        self.calls = Calls(self.hub, self.lifecycle)
        self.received: list[Inbound] = []
        self.on_event: Callable[[Session, Inbound], Awaitable[None]] | None = None
        settings: dict[str, Any] = {
            "per_second": 100_000,
            "connect_timeout": 10,
            "queue_packets": 5_000,
            "queue_bytes": 16 << 20,
            "ping_interval": 25,
            "ping_timeout": 20,
            "max_http_buffer_size": 8 << 20,
            **options,
        }
        self.sockets = SocketServer(
            self.hub,
            self.lifecycle,
            self.calls,
            admission=self._admit,
            handler=self._handle,
            transports=["polling", "websocket"],
            http_compression=False,
            **settings,
        )
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self._clients: list[Socket] = []

    async def _admit(self, token: str | None) -> Principal | None:
        if not token:
            raise Unauthenticated("no token", code="token_missing")
        return Principal(token, token.title(), "user")

    async def _handle(self, session: Session, event: Inbound) -> None:
        self.received.append(event)
        if self.on_event is not None:
            await self.on_event(session, event)
        elif event.ack_id is not None:
            session.acknowledge(event.ack_id, event.args[0] if event.args else None)

    async def connect(
        self, token: str, *, transports: list[str] | None = None, **auth: Any
    ) -> Socket:
        """Connect a stock Python client."""
        client = Socket(self.url, {"token": token, **auth}, transports or ["websocket"], False)
        await client.connect()
        self._clients.append(client)
        return client

    def session(self, client: Socket) -> Session:
        """The server's side of a client."""
        return self.hub.sessions[client.sid]

    async def close(self) -> None:
        """Disconnect all clients."""
        for client in self._clients:
            await client.disconnect()


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def bare_server(**options: Any) -> AsyncIterator[Bare]:
    """Run the delivery layer."""
    bare = Bare(**options)
    config = uvicorn.Config(
        socketio.ASGIApp(bare.sockets, socketio_path="/ws/socket.io"),
        ws=WebSocketProtocol,
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    await bare.hub.start()
    task = asyncio.create_task(server.serve([bare.listener]))
    while not server.started:
        await asyncio.sleep(0.005)
    try:
        yield bare
    finally:
        await bare.close()
        await bare.sockets.close_transports(1012, "end of the test")
        server.should_exit = True
        await task
        await bare.sockets.shutdown()
        await bare.lifecycle.stop()
        await bare.hub.stop()


async def until(condition: Callable[[], bool], *, timeout: float = 10) -> None:
    """Wait until ``condition`` holds; fails after ``timeout`` seconds."""
    try:
        async with asyncio.timeout(timeout):
            while not condition():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError("the condition did not come true") from None
