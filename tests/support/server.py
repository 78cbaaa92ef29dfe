"""A real server for a test: the application under uvicorn, on a free port, in this loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
from argon2 import PasswordHasher

from heliograph.asgi import Application
from heliograph.edge import Page, Services
from heliograph.serving import Server, listen, uvicorn_config
from heliograph.settings import Settings
from tests.support.socket import Socket

PASSWORD = "correct horse"


class Person:
    """Somebody with an account, as the tests act for them."""

    def __init__(self, server: RunningServer, answer: dict[str, Any]) -> None:
        self.server = server
        self.id: str = answer["id"]
        self.name: str = answer["name"]
        self.email: str = answer["email"]
        self.role: str = answer["role"]
        self.token: str = answer["token"]
        self.http = httpx.AsyncClient(
            base_url=server.url,
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=30,
            verify=False,
        )
        server.on_close(self.http.aclose)

    async def connect(
        self, *, transports: list[str] | None = None, reconnection: bool = False, **auth: Any
    ) -> Socket:
        """Connect a stock python-socketio client; ``auth`` adds to its CONNECT packet."""
        return await self.server.connect(
            {"token": self.token, **auth}, transports=transports, reconnection=reconnection
        )


class RunningServer:
    """The server under test."""

    def __init__(self, settings: Settings, page: Page | None = None) -> None:
        self.settings = settings
        self.listener = listen(settings)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.application = Application(settings, page)
        self.services: Services = self.application.services
        # As the real one, but cheap: most tests sign somebody up.
        self.services.identity._hasher = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
        self.root: Person
        self._closers: list[Any] = []
        self._server = _TestServer(self.application, uvicorn_config(self.application), self.url)
        self._task: asyncio.Task[None] | None = None

    def on_close(self, closer: Any) -> None:
        """Await ``closer()`` when the server stops."""
        self._closers.append(closer)

    async def start(self) -> None:
        """Serve; returns when requests are answered."""
        self._task = asyncio.create_task(self._server.serve([self.listener]))
        started = asyncio.create_task(self._server.ready.wait())
        await asyncio.wait({self._task, started}, return_when=asyncio.FIRST_COMPLETED)
        if not started.done():
            started.cancel()
            await self._task
            raise RuntimeError("the server did not start; its log says why")

    async def stop(self) -> None:
        """Stop as on SIGTERM."""
        for closer in reversed(self._closers):
            await closer()
        self._closers.clear()
        if self._task is not None:
            self._server.should_exit = True
            await self._task
        self.listener.close()

    async def signup(self, name: str) -> Person:
        """Create an account with :data:`PASSWORD`."""
        body = {"name": name, "email": f"{name}@example.org", "password": PASSWORD}
        async with httpx.AsyncClient(base_url=self.url, verify=False) as http:
            answer = await http.post("/api/v1/auths/signup", json=body)
        assert answer.status_code == 200, answer.text
        return Person(self, answer.json())

    async def connect(
        self,
        auth: dict[str, Any] | None,
        *,
        transports: list[str] | None = None,
        reconnection: bool = False,
    ) -> Socket:
        """Connect a stock client with any ``auth``."""
        socket = Socket(self.url, auth, transports or ["websocket"], reconnection)
        self.on_close(socket.disconnect)
        await socket.connect()
        return socket


class _TestServer(Server):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.ready = asyncio.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super(Server, self).startup(sockets)  # no garbage collector settings in tests
        if not self.should_exit:
            self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # signals are the test runner's


@contextlib.asynccontextmanager
async def serve(settings: Settings, page: Page | None = None) -> AsyncIterator[RunningServer]:
    """Run a server on a migrated database, with an administrator called ``root``."""
    server = RunningServer(settings, page)
    await server.start()
    try:
        server.root = await server.signup("root")
        yield server
    finally:
        await server.stop()
