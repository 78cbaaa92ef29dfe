"""A TCP proxy that fails on purpose, in this event loop: what a cable or a firewall does.

Put it in front of a port of 127.0.0.1 and hand out :attr:`CutProxy.port`. A Redis Cluster hands
out addresses itself: ``node.execute("CONFIG", "SET", "cluster-announce-port", proxy.port)``
makes it hand out the proxy's.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from types import TracebackType

_CHUNK = 65_536
# Closing with this on sends RST: a cut, not a goodbye.
_RESET = struct.pack("ii", 1, 0)


class CutProxy:
    """``async with CutProxy(port) as proxy``; forwards until told otherwise."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.accepted = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._refusing = False
        self.port = 0

    @property
    def address(self) -> str:
        """``127.0.0.1:port``."""
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> CutProxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._writers) // 2

    def cut(self, *, refuse: bool = True) -> None:
        """Reset all connections; and, with ``refuse``, new ones too until :meth:`resume`."""
        self._refusing = refuse
        for writer in self._writers:
            _reset(writer)

    def blackhole(self) -> None:
        """Forward nothing until :meth:`resume`: connections stay open, new ones are accepted,
        and nobody hears anything."""
        self._flowing.clear()

    def resume(self) -> None:
        """Forward again, what was held back first."""
        self._refusing = False
        self._flowing.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self._refusing:
            _reset(writer)
            return
        try:
            there, onwards = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            _reset(writer)
            return
        pair = {writer, onwards}
        self._writers |= pair
        try:
            await asyncio.gather(self._pump(reader, onwards), self._pump(there, writer))
        finally:
            self._writers -= pair

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        await self._flowing.wait()
        writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
