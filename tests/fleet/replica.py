"""One replica: a ``heliograph serve`` process."""

from __future__ import annotations

import http.client
import re
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.processes import Process, free_port, wait_until


class Replica:
    """A server process on a port of its own, its log in ``folder``."""

    def __init__(
        self, name: str, folder: Path, environment: Mapping[str, str], *arguments: str
    ) -> None:
        self.name = name
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        # Started again, it is the same machine: the same port and folder.
        self.environment = {
            **environment,
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "DATA_DIR": environment.get("DATA_DIR", str(folder / name)),
        }
        command = [sys.executable, "-m", "heliograph.cli", "serve", *arguments]
        self.process = Process(command, folder / f"{name}.log", env=self.environment)

    def __repr__(self) -> str:
        return f"<Replica {self.name} {self.url}>"

    def start(self) -> None:
        """Start; does not wait."""
        self.process.start()

    def wait_ready(self, timeout: float = 60) -> None:
        """Block until ``/ready`` says yes; fails at once when the process has ended."""
        wait_until(self._ready_or_ended, f"{self} is ready", timeout=timeout)

    def _ready_or_ended(self) -> bool:
        if not self.process.alive:
            raise RuntimeError(f"{self} ended:\n{self.output()[-3000:]}")
        return self.status("/ready") == 200

    def status(self, path: str) -> int | None:
        """The status of a GET; ``None`` without an answer in two seconds."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()

    def stop(self) -> None:
        """SIGSTOP: connections stay, nothing answers."""
        self.process.stop()

    def resume(self) -> None:
        """SIGCONT."""
        self.process.resume()

    def term(self, timeout: float = 30) -> int:
        """SIGTERM, and its exit code once it has drained; blocks."""
        return self.process.terminate(timeout)

    def tell_to_end(self) -> None:
        """SIGTERM without waiting."""
        if self.process.alive:
            self.process.signal(signal.SIGTERM)

    def restart(self) -> None:
        """Start again, after killing it when it runs; blocks until it is ready."""
        self.process.kill()
        self.start()
        self.wait_ready()

    def output(self) -> str:
        """What it wrote so far, of all starts."""
        return self.process.output()

    def worker_pids(self) -> list[int]:
        """The processes that serve for it, with ``--workers``."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in re.findall(r"\d+", children.read_text())]
