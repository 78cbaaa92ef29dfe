"""Real Redis servers for tests: standalone, under Sentinel, and as a Cluster.

Private processes on free ports of 127.0.0.1, without persistence unless asked for, gone
afterwards. Each mode has ``environment()``, the variables that point Heliograph at it, and
methods that break it. They block for a moment (a command of Redis) or, where they say so, for
longer: call those through ``asyncio.to_thread``.

Sentinels and cluster nodes get their knowledge of each other as configuration, so nothing is
negotiated at start: Sentinel is there in a moment, a cluster in the two seconds that a master
waits before it accepts writes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tests.support.processes import temporary_folder, wait_until
from tests.support.redis.cluster import SLOTS, Cluster
from tests.support.redis.node import Node, RedisServers
from tests.support.redis.sentinel import MASTER_NAME, Sentinel

__all__ = [
    "MASTER_NAME",
    "SLOTS",
    "Cluster",
    "Node",
    "RedisServers",
    "Sentinel",
    "Standalone",
    "redis_cluster",
    "redis_sentinel",
    "redis_standalone",
]


class Standalone(RedisServers):
    """One master, with replicas when asked for (nobody promotes them)."""

    def launch(self, replicas: int) -> None:
        master = self._add()
        master.start()
        for _ in range(replicas):
            self._add(replicaof=f"127.0.0.1 {master.port}").start()
        for node in self.nodes:
            wait_until(node.answers, f"{node} answers")
        self.wait_for_replicas(replicas, master)

    def environment(self) -> dict[str, str]:
        return {
            "WEBSOCKET_MANAGER": "redis",
            "WEBSOCKET_REDIS_URL": f"redis://{self.nodes[0].address}/0",
        }

    def master(self, key: str = "") -> Node:
        return self.nodes[0]


@contextlib.contextmanager
def redis_standalone(
    *, replicas: int = 0, appendonly: bool = False, **config: str
) -> Iterator[Standalone]:
    """One Redis. ``config``: more of ``redis.conf``, ``_`` for ``-``."""
    with (
        temporary_folder("redis") as folder,
        contextlib.closing(Standalone(folder, config, appendonly)) as servers,
    ):
        servers.launch(replicas)
        yield servers


@contextlib.contextmanager
def redis_sentinel(
    *,
    replicas: int = 2,
    sentinels: int = 3,
    down_after_ms: int = 1000,
    appendonly: bool = False,
    **config: str,
) -> Iterator[Sentinel]:
    """A master with replicas under Sentinels."""
    with (
        temporary_folder("sentinel") as folder,
        contextlib.closing(Sentinel(folder, config, appendonly)) as servers,
    ):
        servers.launch(replicas, sentinels, down_after_ms)
        yield servers


@contextlib.contextmanager
def redis_cluster(
    *,
    masters: int = 3,
    replicas: int = 1,
    node_timeout_ms: int = 2000,
    appendonly: bool = False,
    **config: str,
) -> Iterator[Cluster]:
    """A cluster of ``masters * (1 + replicas)`` nodes."""
    with (
        temporary_folder("cluster") as folder,
        contextlib.closing(Cluster(folder, config, appendonly)) as servers,
    ):
        servers.launch(masters, replicas, node_timeout_ms)
        yield servers
