"""Who is master among the Redis pods, asked at the pods themselves."""

from __future__ import annotations

import asyncio
from typing import Literal

from tests.kind.cluster import Cluster, CommandFailed

Mode = Literal["sentinel", "cluster"]
MODES: tuple[Mode, ...] = ("sentinel", "cluster")
PODS: dict[Mode, int] = {"sentinel": 3, "cluster": 6}
_MASTERS: dict[Mode, int] = {"sentinel": 1, "cluster": 3}

# As the chart's own scripts ask; the password does not pass by here.
_ASK = 'REDISCLI_AUTH="$(cat /secrets/keeper)" timeout 2 redis-cli --user keeper "$@"'
# As the app; `-c` follows a cluster to the node that has the key.
_READ = 'REDISCLI_AUTH="$(cat /secrets/heliograph)" timeout 2 redis-cli -c --user heliograph "$@"'


class Redis:
    """The Redis of a release."""

    def __init__(self, cluster: Cluster, mode: Mode) -> None:
        self._cluster = cluster
        self.mode = mode

    @property
    def statefulset(self) -> str:
        """Its StatefulSet, as kubectl names it."""
        return f"statefulset/{self._cluster.fullname}-redis"

    @property
    def pods(self) -> list[str]:
        """Names of its pods."""
        names = range(PODS[self.mode])
        return [f"{self._cluster.fullname}-redis-{number}" for number in names]

    async def ask(self, pod: str, *command: str) -> str:
        """What a pod's server answers. :raises CommandFailed: it does not."""
        return await self._cluster.kubectl(
            "exec", pod, "--container", "redis", "--", "sh", "-c", _ASK, "sh", *command, timeout=10
        )

    async def left_ms(self, key: str) -> int:
        """How long a key of the app still lives, ms; negative when there is none."""
        said = await self._cluster.kubectl(
            "exec", self.pods[0], "--container", "redis", "--", "sh", "-c", _READ, "sh",
            "PTTL", key, timeout=10,
        )  # fmt: skip
        return int(said.split()[-1])

    async def replication(self, pod: str) -> dict[str, str]:
        """``INFO replication`` of a pod; empty when it does not answer."""
        try:
            said = await self.ask(pod, "INFO", "replication")
        except CommandFailed:
            return {}
        lines = (line.strip().partition(":") for line in said.splitlines())
        return {name: value for name, sign, value in lines if sign}

    async def masters(self) -> list[str]:
        """Pods that say they are masters with somebody who follows them."""
        told = await asyncio.gather(*(self.replication(pod) for pod in self.pods))
        return [
            pod
            for pod, said in zip(self.pods, told, strict=True)
            if said.get("role") == "master" and said.get("connected_slaves", "0") != "0"
        ]

    async def whole(self) -> bool:
        """Whether each shard has its master, and every other pod follows one."""
        told = await asyncio.gather(*(self.replication(pod) for pod in self.pods))
        masters = [said for said in told if said.get("role") == "master"]
        following = [said for said in told if said.get("master_link_status") == "up"]
        return (
            len(masters) == _MASTERS[self.mode]
            and len(masters) + len(following) == len(self.pods)
            and all(said.get("connected_slaves", "0") != "0" for said in masters)
        )
