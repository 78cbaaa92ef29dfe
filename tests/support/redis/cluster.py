"""A Redis Cluster: masters that share the slots, each with replicas."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator

import redis
from redis.crc import key_slot

from tests.support.processes import wait_until
from tests.support.redis.node import Node, RedisServers

SLOTS = 16_384


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

    def _owner_of_slot(self) -> Callable[[int], Node]:
        owners = {
            slot: node
            for _, node, slots in sorted(self._claims(), key=lambda claim: claim[0])
            for slot in slots
        }
        return owners.__getitem__
