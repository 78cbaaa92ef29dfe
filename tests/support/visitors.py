"""People who use a server that runs somewhere: their accounts, requests and sockets."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import httpx

from tests.support.socket import Socket

PASSWORD = "correct horse"


class Visitors:
    """Whoever uses the server at ``url``; ``async with`` lets them leave at the end."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._closers: list[Any] = []

    def on_close(self, closer: Any) -> None:
        """Await ``closer()`` when they leave."""
        self._closers.append(closer)

    async def leave(self) -> None:
        """Close all connections."""
        for closer in reversed(self._closers):
            await closer()
        self._closers.clear()

    async def __aenter__(self) -> Visitors:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.leave()

    async def signup(self, name: str) -> Visitor:
        """Create an account with :data:`PASSWORD`."""
        return Visitor(self, await self.register(name))

    async def register(self, name: str) -> dict[str, Any]:
        """Create an account; what the server answers."""
        body = {"name": name, "email": f"{name}@example.org", "password": PASSWORD}
        async with httpx.AsyncClient(base_url=self.url, verify=False, timeout=30) as http:
            answer = await http.post("/api/v1/auths/signup", json=body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

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


class Visitor:
    """Somebody with an account, as the tests act for them."""

    def __init__(self, visitors: Visitors, answer: dict[str, Any]) -> None:
        self.server = visitors
        self.id: str = answer["id"]
        self.name: str = answer["name"]
        self.email: str = answer["email"]
        self.role: str = answer["role"]
        self.token: str = answer["token"]
        self.http = self.http_at(visitors.url)

    def http_at(self, url: str) -> httpx.AsyncClient:
        """A client for this person's requests to the server at ``url``."""
        http = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=30,
            verify=False,
        )
        self.server.on_close(http.aclose)
        return http

    async def connect(
        self, *, transports: list[str] | None = None, reconnection: bool = False, **auth: Any
    ) -> Socket:
        """Connect a stock python-socketio client; ``auth`` adds to its CONNECT packet."""
        return await self.server.connect(
            {"token": self.token, **auth}, transports=transports, reconnection=reconnection
        )
