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
import itertools
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.retry import Retry

from tests.support.processes import Process, free_port, temporary_folder, wait_until

SLOTS = 16_384
MASTER_NAME = "heliograph-master"
_ONCE = Retry(NoBackoff(), 0)


class Node:
    """One Redis or Sentinel process."""

    def __init__(self, folder: Path, program: str, config: Mapping[str, str]) -> None:
        if shutil.which(program) is None:
            raise RuntimeError(f"{program} is missing: apt-get install redis-server redis-sentinel")
        self.port = free_port()
        self.bus_port = free_port()
        self.id = secrets.token_hex(20)
        self.config = {"bind": "127.0.0.1", "port": str(self.port), **config}
        self.folder = folder / str(self.port)
        self.folder.mkdir()
        self.file = self.folder / "server.conf"
        self.process = Process([program, self.file], self.folder / "log", cwd=self.folder)

    @property
    def address(self) -> str:
        """``127.0.0.1:port``."""
        return f"127.0.0.1:{self.port}"

    def __repr__(self) -> str:
        return f"<Node {self.address}>"

    def start(self, *lines: str) -> None:
        """Write the configuration, with more ``lines``, and start; does not wait."""
        options = [f"{name} {value}" for name, value in self.config.items()]
        self.file.write_text("\n".join([*options, *lines, ""]))
        self.process.start()

    @contextlib.contextmanager
    def client(self) -> Iterator[Any]:
        """A client of this process alone: no retries, two seconds of patience, text replies."""
        with redis.Redis(
            port=self.port, decode_responses=True, socket_timeout=2, retry=_ONCE, protocol=3
        ) as client:
            yield client

    def execute(self, *command: str | int) -> Any:
        """One command on this process."""
        with self.client() as client:
            return client.execute_command(*command)

    def info(self, section: str) -> dict[str, Any]:
        """``INFO section``."""
        found: dict[str, Any] = self.execute("INFO", section)
        return found

    def answers(self) -> bool:
        """Whether it serves commands by now."""
        if not self.process.alive:
            raise RuntimeError(f"{self} ended:\n{self.process.output()[-2000:]}")
        try:
            return bool(self.execute("PING"))
        except redis.RedisError:
            return False

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()

    def stop(self) -> None:
        """SIGSTOP: connections stay, nothing answers."""
        self.process.stop()

    def resume(self) -> None:
        """SIGCONT."""
        self.process.resume()

    def restart(self) -> None:
        """Start again after :meth:`kill`, with the configuration it had come to; blocks until
        it answers. Its data are gone without ``appendonly``."""
        self.process.kill()
        self.process.start()
        wait_until(self.answers, f"{self} answers")


class RedisServers:
    """What the modes have in common."""

    def __init__(self, folder: Path, config: Mapping[str, str], appendonly: bool) -> None:
        self.folder = folder
        self.nodes: list[Node] = []
        self._config = {
            "save": '""',
            "appendonly": "yes" if appendonly else "no",
            "maxmemory-policy": "noeviction",
            "repl-diskless-sync-delay": "0",
            "repl-ping-replica-period": "1",
            **{name.replace("_", "-"): value for name, value in config.items()},
        }

    def environment(self) -> dict[str, str]:
        """The variables that point Heliograph at these servers."""
        raise NotImplementedError

    def master(self, key: str = "") -> Node:
        """The master (of ``key``, in a cluster) as the servers see it now."""
        raise NotImplementedError

    def _add(self, **config: str) -> Node:
        node = Node(self.folder, "redis-server", {**self._config, **config})
        self.nodes.append(node)
        return node

    def running(self) -> list[Node]:
        """The Redis processes that are neither killed nor stopped."""
        return [node for node in self.nodes if node.process.running]

    def close(self) -> None:
        """Kill everything."""
        for node in self.nodes:
            node.kill()

    def wait_for_replicas(self, count: int, master: Node) -> None:
        """Block until ``master`` has that many replicas in step."""

        def in_step() -> bool:
            found = master.info("replication")
            states = [found.get(f"slave{index}", {}).get("state") for index in range(count)]
            return states == ["online"] * count

        wait_until(in_step, f"{count} replicas of {master}")


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


class Cluster(RedisServers):
    """Masters that share the slots, each with replicas."""

    def launch(self, masters: int, replicas: int, node_timeout_ms: int) -> None:
        for _ in range(masters * (1 + replicas)):
            node = self._add()
            node.config |= {
                "cluster-enabled": "yes",
                "cluster-port": str(node.bus_port),
                "cluster-node-timeout": str(node_timeout_ms),
                "cluster-config-file": "nodes.conf",
            }
        bounds = [SLOTS * index // masters for index in range(masters + 1)]
        for node in self.nodes:
            (node.folder / "nodes.conf").write_text(self._knowledge(node, bounds))
            node.start()
        for node in self.nodes:
            wait_until(node.answers, f"{node} answers")
        for node in self.nodes:
            wait_until(lambda node=node: self._whole(node), f"{node} sees the cluster")  # type: ignore[misc]
        for node in self.nodes[:masters]:
            self.wait_for_replicas(replicas, node)

    def _knowledge(self, itself: Node, bounds: list[int]) -> str:
        """``nodes.conf`` as a node writes it. The first nodes are the masters."""
        lines = []
        for index, node in enumerate(self.nodes):
            owner = self.nodes[index % (len(bounds) - 1)]
            flags = "myself," if node is itself else ""
            flags += "master -" if node is owner else f"slave {owner.id}"
            slots = f" {bounds[index]}-{bounds[index + 1] - 1}" if node is owner else ""
            epoch = index % (len(bounds) - 1) + 1
            lines.append(
                f"{node.id} {node.address}@{node.bus_port} {flags} 0 0 {epoch} connected{slots}"
            )
        return "\n".join([*lines, f"vars currentEpoch {len(bounds) - 1} lastVoteEpoch 0", ""])

    def _whole(self, node: Node) -> bool:
        info = dict(
            line.split(":", 1) for line in str(node.execute("CLUSTER", "INFO")).splitlines() if line
        )
        lines = str(node.execute("CLUSTER", "NODES")).splitlines()
        return info["cluster_state"] == "ok" and all(
            line.split()[7] == "connected" for line in lines
        )

    def environment(self) -> dict[str, str]:
        return {
            "WEBSOCKET_MANAGER": "redis",
            "WEBSOCKET_REDIS_URL": f"redis://{self.nodes[0].address}/0",
            "WEBSOCKET_REDIS_CLUSTER": "True",
        }

    def _claims(self) -> Iterator[tuple[int, Node, range]]:
        """What each running master says of itself: its config epoch, and a range of its slots."""
        for node in self.running():
            with contextlib.suppress(redis.RedisError):
                for line in str(node.execute("CLUSTER", "NODES")).splitlines():
                    fields = line.split()
                    if "myself" in fields[2] and "master" in fields[2]:
                        for part in fields[8:]:
                            if not part.startswith("["):  # a slot on its way
                                first, _, last = part.partition("-")
                                yield (
                                    int(fields[6]),
                                    node,
                                    range(int(first), int(last or first) + 1),
                                )

    def masters(self) -> list[Node]:
        """The running nodes that are masters with slots."""
        return list(dict.fromkeys(node for _, node, _ in self._claims()))

    def master(self, key: str = "") -> Node:
        """The running node that owns the slot of ``key``; ``LookupError`` when none does."""
        slot = key_slot(key.encode())
        claims = [(epoch, node) for epoch, node, slots in self._claims() if slot in slots]
        if not claims:
            raise LookupError(f"nobody owns slot {slot} of {key!r}")
        return max(claims, key=lambda claim: claim[0])[1]

    def replicas_of(self, master: Node) -> list[Node]:
        """The running replicas that ``master`` sees."""
        lines = [line.split() for line in str(master.execute("CLUSTER", "NODES")).splitlines()]
        master_id = next(fields[0] for fields in lines if "myself" in fields[2])
        ids = {fields[0] for fields in lines if fields[3] == master_id}
        return [node for node in self.running() if node.id in ids]

    def failover(self, key: str = "") -> None:
        """Let a replica of the owner of ``key`` take over in order; returns at once."""
        self.replicas_of(self.master(key))[0].execute("CLUSTER", "FAILOVER")

    def wait_for_failover(self, old: Node, key: str = "", timeout: float = 60) -> Node:
        """Block until another node than ``old`` owns the slot of ``key``; that node."""

        def moved() -> bool:
            with contextlib.suppress(LookupError):
                return self.master(key) is not old
            return False

        wait_until(moved, f"another master than {old}", timeout=timeout)
        return self.master(key)

    def move_slots(self, slots: Iterable[int], target: Node) -> int:
        """Move slots to the master ``target`` while clients go on, as ``redis-cli --cluster
        reshard`` does. Blocks; the number of keys that were moved."""
        moved = 0
        for source, wanted in itertools.groupby(sorted(slots), self._owner_of_slot()):
            if source is target:
                continue
            with source.client() as here, target.client() as there:
                for slot in wanted:
                    there.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
                    here.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)
                    while keys := here.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100):
                        here.execute_command(
                            "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys
                        )
                        moved += len(keys)
                    for client in (there, here):
                        client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", target.id)
        return moved

    def _owner_of_slot(self) -> Any:
        owners = {
            slot: node
            for _, node, slots in sorted(self._claims(), key=lambda claim: claim[0])
            for slot in slots
        }
        return owners.__getitem__


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
