"""One process of Redis, and what any set of them has in common."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.processes import Process, free_port, wait_until

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

    def cut_clients(self) -> None:
        """Close the connections of clients and subscribers; they may come back at once."""
        with self.client() as client:
            for kind in ("normal", "pubsub"):
                client.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")

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


class RedisServers(ABC):
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

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """The variables that point Heliograph at these servers."""

    @abstractmethod
    def master(self, key: str = "") -> Node:
        """The master (of ``key``, in a cluster) as the servers see it now."""

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
