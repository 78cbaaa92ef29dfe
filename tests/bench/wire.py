"""Many websocket clients in one process, as cheap as Python allows, for measuring servers.

They speak Engine.IO and Socket.IO just enough to connect, to answer pings and to take
events. Each event of interest carries the time when it was due (``"due":…``); its latency
is counted from then.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import time
from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

_DUE = re.compile(rb'"due":([0-9.]+)')


class WireClient(asyncio.Protocol):
    """One client."""

    def __init__(self, token: str, on_due: Callable[[float, float], None]) -> None:
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._token = token
        self._on_due = on_due
        self._buffer = b""
        self._upgraded = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: connected."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by class
        key = base64.b64encode(os.urandom(16)).decode()
        self._transport.write(
            b"GET /ws/socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: bench\r\n"
            b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: " + key.encode() + b"\r\n\r\n"
        )

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio: gone."""
        if not self.ready.done():
            self.ready.set_exception(error or ConnectionError("closed"))

    def data_received(self, data: bytes) -> None:
        """asyncio: frames."""
        buffer = self._buffer + data if self._buffer else data
        if not self._upgraded:
            head, end, buffer = buffer.partition(b"\r\n\r\n")
            if not end:
                self._buffer = head
                return
            if b" 101 " not in head.split(b"\r\n", 1)[0]:
                self.ready.set_exception(ConnectionError(head[:200].decode()))
                return
            self._upgraded = True
        at, size = 0, len(buffer)
        now = time.time()
        while size - at >= 2:
            length, start = buffer[at + 1] & 0x7F, at + 2
            if length == 126:
                length, start = int.from_bytes(buffer[at + 2 : at + 4], "big"), at + 4
            elif length == 127:
                length, start = int.from_bytes(buffer[at + 2 : at + 10], "big"), at + 10
            if size - start < length:
                break
            self._frame(buffer[start : start + length], now)
            at = start + length
        self._buffer = buffer[at:]

    def _frame(self, payload: bytes, now: float) -> None:
        if payload.startswith(b"42"):
            due = _DUE.search(payload)
            if due is not None:
                self._on_due(float(due[1]), now)
        elif payload.startswith(b"0{"):
            self._send(b'40{"token":"' + self._token.encode() + b'"}')
        elif payload == b"2":
            self._send(b"3")
        elif payload.startswith(b"40"):
            self.ready.set_result(None)
        elif payload.startswith(b"44"):
            self.ready.set_exception(ConnectionError(payload.decode()))

    def _send(self, payload: bytes) -> None:
        mask = b"\0\0\0\0"  # a mask of zeros leaves the payload as it is
        size = len(payload)
        head = bytes((0x81, 0x80 | size)) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
        self._transport.write(head + mask + payload)

    def close(self) -> None:
        """Cut the connection."""
        self._transport.abort()


async def connect_all(
    url: str, tokens: list[str], on_due: Callable[[float, float], None]
) -> list[WireClient]:
    """A client for each token, a few at once."""
    address = urlsplit(url)
    gate = asyncio.Semaphore(20)

    async def one(token: str) -> WireClient:
        async with gate:
            loop = asyncio.get_running_loop()
            _, client = await loop.create_connection(
                lambda: WireClient(token, on_due), address.hostname or "", address.port or 0
            )
            await client.ready
            return client

    return list(await asyncio.gather(*(one(token) for token in tokens)))
