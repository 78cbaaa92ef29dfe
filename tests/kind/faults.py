"""What is done to the cluster, one function each; see ``plan`` for their order.

A fault returns when the cluster is as it was before: same replicas, all ready, nothing ending.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.kind.cluster import ROOT, Cluster, run
from tests.kind.redis import Redis

PING_SECONDS = 25.0 + 20.0
"""Interval and timeout, the app's defaults: so long a client may believe in a dead server."""

REPLICAS = 3


@dataclass
class Scene:
    """What a fault acts on.

    :ivar url: of the ingress. :ivar upgrade: ``helm upgrade`` with one more ``--set``.
    :ivar settle: waits until all clients are connected and get events.
    :ivar notes: what is worth telling about this time, e.g. which pod it was.
    """

    cluster: Cluster
    redis: Redis
    url: str
    upgrade: Callable[[str], Awaitable[None]]
    settle: Callable[[float], Awaitable[None]]
    notes: list[str] = field(default_factory=list)
    failover: float = 0.0

    @property
    def deployment(self) -> str:
        """The app, as kubectl names it."""
        return f"deployment/{self.cluster.fullname}"


async def app_whole(cluster: Cluster, replicas: int = REPLICAS, timeout: float = 150) -> None:
    """Wait until so many replicas are ready, as they should be, and no other is left."""
    await cluster.rolled_out(f"deployment/{cluster.fullname}", timeout=timeout)

    async def whole() -> bool:
        pods = await cluster.pods("app")
        return len(pods) == replicas and all(pod.ready and not pod.ending for pod in pods)

    await cluster.until(whole, f"{replicas} pods of the app, ready, and none ending", timeout)


async def redis_whole(cluster: Cluster, redis: Redis, timeout: float = 120) -> None:
    """Wait until every pod of Redis is ready, and is master or follows one."""

    async def ready() -> bool:
        pods = await cluster.pods("redis")
        every = len(pods) == len(redis.pods)
        return every and all(pod.ready and not pod.ending for pod in pods)

    await cluster.until(ready, "all pods of Redis ready", timeout)
    await cluster.until(redis.whole, "every Redis is master or follows one", timeout)


async def none(scene: Scene) -> None:
    """Nothing: what there is to see without a fault."""
    await asyncio.sleep(6)


async def pod_deleted(scene: Scene) -> None:
    """One of the app's pods is deleted as by an eviction: it drains."""
    victim = (await scene.cluster.pods("app"))[0]
    scene.notes.append(victim.name)
    await scene.cluster.delete_pods(victim.name)
    await app_whole(scene.cluster)


async def pod_killed(scene: Scene) -> None:
    """One of the app's pods is killed: no grace, no drain."""
    victim = (await scene.cluster.pods("app"))[0]
    scene.notes.append(victim.name)
    await scene.cluster.delete_pods(victim.name, kill=True)
    await app_whole(scene.cluster)


async def upgraded(scene: Scene) -> None:
    """``helm upgrade`` of a setting: all pods of the app are replaced, one after another."""
    await scene.upgrade("settings.CHAT_SETTLE_SECONDS=2.5")
    await app_whole(scene.cluster)


async def rolled_back(scene: Scene) -> None:
    """``helm rollback`` to the release before: the same once more."""
    await scene.cluster.helm("rollback", scene.cluster.release)
    await app_whole(scene.cluster)


async def scaled(scene: Scene) -> None:
    """Three replicas become one, and three again."""
    for replicas in (1, REPLICAS):
        await scene.cluster.kubectl("scale", scene.deployment, f"--replicas={replicas}")
        await app_whole(scene.cluster, replicas)


async def _expendable_node(scene: Scene) -> str:
    """A worker with a pod of the app, without PostgreSQL: that is one server here, its loss is
    not what is tested. The ingress controller is not on a worker."""
    kept = {pod.node for pod in await scene.cluster.pods("postgresql")}
    nodes = [pod.node for pod in await scene.cluster.pods("app") if pod.node not in kept]
    if not nodes:
        raise RuntimeError("Every pod of the app is on the node of PostgreSQL: nothing to lose")
    return nodes[0]


async def node_drained(scene: Scene) -> None:
    """``kubectl drain`` of a worker, with all that runs there, and ``uncordon``."""
    node = await _expendable_node(scene)
    scene.notes.append(node)
    drain = ["drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force"]
    if scene.redis.mode == "cluster":
        # Each node has two pods of Redis, which the volumes of this cluster bind to it: the first
        # that is evicted could not come back, and the budget keeps the second for that long.
        drain.append("--pod-selector=app.kubernetes.io/component!=redis")
    try:
        await scene.cluster.kubectl(*drain, "--timeout=120s", timeout=130)
        # Its pods of the app are elsewhere; those with a volume there wait for it.
        await app_whole(scene.cluster)
    finally:
        await scene.cluster.kubectl("uncordon", node)
    await redis_whole(scene.cluster, scene.redis)


async def node_stopped(scene: Scene) -> None:
    """``docker stop`` of a worker; it is started again when all clients are well."""
    node = await _expendable_node(scene)
    scene.notes.append(node)
    try:
        await run("docker", "stop", node)
        await scene.settle(PING_SECONDS + 40)
    finally:
        await run("docker", "start", node)
        await run(str(ROOT / "k8s" / "cluster"), "heal", timeout=150)
    await app_whole(scene.cluster)
    await redis_whole(scene.cluster, scene.redis)


async def master_deleted(scene: Scene) -> None:
    """A pod with a master of Redis is deleted: it hands over before it ends."""
    before = await scene.redis.masters()
    victim = before[0]
    scene.notes.append(victim)
    began = time.monotonic()
    await scene.cluster.delete_pods(victim)

    async def another() -> bool:
        masters = await scene.redis.masters()
        return victim not in masters and len(masters) == len(before)

    await scene.cluster.until(another, "another Redis is master", timeout=60)
    scene.failover = time.monotonic() - began
    await redis_whole(scene.cluster, scene.redis)


async def all_redis_deleted(scene: Scene) -> None:
    """All pods of Redis are killed at once."""
    await scene.cluster.delete_pods(*scene.redis.pods, kill=True)
    await redis_whole(scene.cluster, scene.redis)
