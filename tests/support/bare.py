"""The delivery layer alone under a real server: no database, no features.

Without a backplane one process with its state in memory; with one, a replica.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import socketio
import uvicorn

from heliograph.backplane import Backplane
from heliograph.cluster import Cluster
from heliograph.delivery import (
    Calls,
    Drain,
    Hub,
    Inbound,
    Lifecycle,
    MemoryBroker,
    MemorySessionRecords,
    RedisBroker,
    RedisSessionRecords,
    Session,
    SocketServer,
    WebSocketProtocol,
)
from heliograph.errors import Unauthenticated
from heliograph.principal import Principal
from tests.support.socket import Socket


class _NoTasks:
    async def shutdown(self, *, timeout: float, per_second: float) -> int:
        return 0

    def reopen(self) -> None:
        pass


class Bare:
    """Hub, lifecycle and calls behind Socket.IO; a token ``ann`` is the user ``ann``."""

    def __init__(
        self,
        *,
        recovery_seconds: float = 120,
        backplane: Backplane | None = None,
        lease_seconds: float = 15,
        renew_every: float | None = None,
        **options: Any,
    ) -> None:
        self.hub = Hub(
            MemoryBroker(recovery_seconds)
            if backplane is None
            else RedisBroker(backplane, recovery_seconds)
        )
        self.cluster = Cluster.over(self.hub, backplane, lease_seconds=lease_seconds)
        self.records = (
            MemorySessionRecords()
            if backplane is None
            else RedisSessionRecords(
                backplane,
                self.cluster.replica,
                self.cluster.peers,
                recovery_seconds,
                renew_every=renew_every,
            )
        )
        self.lifecycle = Lifecycle(self.hub, self.records, recovery_seconds)
        self.calls = Calls(self.hub, self.lifecycle, self.cluster.peers)
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
        self.drain = Drain(
            self.hub, self.sockets, _NoTasks(), seconds=20, per_second=200, expiry=[]
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


Run = Callable[..., contextlib.AbstractAsyncContextManager[Bare]]
"""Runs a server with the options of :class:`Bare`."""


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
    await bare.cluster.__aenter__()
    await bare.lifecycle.start()
    task = asyncio.create_task(server.serve([bare.listener]))
    while not server.started:
        await asyncio.sleep(0.005)
    try:
        yield bare
    finally:
        await bare.close()
        bare.drain.begin("the test ends")
        bare.drain.hasten()
        await bare.drain.finish()
        server.should_exit = True
        await task
        await bare.sockets.shutdown()
        await bare.lifecycle.stop()
        await bare.cluster.__aexit__(None, None, None)
        await bare.hub.stop()


class BareProcess:
    """A replica in a process of its own, see :mod:`tests.support.bare_program`."""

    def __init__(self, environment: dict[str, str], options: dict[str, Any]) -> None:
        self._environment = environment
        self._options = options
        self._process: asyncio.subprocess.Process | None = None
        self.said: list[dict[str, Any]] = []
        self.url = ""
        self.id = ""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[BareProcess]:
        """Start it, and kill it at the end."""
        process = self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.support.bare_program",
            json.dumps(self._options),
            env={**os.environ, **self._environment},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        reading = asyncio.create_task(self._read(process))
        try:
            await until(lambda: bool(self.url), timeout=20)
            yield self
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            await reading

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            said = json.loads(line)
            self.said.append(said)
            if said["say"] == "started":
                self.url, self.id = said["url"], said["id"]

    def sids(self, what: str) -> list[str]:
        """The sessions of which it said that they ``ended``, or ``moved``."""
        return [said["sid"] for said in self.said if said["say"] == what]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self._process is not None
        self._process.send_signal(number)


Processes = Callable[..., contextlib.AbstractAsyncContextManager[BareProcess]]
"""Runs replicas in processes of their own."""


async def until(condition: Callable[[], bool], *, timeout: float = 10) -> None:
    """Wait until ``condition`` holds; fails after ``timeout`` seconds."""
    try:
        async with asyncio.timeout(timeout):
            while not condition():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError("the condition did not come true") from None
