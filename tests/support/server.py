"""A real server for a test: the application under uvicorn, on a free port, in this loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

from argon2 import PasswordHasher

from heliograph.asgi import Application
from heliograph.delivery import Session
from heliograph.edge import Page, Services
from heliograph.serving import Server, listen, uvicorn_config
from heliograph.settings import Settings
from tests.support.visitors import PASSWORD, Visitor, Visitors

__all__ = ["PASSWORD", "Person", "RunningServer", "serve"]


class Person(Visitor):
    """Somebody with an account, as the tests act for them."""

    server: RunningServer


class RunningServer(Visitors):
    """The server under test.

    :ivar replicas: all that share its state; it is the first of them.
    """

    def __init__(self, settings: Settings, page: Page | None = None) -> None:
        self.settings = settings
        self.listener = listen(settings)
        super().__init__(f"http://127.0.0.1:{self.listener.getsockname()[1]}")
        self.application = Application(settings, page)
        self.services: Services = self.application.services
        # As the real one, but cheap: most tests sign somebody up.
        self.services.identity._hasher = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
        self.root: Person
        self.replicas = [self]
        self._server = _TestServer(self.application, uvicorn_config(self.application), self.url)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Serve; returns when requests are answered."""
        self._task = asyncio.create_task(self._server.serve([self.listener]))
        started = asyncio.create_task(self._server.ready.wait())
        await asyncio.wait({self._task, started}, return_when=asyncio.FIRST_COMPLETED)
        if not started.done():
            started.cancel()
            await self._task
            raise RuntimeError("the server did not start; its log says why")

    def session(self, sid: str) -> Session:
        """A session, on whichever replica it is."""
        [found] = [
            replica.services.hub.sessions[sid]
            for replica in self.replicas
            if sid in replica.services.hub.sessions
        ]
        return found

    async def stop(self) -> None:
        """Let everybody leave, and :meth:`end`."""
        await self.leave()
        await self.end()

    async def end(self) -> None:
        """Stop as on SIGTERM, whoever is there."""
        if self._task is not None:
            self._server.should_exit = True
            await self._task
        self.listener.close()

    async def signup(self, name: str) -> Person:
        """Create an account with :data:`PASSWORD`."""
        return Person(self, await self.register(name))


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
