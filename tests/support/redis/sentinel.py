"""Redis under Sentinels, which promote a replica when the master is gone."""

from __future__ import annotations

from tests.support.processes import wait_until
from tests.support.redis.node import Node, RedisServers

MASTER_NAME = "heliograph-master"


class Sentinel(RedisServers):
    """A master with replicas, and Sentinels that promote one of them."""

    sentinels: list[Node]

    def launch(self, replicas: int, sentinels: int, down_after_ms: int) -> None:
        master = self._add()
        master.start()
        for _ in range(replicas):
            self._add(replicaof=f"127.0.0.1 {master.port}").start()
        for node in self.nodes:
            wait_until(node.answers, f"{node} answers")
        self.wait_for_replicas(replicas, master)
        self.sentinels = [Node(self.folder, "redis-sentinel", {}) for _ in range(sentinels)]
        name = MASTER_NAME
        for node in self.sentinels:
            node.start(
                f"sentinel myid {node.id}",
                f"sentinel monitor {name} 127.0.0.1 {master.port} {sentinels // 2 + 1}",
                f"sentinel down-after-milliseconds {name} {down_after_ms}",
                # The pause before a failed election is tried again is twice this.
                f"sentinel failover-timeout {name} {max(2000, 2 * down_after_ms)}",
                *(f"sentinel known-replica {name} 127.0.0.1 {r.port}" for r in self.nodes[1:]),
                *(
                    f"sentinel known-sentinel {name} 127.0.0.1 {other.port} {other.id}"
                    for other in self.sentinels
                    if other is not node
                ),
            )
        for node in self.sentinels:
            wait_until(node.answers, f"{node} answers")
            # Replicas are asked how they are every second, not every ten: a failover right
            # after the start needs to know.
            node.execute("SENTINEL", "DEBUG", "INFO-PERIOD", 1000)
            wait_until(lambda node=node: self._knows(node), f"{node} knows all")  # type: ignore[misc]

    def _knows(self, sentinel: Node) -> bool:
        state = sentinel.execute("SENTINEL", "MASTER", MASTER_NAME)
        replicas = sentinel.execute("SENTINEL", "REPLICAS", MASTER_NAME)
        others = sentinel.execute("SENTINEL", "SENTINELS", MASTER_NAME)
        return (
            state["flags"] == "master"
            and all(replica["master-link-status"] == "ok" for replica in replicas)
            and all(other["flags"] == "sentinel" for other in others)
        )

    def environment(self) -> dict[str, str]:
        return {
            "WEBSOCKET_MANAGER": "redis",
            "WEBSOCKET_REDIS_URL": f"redis://{MASTER_NAME}/0",
            "WEBSOCKET_SENTINEL_HOSTS": ",".join(node.address for node in self.sentinels),
        }

    def master(self, key: str = "") -> Node:
        """The master that the first answering Sentinel names."""
        sentinel = next(node for node in self.sentinels if node.process.running)
        _, port = sentinel.execute("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER_NAME)
        return next(node for node in self.nodes if node.port == int(port))

    def failover(self) -> None:
        """Let a Sentinel promote a replica though the master lives; returns at once."""
        sentinel = next(node for node in self.sentinels if node.process.running)
        sentinel.execute("SENTINEL", "FAILOVER", MASTER_NAME)

    def wait_for_failover(self, old: Node, timeout: float = 60) -> Node:
        """Block until every running Sentinel names another master than ``old``, which it is."""
        running = [node for node in self.sentinels if node.process.running]

        def moved() -> bool:
            command = "SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER_NAME
            return all(int(node.execute(*command)[1]) != old.port for node in running)

        wait_until(moved, f"another master than {old}", timeout=timeout)
        return self.master()

    def close(self) -> None:
        for node in getattr(self, "sentinels", []):
            node.kill()
        super().close()
