"""What the measurements share: Redis, replicas and clients as processes, and their CPU time."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import uvloop

from heliograph.settings import Settings
from heliograph.telemetry import configure_logging
from tests.bench.wire import connect_all
from tests.support.backplane import redis_settings
from tests.support.redis import RedisServers, redis_cluster, redis_sentinel, redis_standalone
from tests.support.server import RunningServer

_SPAWN = multiprocessing.get_context("spawn")


@dataclass
class Child:
    """A process that is spoken to through a pipe."""

    process: BaseProcess
    pipe: Connection

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self.process.pid
        return self.process.pid

    async def ask(self, order: str) -> Any:
        """Send an order and wait for the answer."""
        self.pipe.send(order)
        return await self.hear()

    async def hear(self) -> Any:
        """Wait for what it says."""
        return await asyncio.to_thread(self.pipe.recv)

    def end(self) -> None:
        """Let it end."""
        self.pipe.send("end")
        self.process.join()


def start_child(target: Callable[..., None], *arguments: Any) -> Child:
    """Run ``target(*arguments, pipe)`` in a new process."""
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=target, args=(*arguments, theirs))
    process.start()
    return Child(process, ours)


def bench_settings(folder: str, servers: RedisServers, **changes: Any) -> Settings:
    ours = redis_settings(servers, "bench", **changes)
    return ours.model_copy(
        update={
            "port": 0,
            "data_dir": Path(folder),
            "database_url": f"sqlite+aiosqlite:///{folder}/heliograph.db",
            "auth_attempts_per_minute": 1_000_000,
        }
    )


def replica(settings: Settings, pipe: Connection) -> None:
    """A replica: says its address, then answers with its memory in MiB until told to end."""

    async def main() -> None:
        server = RunningServer(settings)
        await server.start()
        pipe.send(server.url)
        while await asyncio.to_thread(pipe.recv) != "end":
            pipe.send(_memory())
        await server.stop()

    run(main())


def clients(url: str, tokens: list[str], pipe: Connection) -> None:
    """All clients; sends ``(latencies in s, arrived)`` when told to."""

    async def main() -> None:
        latencies: list[float] = []

        def on_due(due: float, now: float) -> None:
            latencies.append(now - due)

        clients = await connect_all(url, tokens, on_due)
        pipe.send(len(clients))
        while (order := await asyncio.to_thread(pipe.recv)) != "end":
            if order == "clear":
                latencies.clear()
            pipe.send(latencies)

    run(main())


def run(main: Any) -> None:
    configure_logging("plain", "error")
    gc.set_threshold(50_000, 20, 20)  # as the server does
    uvloop.run(main)


class Cpu:
    """CPU seconds of some processes since this was made (Linux)."""

    def __init__(self, **pids: int) -> None:
        self._pids = pids
        self._before = self._read()

    def _read(self) -> dict[str, float]:
        ticks = os.sysconf("SC_CLK_TCK")
        fields = {
            name: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            for name, pid in self._pids.items()
        }
        return {name: (int(each[11]) + int(each[12])) / ticks for name, each in fields.items()}

    def used(self) -> dict[str, float]:
        """Seconds by process."""
        return {name: value - self._before[name] for name, value in self._read().items()}


@contextmanager
def redis_of(mode: str) -> Iterator[RedisServers]:
    makers: dict[str, Callable[[], AbstractContextManager[RedisServers]]] = {
        "standalone": redis_standalone,
        "sentinel": redis_sentinel,
        "cluster": redis_cluster,
    }
    with makers[mode]() as servers:
        yield servers


def _memory() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def percentile(values: list[float], share: float) -> float:
    """Of sorted seconds, in milliseconds."""
    return values[min(len(values) - 1, int(len(values) * share))] * 1000 if values else 0.0
