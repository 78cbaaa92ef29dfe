"""A stock python-socketio client that remembers what it got and can be waited on."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import socketio

Answer = Callable[[str, Any], Any]


class Socket:
    """One connection. Every event received is in :attr:`log` as ``(name, data)``.

    Set :attr:`answer` to ``(name, data) -> value`` (may be async) to answer calls; its
    value is the acknowledgement of every event that asks for one.
    """

    def __init__(
        self, url: str, auth: dict[str, Any] | None, transports: list[str], reconnection: bool
    ) -> None:
        self._url = url
        self._auth = auth
        self._transports = transports
        self.client = socketio.AsyncClient(
            reconnection=reconnection,
            reconnection_delay=0.1,
            reconnection_delay_max=0.5,
        )
        self.log: list[tuple[str, Any]] = []
        self.answer: Answer | None = None
        self.refusal: Any = None
        self._taken: set[int] = set()
        self._changed = asyncio.Condition()
        self.client.on("*", self._received)
        self.client.on("connect_error", self._refused)
        self.client.on("disconnect", self._lost)
        self.disconnected = asyncio.Event()

    async def connect(self) -> None:
        """Connect and wait for the server's CONNECT.

        :raises socketio.exceptions.ConnectionError: refused; see :attr:`refusal`.
        """
        await self.client.connect(
            self._url,
            auth=self._auth,
            transports=self._transports,
            socketio_path="/ws/socket.io",
            wait_timeout=10,
        )

    @property
    def sid(self) -> str:
        """The session's id."""
        sid: str = self.client.get_sid()
        return sid

    async def disconnect(self) -> None:
        """Leave."""
        await self.client.disconnect()

    async def call(self, event: str, payload: Any = None, *, timeout: float = 10) -> Any:
        """Emit and return the acknowledgement."""
        return await self.client.call(event, payload, timeout=timeout)

    async def emit(self, event: str, payload: Any = None) -> None:
        """Emit without asking for an acknowledgement."""
        await self.client.emit(event, payload)

    def events(self, name: str) -> list[Any]:
        """The data of every ``name`` received so far."""
        return [data for event, data in self.log if event == name]

    async def expect(
        self, event: str, *, timeout: float = 10, where: Callable[[Any], bool] = lambda _: True
    ) -> Any:
        """The data of the next event of that name that fits; each is returned once.

        Waits for it, and fails with all that came instead after ``timeout`` seconds.
        """

        def find() -> int | None:
            for index, (name, data) in enumerate(self.log):
                if name == event and index not in self._taken and where(data):
                    return index
            return None

        try:
            async with asyncio.timeout(timeout), self._changed:
                await self._changed.wait_for(lambda: find() is not None)
        except TimeoutError:
            seen = [(name, str(data)[:200]) for name, data in self.log]
            raise AssertionError(f"no {event} within {timeout} s; came: {seen}") from None
        index = find()
        assert index is not None
        self._taken.add(index)
        return self.log[index][1]

    async def _received(self, event: str, *args: Any) -> Any:
        data = args[0] if args else None
        async with self._changed:
            self.log.append((event, data))
            self._changed.notify_all()
        if self.answer is None:
            return None
        value = self.answer(event, data)
        return await value if inspect.isawaitable(value) else value

    async def _refused(self, data: Any) -> None:
        self.refusal = data

    async def _lost(self, *_: Any) -> None:
        self.disconnected.set()
