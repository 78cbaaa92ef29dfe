"""The chart's Redis pods as processes of this machine: the real scripts, servers and files.

A pod is what the StatefulSet makes of it: the containers ``redis``, ``sentinel`` (in that mode) and
``keeper``, with the environment and the files that the chart renders. What differs: all have the
address 127.0.0.1, so the pods differ by their ports, and there is no kubelet: a container that
ends is not started again unless the test does so.
"""

from __future__ import annotations

import base64
import contextlib
import logging
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.chart.helm import FULLNAME, merged, nested, render
from tests.support.processes import Process, free_port, temporary_folder, wait_until

_ONCE = Retry(NoBackoff(), 0)
_QUICK = nested(
    postgresql__enabled=True,
    redis__sentinel__downAfterMilliseconds=2000,
    redis__sentinel__failoverTimeoutMilliseconds=5000,
    redis__cluster__nodeTimeoutMilliseconds=2000,
    redis__keeper__intervalSeconds=1,
)
USERS = ("heliograph", "sentinel", "sentinel-clients", "replication", "keeper", "exporter")


class Pod:
    """One pod: its containers, and a volume that outlives them."""

    def __init__(self, pods: Pods, ordinal: int) -> None:
        self.pods = pods
        self.ordinal = ordinal
        self.port, self.second = free_port(), free_port()
        self.node = f"node-{ordinal % 3}"
        self.data = pods.folder / f"data-{ordinal}"
        self.run = pods.folder / f"run-{ordinal}"
        self.data.mkdir()
        self.containers: dict[str, Process] = {}

    def __repr__(self) -> str:
        return f"<Pod {self.ordinal}>"

    def environment(self, container: str) -> dict[str, str]:
        """What the chart gives to the container, with the paths and ports of this machine."""
        found = {each["name"]: each.get("value", "") for each in self.pods.container(container)}
        return {
            **found,
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "POD_NAME": f"{FULLNAME}-redis-{self.ordinal}",
            "POD_NAMESPACE": "chat",
            "QUIET_SECONDS": "0",  # there are no Services
            "NODE_NAME": self.node,
            "PEERS": " ".join(
                f"{self.pods.host}:{pod.port}:{pod.second}" for pod in self.pods.pods
            ),
            "SCRIPTS": str(self.pods.scripts),
            "CONFIG": str(self.pods.scripts),
            "SECRETS": str(self.pods.passwords),
            "TLS_DIR": str(self.pods.tls),
            "DATA": str(self.data),
            "RUN": str(self.run / container),
        }

    def start(self, *names: str) -> None:
        """Start its containers, or some."""
        self.run.mkdir(exist_ok=True)
        for name in names or self.pods.containers:
            self.containers[name] = Process(
                ["sh", self.pods.scripts / f"{name}.sh"],
                self.pods.folder / f"{name}-{self.ordinal}.log",
                env=self.environment(name),
            )
            self.containers[name].start()

    def kill(self) -> None:
        """As ``kubectl delete --force``: everything but the volume is gone at once."""
        for container in self.containers.values():
            container.kill()
        if self.run.exists():  # it is killed once more at the end
            shutil.rmtree(self.run)

    def lose_volume(self) -> None:
        """After :meth:`kill`: it starts with an empty one."""
        shutil.rmtree(self.data)
        self.data.mkdir()

    def lose_last_writes(self) -> None:
        """After :meth:`kill`: what was appended since its last rewrite had not reached the disk."""
        for part in (self.data / "appendonlydir").glob("*.incr.aof"):
            part.write_bytes(b"")

    def execute(self, *command: str | int, user: str = "admin") -> Any:
        """A command of its Redis; ``admin`` is a user that only tests have."""
        password = self.pods.password(user)
        with redis.Redis(
            host=self.pods.host, port=self.port, username=user, password=password,
            decode_responses=True, socket_timeout=2, retry=_ONCE, protocol=3, ssl=self.pods.has_tls,
            ssl_ca_certs=str(self.pods.tls / "ca.crt") if self.pods.has_tls else None,
        ) as client:  # fmt: skip
            return client.execute_command(*command)

    def role(self) -> str:
        """``master``, ``slave``, or empty when it does not answer."""
        with contextlib.suppress(redis.RedisError, OSError):
            return str(self.execute("INFO", "replication")["role"])
        return ""

    def script(self, name: str, *arguments: str, container: str = "redis") -> int:
        """Run a script as an exec of the kubelet does; its exit code."""
        command: list[str | Path] = ["sh", self.pods.scripts / name, *arguments]
        return subprocess.run(command, env=self.environment(container), check=False).returncode

    def ready(self) -> bool:
        """What its readiness probe says."""
        return self.script("probe.sh", "ready") == 0

    def log(self, container: str = "redis") -> str:
        """What the container wrote."""
        return self.containers[container].output()


class Pods:
    """All pods of one mode."""

    def __init__(self, folder: Path, mode: str, values: Mapping[str, Any]) -> None:
        self.folder = folder
        self.mode = mode
        self._rendered = render(merged(merged(_QUICK, nested(redis__mode=mode)), values))
        self._set = self._rendered.one("StatefulSet", f"{FULLNAME}-redis")
        spec = self._set["spec"]["template"]["spec"]
        self.containers = [each["name"] for each in spec["containers"]]
        self.scripts, self.passwords = folder / "scripts", folder / "secrets"
        self.tls = folder / "tls"
        for part in (self.scripts, self.passwords, self.tls):
            part.mkdir()
        files = self._rendered.one("ConfigMap", f"{FULLNAME}-redis")["data"]
        for name, text in files.items():
            (self.scripts / name).write_text(text)
        self.has_tls = bool(values.get("redis", {}).get("tls", {}).get("enabled"))
        # Certificates are for names.
        self.host = "localhost" if self.has_tls else "127.0.0.1"
        if self.has_tls:
            made = self._rendered.one("Secret", f"{FULLNAME}-redis-tls")["data"]
            for name, data in made.items():
                (self.tls / name).write_bytes(base64.b64decode(data))
        for user in (*USERS, "admin"):
            (self.passwords / user).write_text(secrets.token_urlsafe(20))
        # One more user, who may look at everything.
        admin = "user admin on #$(hash admin) ~* &* +@all"
        common = files["common.sh"].replace("\nUSERS\n", f"\n{admin}\nUSERS\n", 1)
        (self.scripts / "common.sh").write_text(common)
        self.pods: list[Pod] = []
        for ordinal in range(self._set["spec"]["replicas"]):
            self.pods.append(Pod(self, ordinal))

    def container(self, name: str) -> list[dict[str, Any]]:
        """The environment that the chart renders for a container."""
        spec = self._set["spec"]["template"]["spec"]
        found: list[dict[str, Any]] = next(
            each["env"] for each in spec["containers"] if each["name"] == name
        )
        return found

    def password(self, user: str) -> str:
        """Of a user."""
        return (self.passwords / user).read_text()

    def __iter__(self) -> Iterator[Pod]:
        return iter(self.pods)

    def __getitem__(self, ordinal: int) -> Pod:
        return self.pods[ordinal]

    def app_settings(self) -> dict[str, Any]:
        """What the chart gives to the app, with the addresses of this machine."""
        spec = self._rendered.one("Deployment")["spec"]["template"]["spec"]
        given = {each["name"]: each.get("value", "") for each in spec["containers"][0]["env"]}
        url = given["WEBSOCKET_REDIS_URL"].replace("$(REDIS_PASSWORD)", self.password("heliograph"))
        if self.mode != "sentinel":
            url = url.rsplit("@", 1)[0] + f"@{self.host}:{self.pods[0].port}/0"
        sentinels = ",".join(f"{self.host}:{pod.second}" for pod in self.pods)
        return {
            "websocket_manager": given["WEBSOCKET_MANAGER"],
            "websocket_redis_url": url,
            "websocket_redis_cluster": given.get("WEBSOCKET_REDIS_CLUSTER", "False"),
            "websocket_sentinel_hosts": sentinels if self.mode == "sentinel" else "",
            "redis_sentinel_password": self.password("sentinel-clients"),
            "redis_tls_ca_file": str(self.tls / "ca.crt") if self.has_tls else "",
            "delivery_durability": given["DELIVERY_DURABILITY"],
        }

    def start(self) -> None:
        """Start all pods at once."""
        for pod in self.pods:
            pod.start()

    def kill(self) -> None:
        """Kill all pods at once."""
        for pod in self.pods:
            pod.kill()

    def move(self) -> None:
        """After :meth:`kill`: they will come back at other addresses."""
        for pod in self.pods:
            pod.port, pod.second = free_port(), free_port()

    def masters(self) -> list[Pod]:
        """The pods that are masters by their own word."""
        return [pod for pod in self.pods if pod.role() == "master"]

    def wait_ready(self, timeout: float = 60) -> None:
        """Block until all are ready."""
        for pod in self.pods:
            wait_until(pod.ready, f"{pod} is ready", timeout=timeout)

    def output(self) -> str:
        """All logs, for people."""
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')}"
            for path in sorted(self.folder.glob("*.log"))
        )


@contextlib.contextmanager
def redis_pods(mode: str, values: Mapping[str, Any] | None = None) -> Iterator[Pods]:
    """The pods of a mode, started; killed at the end."""
    with temporary_folder("pods") as folder:
        pods = Pods(folder, mode, values or {})
        try:
            pods.start()
            pods.wait_ready()
            yield pods
        except BaseException:
            logging.getLogger(__name__).error("%s", pods.output())
            raise
        finally:
            pods.kill()
