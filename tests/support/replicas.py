"""Replicas for tests: in this process, where they can be left to die, and in their own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from heliograph.backplane import Backplane
from heliograph.cluster import Cluster
from heliograph.delivery import Hub, RedisBroker
from heliograph.tasks import RedisTaskRegistry, Tasks
from tests.support.backplane import open_backplane
from tests.support.cutproxy import CutProxy
from tests.support.redis import Node, RedisServers, Standalone

LEASE = 1.0


@dataclass
class Member:
    """One replica, and what it was told."""

    backplane: Backplane
    hub: Hub
    cluster: Cluster
    tasks: Tasks
    stack: contextlib.AsyncExitStack
    cleaned: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    fenced: int = 0

    @property
    def id(self) -> str:
        """Its id now."""
        return self.cluster.replica.id

    async def die(self) -> None:
        """Stop working without a goodbye: as SIGKILL looks to the others."""
        keeper = self.cluster.replica._keeper
        assert keeper is not None
        keeper.cancel()
        runner = self.cluster.reaper._runner
        if runner is not None:
            # Its lock stays, as a dead one's does.
            self.cluster.reaper._lock._release = _keep_it  # type: ignore[method-assign]
            runner.cancel()
        await self.backplane.stop()
        self.stack.pop_all()  # nothing of it is put in order any more


async def _keep_it(owner: str) -> None:
    return None


class Behind(RedisServers):
    """The same server, behind a proxy."""

    def __init__(self, servers: Standalone, proxy: CutProxy) -> None:
        self._servers = servers
        self._proxy = proxy

    def environment(self) -> dict[str, str]:
        return {
            **self._servers.environment(),
            "WEBSOCKET_REDIS_URL": f"redis://{self._proxy.address}/0",
        }

    def master(self, key: str = "") -> Node:
        return self._servers.master(key)


class Fleet:
    """Replicas that share a Redis."""

    def __init__(
        self, servers: RedisServers, prefix: str, stack: contextlib.AsyncExitStack
    ) -> None:
        self.servers = servers
        self.prefix = prefix
        self._stack = stack

    async def member(
        self, *, reaps: bool = True, lease: float = LEASE, servers: RedisServers | None = None
    ) -> Member:
        """Start a replica."""
        stack = await self._stack.enter_async_context(contextlib.AsyncExitStack())
        backplane = await stack.enter_async_context(
            open_backplane(servers or self.servers, self.prefix)
        )
        hub = Hub(RedisBroker(backplane, 60))
        await hub.start()
        stack.push_async_callback(hub.stop)
        cluster = Cluster.over(hub, backplane, lease_seconds=lease)
        registry = RedisTaskRegistry(backplane, cluster.replica, stop_seconds=5)
        tasks = Tasks(cluster, registry, stop_seconds=5)
        member = Member(backplane, hub, cluster, tasks, stack)

        async def clean(dead: str) -> None:
            member.cleaned.append(dead)

        async def lose(lost: str) -> None:
            member.lost.append(lost)

        def fence() -> None:
            member.fenced += 1

        cluster.reaper.on_dead.append(clean)
        cluster.replica.on_lost.append(lose)
        cluster.replica.on_fenced.append(fence)
        await stack.enter_async_context(cluster)
        await stack.enter_async_context(tasks)
        if reaps:
            await stack.enter_async_context(cluster.reaper)
        return member

    async def process(self, *, lease: float = LEASE) -> MemberProcess:
        """Start a replica in a process of its own."""
        process = MemberProcess(self.servers, self.prefix, lease)
        await self._stack.enter_async_context(process.running())
        return process


class MemberProcess:
    """A replica in a process of its own, see :mod:`tests.support.replica_program`."""

    def __init__(self, servers: RedisServers, prefix: str, lease: float) -> None:
        self._environment = {
            **os.environ,
            **servers.environment(),
            "REDIS_KEY_PREFIX": prefix,
            "REPLICA_LEASE_SECONDS": str(lease),
        }
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self.said: list[dict[str, Any]] = []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[MemberProcess]:
        """Start it, and kill it at the end."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.support.replica_program",
            env=self._environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        self._reading = asyncio.create_task(self._read())
        try:
            await self.hear("started")
            yield self
        finally:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            await self._reading

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.said.append(json.loads(line))

    def ask(self, command: str) -> None:
        """Write a line to its standard input."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n".encode())

    def signal(self, number: int) -> None:
        """Send a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    async def hear(self, what: str, *, timeout: float = 15) -> dict[str, Any]:
        """Wait until it says ``what``; the first such line."""
        assert self._process is not None
        try:
            async with asyncio.timeout(timeout):
                while True:
                    for said in self.said:
                        if said["say"] == what:
                            return said
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"never said {what!r}, but {self.said}") from None
