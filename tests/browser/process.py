"""`heliograph serve` as a process of its own, which can be killed and started again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path


class ServerProcess:
    """The process; it keeps its address and its database over restarts."""

    def __init__(self, folder: Path, database_url: str, **settings: str) -> None:
        self.url = ""
        self._environment = {
            **os.environ,
            "DATA_DIR": str(folder),
            "DATABASE_URL": database_url,
            "AUTH_ATTEMPTS_PER_MINUTE": "1000",
            **{name.upper(): value for name, value in settings.items()},
        }
        self._port = "0"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start; returns when it answers."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "heliograph.cli", "serve", "--port", self._port,
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            _, said, address = line.decode().partition("serves on ")
            if said:
                self.url = address.strip()
                self._port = self.url.rsplit(":", 1)[1]
                return
        raise AssertionError("the server did not start")

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it; ``SIGKILL`` leaves it no moment to say so."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(number)
        await self._process.wait()

    def freeze(self, frozen: bool) -> None:
        """Stop its work, or let it go on, as on a machine that hangs."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP if frozen else signal.SIGCONT)


@contextlib.asynccontextmanager
async def running_process(
    folder: Path, database_url: str, **settings: str
) -> AsyncIterator[ServerProcess]:
    """A running process on a free port."""
    server = ServerProcess(folder, database_url, **settings)
    await server.start()
    try:
        yield server
    finally:
        await server.stop(signal.SIGKILL)
