"""A client that speaks the protocol by hand, as the stock JavaScript client does."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.support.bare import Bare


class Raw:
    """One client, of the user ``ann`` unless its token says otherwise."""

    def __init__(self, server: Bare | str, token: str = "ann") -> None:
        self.go_to(server)
        self._token = token
        self.ws: ClientConnection
        self.pid: str | None = None
        self.sid = ""
        self.offset: str | None = None
        self.events: list[tuple[str, Any]] = []

    def go_to(self, server: Bare | str) -> None:
        """Connect there from now on."""
        url = server if isinstance(server, str) else server.url
        self._url = url.replace("http", "ws") + "/ws/socket.io/?EIO=4&transport=websocket"

    async def connect(self, **auth: Any) -> dict[str, Any]:
        """Open a transport and CONNECT; the reply's data."""
        self.ws = await connect(self._url)
        assert str(await self.ws.recv()).startswith("0")
        await self.ws.send("40" + json.dumps({"token": self._token, **auth}))
        reply = str(await self.ws.recv())
        assert reply.startswith("40"), reply
        data: dict[str, Any] = json.loads(reply[2:])
        self.sid, self.pid = data["sid"], data.get("pid")
        return data

    async def back(self, **auth: Any) -> bool:
        """Come back with pid and offset; whether the server recovered the session."""
        before = self.pid
        said = {"pid": before, **({"offset": self.offset} if self.offset else {}), **auth}
        data = await self.connect(**said)
        return bool(data["pid"] == before)

    async def read(self, count: int) -> list[Any]:
        """The data of the next ``count`` events."""
        found: list[Any] = []
        while len(found) < count:
            text = await asyncio.wait_for(self.ws.recv(), 10)
            if not isinstance(text, str) or not text.startswith("42"):
                continue
            name, *args = json.loads(text[2:])
            if isinstance(args[-1], str):
                self.offset = args.pop()
            found.append(args[0])
            self.events.append((name, args[0]))
        return found

    async def cut(self) -> None:
        """Lose the connection without a word."""
        self.ws.transport.abort()
        await self.ws.wait_closed()
